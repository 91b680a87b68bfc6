"""Errors as people see them who ask for a page with a browser: as a page, or as the one where they sign in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from mao.caller import Caller, Right
from mao.web.page.frame import View
from mao.web.problems import MEDIA_TYPE, NOT_SIGNED_IN

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SEE_OTHER = 303


class Refusals:
    """Middleware that has the problems of pages be pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_looked_at(scope):
            await self._app(scope, receive, send)
            return
        # With the method of GET the body comes, too, of which the page is made; the server sends none to a HEAD.
        inner = {**scope, "method": "GET"}
        inner.setdefault("state", {})
        begun: list[Message] = []

        async def send_page(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_problem(message):
                begun.append(message)
            elif not begun:
                await send(message)
            elif message.get("body"):
                request = Request(inner, receive)
                problem = json.loads(message["body"])
                signs_in = problem["status"] == NOT_SIGNED_IN
                answer = _to_sign_in(request) if signs_in else _page(request, problem)
                answer.headers["X-Request-ID"] = problem["request_id"]
                answer.headers["X-Content-Type-Options"] = "nosniff"
                await answer(inner, receive, send)

        await self._app(inner, receive, send_page)


def _is_looked_at(scope: Scope) -> bool:
    """Whether a browser asks for a page: programs are told of problems as everywhere."""
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or not is_page(scope["path"]):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def is_page(path: str) -> bool:
    """Whether a path is that of a page."""
    return path in {"/", "/docs"} or path.startswith("/view/")


def _is_problem(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in start["headers"])


def _to_sign_in(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = quote(f"{request.url.path}{query}", safe="")
    return RedirectResponse(f"/login?next={wanted}", _SEE_OTHER)


def _page(request: Request, problem: dict[str, object]) -> Response:
    if not hasattr(request.state, "caller"):  # it was refused before it was known who asks
        request.state.caller = Caller("nobody", "unknown", Right.NONE)
    view = View(request, request.app.state.node)
    return view.page("problem.html", status=int(str(problem["status"])), problem=problem)
