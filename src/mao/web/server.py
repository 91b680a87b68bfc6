"""Serving: the node opened, its daemon started, HTTP answered until a signal comes."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import uvicorn
from fastapi.concurrency import run_in_threadpool

from mao.daemon import Daemon
from mao.local_node import opened
from mao.values import now
from mao.web.app import create
from mao.web.listening import BACKLOG, doors
from mao.web.protocols import HANDSHAKE

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from mao.config import Config
    from mao.local_node import LocalNode
    from mao.web.callers import Entrance
    from mao.web.listening import Door

log = logging.getLogger("mao")

_PATIENCE = 2  # seconds for answers that are under way when the server stops


class Server(uvicorn.Server):
    """uvicorn, serving the application of `node` at all of its doors."""

    def __init__(self, node: LocalNode, at: list[Door], entrance: Entrance) -> None:
        self._node = node
        self._doors = at
        self._app: FastAPI = create(node, entrance)
        super().__init__(self._configured("httptools"))

    def _configured(self, protocol: type[HttpToolsProtocol] | str) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # it would believe whoever asks from this machine
            timeout_graceful_shutdown=_PATIENCE,
            http=protocol,
            ws="none",
            lifespan="on",
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen at each door as it wants it."""
        await super().startup(sockets or [])
        if not self.started:
            return
        for door in self._doors:
            await self._open(door)

    async def _open(self, door: Door) -> None:
        settings = self._configured(door.protocol)
        settings.load()
        served = await asyncio.get_running_loop().create_server(
            lambda: door.protocol(settings, self.server_state, self.lifespan.state),
            sock=door.socket,
            ssl=door.context,
            ssl_handshake_timeout=HANDSHAKE if door.context else None,
            backlog=BACKLOG,
        )
        self.servers.append(served)

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002  # uvicorn calls it
        """Stop. uvicorn's own would raise the signal again at the end, which kills the process before it has closed."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let followers go and end git before answers are waited for: either would hold the server for long."""
        self._app.state.changes.stop()
        for connection in tuple(self._app.state.relayed):
            connection.transport.abort()
        await run_in_threadpool(self._node.git.close)
        await super().shutdown(sockets)


def serve(config: Config, ready: Callable[[str | None, str | None], None], *, link: bool = False) -> None:
    """Serve the node until SIGTERM or SIGINT; runs and installers go on without it.

    Args:
        config: of the node.
        ready: is told when the server answers: the address for those who have a token, and a link for a browser.
        link: whether to make such a link.

    Raises:
        NodeRunning: another process serves this node.
        NodeTaken: another node of the cluster has its name.
        BadSetting: an address is taken or not to be used, or a file of a certificate is not there.
    """
    with ExitStack() as closing:
        node = closing.enter_context(opened(config))
        at, entrance = doors(config, closing)
        daemon = Daemon(node)
        server = Server(node, at, entrance)
        daemon.start()
        try:
            code = node.tokens.link(now()) if link and entrance.url else None
            ready(entrance.url, code and f"{entrance.url}/login?code={code}")
            server.run()
        finally:
            daemon.stop()
