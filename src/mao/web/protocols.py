"""HTTP at the sockets of a node: uvicorn's, with limits for those who are not known yet, and with who is known already.

What a protocol knows of the other end goes into `app_state`, which is copied into the state of each request.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mao.caller import OWNER, Caller, Right

if TYPE_CHECKING:
    import asyncio

HANDSHAKE = 10.0
"""Seconds that a handshake may take; asyncio gives a minute, which strangers could make use of."""
REQUEST = 30.0
"""Seconds until the first request on a connection has come with its headers, and in which a peer's body has to come."""
_LARGEST_HEAD = 64_000
"""Bytes of a request that are not its body; uvicorn has no limit."""
_CREDENTIALS = struct.Struct("3i")  # pid, uid and gid (unix(7), SO_PEERCRED)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, which holds nothing for long for nobody."""

    _deadline: asyncio.TimerHandle | None = None
    _heading = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._expect_request()

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._heading += len(data)
        super().data_received(data)
        if self._heading > _LARGEST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._heading = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._forget_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._heading -= len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # and not one that came right behind
            self._forget_deadline()
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)


class OwnProtocol(HttpToolsProtocol):
    """uvicorn's HTTP at the socket in the node's home: whoever is at the other end is the owner, or gets nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        end = transport.get_extra_info("socket")
        _, uid, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid in {os.geteuid(), 0}:
            self.app_state = {**self.app_state, "caller": Caller(OWNER, "socket", Right.ADMIN)}
        else:
            transport.abort()
