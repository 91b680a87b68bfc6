"""Serving: the node opened, its daemon started, HTTP answered until a signal comes."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn
from fastapi.concurrency import run_in_threadpool

from mao.daemon import Daemon
from mao.errors import BadSetting
from mao.local_node import opened
from mao.web.app import create

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from mao.config import Config
    from mao.local_node import LocalNode

log = logging.getLogger("mao")

_PATIENCE = 2  # seconds for answers that are under way when the server stops


class Server(uvicorn.Server):
    """uvicorn, serving the application of `node`."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._app: FastAPI = create(node)
        super().__init__(
            uvicorn.Config(
                self._app,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
                http="httptools",
                ws="none",
                lifespan="on",
            )
        )

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002  # uvicorn calls it
        """Stop. uvicorn's own would raise the signal again at the end, which kills the process before it has closed."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let followers go and end git before answers are waited for: either would hold the server for long."""
        self._app.state.changes.stop()
        await run_in_threadpool(self._node.git.close)
        await super().shutdown(sockets)


def serve(config: Config, ready: Callable[[str], None]) -> None:
    """Serve the node until SIGTERM or SIGINT; runs and installers go on without it.

    Args:
        config: of the node.
        ready: is told the address when the server answers there.

    Raises:
        NodeRunning: another process serves this node.
        BadSetting: the address is taken.
    """
    host, port = config.listen
    with opened(config) as node:
        listening = listen(host, port)
        daemon = Daemon(node)
        server = Server(node)
        daemon.start()
        try:
            ready(f"http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}")
            server.run(sockets=[listening])
        finally:
            daemon.stop()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        BadSetting: the address is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol asyncio leaves Nagle's algorithm on: each answer would wait 40 ms for the client's ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise BadSetting(
            f"The server cannot listen on {host}:{port}: {error.strerror}. Is another node there? Set server.listen"
            " (MAO_SERVER__LISTEN) to another address."
        ) from error
    listening.listen(2048)
    return listening
