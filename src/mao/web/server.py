"""Serving: the node opened, its daemon started, HTTP answered until a signal comes."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import uvicorn

from mao.daemon import Daemon
from mao.errors import BadSetting
from mao.local_node import opened
from mao.web.app import create

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from mao.config import Config

log = logging.getLogger("mao")

_PATIENCE = 5  # seconds for answers that are under way when the server stops


class _Server(uvicorn.Server):
    """Lets followers go before it waits for them: a stream that is open would hold the server for ever."""

    def handle_exit(self, sig: int, frame: object) -> None:
        app: FastAPI = self.config.app  # type: ignore[assignment]  # it is given below
        if hasattr(app.state, "changes"):
            app.state.changes.stop()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # uvicorn's own type of a frame


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
        listening = _listen(host, port)
        daemon = Daemon(node)
        server = _Server(
            uvicorn.Config(
                create(node),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_PATIENCE,
                http="httptools",
                ws="none",
                lifespan="on",
            )
        )
        daemon.start()
        try:
            ready(f"http://{host if ':' not in host else f'[{host}]'}:{port}")
            server.run(sockets=[listening])
        finally:
            daemon.stop()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
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
