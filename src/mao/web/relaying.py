"""Pass a request on to another node of the cluster, and its answer back as it comes.

A user asks the own node alone; that one shows its certificate to the other, which decides. There is one connection a
request and no thread: fifty followed logs wait for nothing but the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httptools
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from mao.errors import Denied, NodeUnreachable
from mao.web import access  # noqa: TC001  # FastAPI reads the annotations
from mao.web.node_routes import find_node
from mao.web.peers import client_context, common_name
from mao.web.protocols import HANDSHAKE
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.types import Receive, Scope, Send

    from mao.config import Config

router = api("cluster", "/nodes")

_CONNECT = 5.0
"""Seconds until a node that takes no connection counts as away."""
_PATIENCE = 10.0
"""Seconds that an answer may take that needs no work."""
_LOOKING = 150.0
"""Seconds that an answer may take: the other node waits for an end up to a minute (`Prefer: wait`)."""
_WORKING = 900.0
"""Seconds that an answer to a change may take: the other node asks git remotes before it answers."""
_SILENCE = 60.0
"""Seconds after which a stream is broken; the other node says every 15 that it is still there."""
_CHUNK = 65536
_DOUBT = dict.fromkeys(
    ("POST", "PATCH", "DELETE"), " Whether it did what was asked is unknown: look before you ask again."
)

_ASKED = ("accept", "content-type", "idempotency-key", "if-match", "last-event-id", "prefer", "range")
_ANSWERED = frozenset(
    {"accept-ranges", "allow", "cache-control", "content-range", "content-type", "etag", "retry-after"}
    | {"x-accel-buffering"}
)
"""Headers that are passed on, of requests and of answers; in both, those of MAO (`X-MAO-...`), too."""


@dataclass
class Peer:
    """A connection to another node, on which one request is made."""

    name: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: dict[str, str] = field(default_factory=dict)
    whole: bool = False
    """Whether all of the answer has come."""
    _headed: bool = False
    _body: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.whole = True

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes, patience: float) -> int:
        """Send a request, and return the status of the answer when its headers have come.

        Raises:
            NodeUnreachable: they did not.
        """
        given = {"Host": self.name, "Connection": "close", **headers}
        if body or method == "POST":
            given["Content-Length"] = str(len(body))
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given.items())
        try:
            async with asyncio.timeout(patience):
                self.writer.write(head.encode("latin-1") + b"\r\n" + body)
                await self.writer.drain()
                while not self._headed:
                    await self._read()
        except TimeoutError:
            raise NodeUnreachable(
                f"Node '{self.name}' took the request, but gave no answer in time.{_DOUBT.get(method, '')}"
            ) from None
        except (OSError, httptools.HttpParserError) as error:
            raise NodeUnreachable(
                f"Node '{self.name}' went away before it answered ({_words(error)}). If it does so each time, it does"
                " not take this node's certificate: that has expired, or is of another authority than its cluster.ca."
                f"{_DOUBT.get(method, '')}"
            ) from error
        return self._parser.get_status_code()

    async def _read(self) -> None:
        data = await self.reader.read(_CHUNK)
        if not data:
            raise ConnectionResetError("it closed the connection")
        self._parser.feed_data(data)

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes; it ends where the connection breaks, and then the answer is not `whole`."""
        with contextlib.suppress(OSError, httptools.HttpParserError):  # TimeoutError is an OSError
            while True:
                came, self._body = self._body, []
                if came:
                    yield b"".join(came)
                if self.whole:
                    return
                async with asyncio.timeout(_SILENCE):
                    await self._read()


async def connected(config: Config, name: str, url: str | None) -> Peer:
    """A connection to the node `name`, which has shown that it is that one.

    Raises:
        NodeUnreachable
        BadSetting: this node has no certificate to show.
    """
    if url is None:
        raise NodeUnreachable(f"Node '{name}' tells no address: its cluster.listen or cluster.url is not set.")
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_CONNECT + HANDSHAKE):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or 443,
                ssl=client_context(config),
                server_hostname="",
                ssl_handshake_timeout=HANDSHAKE,
            )
    except (OSError, ValueError) as error:
        raise NodeUnreachable(
            f"Node '{name}' does not answer at {url} ({_words(error)}). 'mao node list' shows which nodes there are."
        ) from error
    shown = common_name(writer.get_extra_info("peercert"))
    if shown is None or shown.lower() != name.lower():
        writer.transport.abort()
        raise NodeUnreachable(f"At {url} answers node '{shown}', not '{name}'. Nothing was asked of it.")
    return Peer(name, reader, writer)


def asked_by_others(config: Config, url: str) -> int:
    """The status with which the node of `config` answers at `url`, asked as other nodes would.

    Raises:
        NodeUnreachable
    """

    async def ask() -> int:
        peer = await connected(config, config.node, url)
        try:
            return await peer.ask("GET", "/healthz", {}, b"", _PATIENCE)
        finally:
            peer.writer.transport.abort()

    return asyncio.run(ask())


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Inside(Response):
    """The answer of this node itself to a request that names it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inner = {**scope, "path": f"/api/v1/{self._path}", "raw_path": f"/api/v1/{quote(self._path)}".encode()}
        await scope["app"].router(inner, receive, send)


class _Relayed(StreamingResponse):
    """An answer of another node; when the client goes, or all has come, the connection is closed."""

    def __init__(self, peer: Peer, status: int, headers: Mapping[str, str], relayed: set[asyncio.StreamWriter]) -> None:
        super().__init__(peer.body(), status, headers)
        self._peer, self._relayed = peer, relayed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._relayed.add(self._peer.writer)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._relayed.discard(self._peer.writer)
            self._peer.writer.transport.abort()

    async def stream_response(self, send: Send) -> None:
        """Pass it on; of what broke off, only a stream may end as if it were whole: it is taken up where it broke."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self.body_iterator:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if self._peer.whole or "event-stream" in self._peer.headers.get("content-type", ""):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@router.get("/{name}/api/{path:path}", response_class=Response)
@router.post("/{name}/api/{path:path}", response_class=Response)
@router.patch("/{name}/api/{path:path}", response_class=Response)
@router.delete("/{name}/api/{path:path}", response_class=Response)
async def relay(request: Request, node: access.Node, name: str, path: str) -> Response:
    """What the node `name` answers to the request at `/api/v1/{path}`; it decides whether this node may ask that."""
    if name.lower() == node.config.node.lower():
        if path.startswith("nodes/") and "/api/" in path:
            raise Denied("A request is passed on once: name the node that is meant.")
        return _Inside(path)
    found = find_node(node, name)
    peer = await connected(node.config, found.name, found.url)
    try:
        target = f"/api/v1/{quote(path)}" + (f"?{request.url.query}" if request.url.query else "")
        asked = {key: value for key, value in request.headers.items() if key in _ASKED or key.startswith("x-mao-")}
        patience = _LOOKING if request.method in {"GET", "HEAD"} else _WORKING
        status = await peer.ask(request.method, target, asked, await request.body(), patience)
    except BaseException:
        peer.writer.transport.abort()
        raise
    passed = {k: v for k, v in peer.headers.items() if k in _ANSWERED or k.startswith("x-mao-")}
    if location := peer.headers.get("location"):
        passed["location"] = location.replace("/api/v1/", f"/api/v1/nodes/{quote(found.name)}/api/", 1)
    return _Relayed(peer, status, passed, request.app.state.relayed)
