"""What every request has to pass before a route sees it, so that no web page can make this node do anything.

A page in the browser of somebody who can reach the node may send it requests. It cannot name another `Host` than it
was loaded from (so a rebound DNS name is told by that), cannot hide its `Origin`, and cannot send JSON to a foreign
server without being asked for leave, which this one never gives.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mao.errors import BadBody, ForeignHost, ForeignOrigin, MaoError
from mao.values import new_id
from mao.web.problems import response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2_000_000
"""Bytes; the arguments of a run may have a million."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_MAKING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Guard:
    """Middleware that gives each request an id, and refuses what is foreign, too large or not JSON."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{host}:{port}" for host in _LOOPBACK} | (set(_LOOPBACK) if port == 80 else set())  # noqa: PLR2004  # HTTP's own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            self._check(scope)
            body = await _body(receive) if scope["method"] in _MAKING else None
            if body:
                _check_json(scope, body)
        except MaoError as error:
            await response(error, request_id)(scope, receive, send_with_id)
            return
        await self._app(scope, receive if body is None else _replay(body, receive), send_with_id)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            raise ForeignHost(f"This node does not serve '{host}'. Ask for it at {min(self._hosts)}.")
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc.lower() not in self._hosts:
            raise ForeignOrigin(f"A page of {origin.decode('latin-1')} may not use this node.")
        if headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
            raise ForeignOrigin("A page of another site may not use this node.")


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise BadBody(f"The body has more than {LARGEST_BODY} bytes.")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _check_json(scope: Scope, body: bytes) -> None:
    media_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadBody(f"The body is '{media_type or 'of no type'}'. Send JSON, with Content-Type: application/json.")
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not JSON: {error}.") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    """`body` once more for the application, and then what comes after it."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed
