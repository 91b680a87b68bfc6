"""What every request has to pass before a route sees it: who asks, whether that one may, and that no web page asks.

A page in the browser of somebody who can reach the node may send it requests. It cannot name another `Host` than it
was loaded from (so a rebound DNS name is told by that), cannot hide its `Origin`, and cannot send JSON to a foreign
server without being asked for leave, which this one never gives.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from mao.caller import Caller, Right
from mao.errors import BadBody, ForeignHost, ForeignOrigin, MaoError
from mao.values import new_id
from mao.web import rights
from mao.web.auditing import begin
from mao.web.callers import MAKING, caller_of
from mao.web.peers import admit
from mao.web.problems import response
from mao.web.protocols import REQUEST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mao.web.callers import Entrance

LARGEST_BODY = 2_000_000
"""Bytes; the arguments of a run may have a million."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_FORMS = frozenset({"/login", "/logout"})
# Any port: through a tunnel (ssh -L) it is another than the one that is listened on.
_HOST = re.compile(r"([\w.-]+|\[[\w:.%-]+\])(:[0-9]{1,5})?", re.ASCII)


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
        caller = scope["state"]["caller"] = _node(scope)
        admit(scope, headers)
    else:
        _check_page(scope, headers)
        caller = scope["state"]["caller"] = await caller_of(scope, headers)
        rights.check(caller, scope["method"], scope["path"])
    if scope["method"] not in MAKING:
        return receive
    try:
        async with asyncio.timeout(REQUEST if "peer" in scope["state"] else None):
            body = await _body(receive)
    except TimeoutError:
        raise BadBody(f"The body did not come within {REQUEST:g} s.") from None
    if body is None:
        return None
    value = _json(headers, body) if body and scope["path"] not in _FORMS else None
    rights.check_tool(caller, scope["app"].state.node, scope["method"], scope["path"], value)
    await begin(scope, value)
    return _replay(body, receive)


def _node(scope: Scope) -> Caller:
    """The node that has sent a request, by its certificate; what it may do is for `admit` to say."""
    address = (scope.get("client") or ("unknown", 0))[0]
    peer = scope["state"]["peer"]
    return Caller(f"node:{peer}" if peer else "nobody", address, Right.RUN if peer else Right.NONE)


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
    entrance: Entrance = scope["app"].state.entrance
    allowed = LOOPBACK if "caller" in scope["state"] else entrance.hosts  # at the socket, nobody else asks
    found = _HOST.fullmatch(host.decode("latin-1"))
    if not found or found[1].lower() not in allowed:
        raise ForeignHost(
            f"This node does not serve '{host.decode('latin-1')}'. Ask for it as {' or '.join(sorted(allowed))}; more"
            " names are for server.hosts (MAO_SERVER__HOSTS)."
        )
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


def _json(headers: dict[bytes, bytes], body: bytes) -> Any:
    """What a body holds, which must be JSON and say so."""
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
    return value


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
