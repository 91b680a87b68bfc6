"""What every request has to pass before a route sees it, so that no web page can make this node do anything.

A page in the browser of somebody who can reach the node may send it requests. It cannot name another `Host` than it
was loaded from (so a rebound DNS name is told by that), cannot hide its `Origin`, and cannot send JSON to a foreign
server without being asked for leave, which this one never gives.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, NoReturn

from mao.caller import OWNER, Caller, Right
from mao.errors import BadBody, ForeignHost, ForeignOrigin, MaoError
from mao.values import new_id
from mao.web.auditing import MAKING, begin
from mao.web.peers import REQUEST, admit
from mao.web.problems import response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2_000_000
"""Bytes; the arguments of a run may have a million."""
# Any port: through a tunnel (ssh -L) it is another than the one that is listened on.
_HERE = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class Guard:
    """Middleware that gives each request an id, and refuses what is foreign, too large or not JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        more = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        try:
            received = await _admitted(scope, receive)
        except MaoError as error:
            await response(error, request_id)(scope, receive, send_with_id)
            return
        if received is None:
            return  # the client has gone
        if scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, received, _headers_only(send_with_id))
            return
        await self._app(scope, received, send_with_id)


async def _admitted(scope: Scope, receive: Receive) -> Receive | None:
    """Where the application reads a request that may pass; None if the client has gone before its end."""
    headers = _headers(scope)
    if "peer" in scope["state"]:
        admit(scope, headers)
    else:
        _check_page(scope, headers)
    scope["state"]["caller"] = _caller(scope)
    if scope["method"] not in MAKING:
        return receive
    try:
        async with asyncio.timeout(REQUEST if "peer" in scope["state"] else None):
            body = await _body(receive)
    except TimeoutError:
        raise BadBody(f"The body did not come within {REQUEST:g} s.") from None
    if body is None:
        return None
    if body:
        _check_json(headers, body)
    await begin(scope, body)
    return _replay(body, receive)


def _caller(scope: Scope) -> Caller:
    address = (scope.get("client") or ("unknown", 0))[0]
    if "peer" in scope["state"]:
        peer = scope["state"]["peer"]
        return Caller(f"node:{peer}" if peer else "nobody", address, Right.RUN if peer else Right.NONE)
    return Caller(OWNER, address, Right.ADMIN)


def _headers(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name == b"host" and name in headers:
            raise ForeignHost("The request has more than one Host.")
        headers[name] = value
    return headers


def _check_page(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Refuse what comes from a foreign page."""
    host = headers.get(b"host", b"")
    if not _HERE.fullmatch(host):
        port = (scope.get("server") or ("", 0))[1]
        raise ForeignHost(f"This node does not serve '{host.decode('latin-1')}'. Ask for it at 127.0.0.1:{port}.")
    origin = headers.get(b"origin")
    if origin is not None and origin.lower() not in {b"http://" + host.lower(), b"https://" + host.lower()}:
        raise ForeignOrigin(f"A page of {origin.decode('latin-1')} may not use this node.")
    if headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
        raise ForeignOrigin("A page of another site may not use this node.")


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone before its end."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            raise BadBody(f"The body has more than {LARGEST_BODY} bytes.")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _check_json(headers: dict[bytes, bytes], body: bytes) -> None:
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise BadBody(f"The body is '{media_type or 'of no type'}'. Send JSON, with Content-Type: application/json.")
    try:
        value = json.loads(body.decode(), parse_constant=_no_json)
        if b"\\ud" in body.lower():  # half of a character, which no file or answer could hold
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise BadBody(f"The body is not UTF-8: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not JSON: {error}.") from error


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no value in it")


def _replay(body: bytes, receive: Receive) -> Receive:
    """`body` once more for the application, and then what comes after it."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


def _headers_only(send: Send) -> Send:
    """Answers a HEAD as the GET would begin; a stream learns that nobody listens any more."""
    ended = False

    async def send_headers(message: Message) -> None:
        nonlocal ended
        if message["type"] == "http.response.start":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_headers
