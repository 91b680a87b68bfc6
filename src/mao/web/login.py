"""The page on which a browser signs in, with a token or a link. It needs no scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs

from fastapi import Query, Request, Response  # FastAPI reads the annotations
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from mao.errors import NotSignedIn
from mao.tokens import SESSION
from mao.values import now
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.callers import COOKIE, cookies
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.refusals import is_page
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.web.callers import Entrance

router = root()

_SEE_OTHER = 303

Wanted = Annotated[str, Query(alias="next")]


@router.get("/login", include_in_schema=False)
async def show(view: Viewed, code: str = "", wanted: Wanted = "/") -> Response:
    """Ask for a token; or, with the code of a link, whether to sign in: what merely looks at a link uses nothing up."""
    return view.page("login.html", code=code, wanted=_own(wanted), refused=None)


def _own(wanted: str) -> str:
    """Where to go after signing in: to a page of this node, whatever a link says."""
    return wanted if is_page(wanted.partition("?")[0]) else "/"


@router.post("/login", include_in_schema=False)
async def sign_in(request: Request, view: Viewed) -> Response:
    """Open a session with what the form holds."""
    node = view.node
    form = parse_qs((await request.body()).decode("latin-1"))
    act = node.tokens.sign_in_by_code if "code" in form else node.tokens.sign_in
    text = form.get("code", form.get("token", [""]))[0].strip()
    wanted = _own(form.get("next", ["/"])[0])
    try:
        secret = await run_in_threadpool(act, text, now())
    except NotSignedIn as error:
        entrance: Entrance = request.app.state.entrance
        await entrance.failures.hold(request.state.caller.origin)
        return view.page("login.html", code="", wanted=wanted, refused=error.detail, status=error.status)
    request.state.caller = node.tokens.of_session(secret, now(), request.state.caller.origin)  # who it was after all
    answer = RedirectResponse(wanted, _SEE_OTHER)
    secure = request.scope["scheme"] == "https"
    answer.set_cookie(
        COOKIE, secret, int(SESSION.total_seconds()), secure=secure, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.post("/logout", include_in_schema=False)
async def sign_out(request: Request, node: Node) -> Response:
    """End the session."""
    if secret := cookies(dict(request.headers.raw)).get(COOKIE):
        await run_in_threadpool(node.tokens.sign_out, secret)
    answer = RedirectResponse("/login", _SEE_OTHER)
    answer.delete_cookie(COOKIE, path="/")
    return answer
