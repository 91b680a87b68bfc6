"""Serving: the node opened, its daemon started, HTTP answered until a signal comes."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import uvicorn
from fastapi.concurrency import run_in_threadpool

from mao.daemon import Daemon
from mao.errors import BadSetting
from mao.local_node import opened
from mao.web.app import create
from mao.web.peers import HANDSHAKE, PeerProtocol, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from mao.config import Config
    from mao.local_node import LocalNode

log = logging.getLogger("mao")

_BACKLOG = 2048
_PATIENCE = 2  # seconds for answers that are under way when the server stops


class Server(uvicorn.Server):
    """uvicorn, serving the application of `node`; to the nodes of its cluster, too, if they have their socket."""

    def __init__(self, node: LocalNode, peers: socket.socket | None = None) -> None:
        self._node = node
        self._peers = peers
        self._context = server_context(node.config) if peers else None
        self._app: FastAPI = create(node)
        super().__init__(self._configured("httptools"))

    def _configured(self, protocol: Literal["httptools"] | type[PeerProtocol]) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
            http=protocol,
            ws="none",
            lifespan="on",
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; where other nodes ask, with TLS."""
        await super().startup(sockets)
        if self._peers is None or not self.started:
            return
        settings = self._configured(PeerProtocol)
        settings.load()
        served = await asyncio.get_running_loop().create_server(
            lambda: PeerProtocol(settings, self.server_state, self.lifespan.state),
            sock=self._peers,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE,
            backlog=_BACKLOG,
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


def serve(config: Config, ready: Callable[[str], None]) -> None:
    """Serve the node until SIGTERM or SIGINT; runs and installers go on without it.

    Args:
        config: of the node.
        ready: is told the address when the server answers there.

    Raises:
        NodeRunning: another process serves this node.
        NodeTaken: another node of the cluster has its name.
        BadSetting: an address is taken, or a file of cluster.certificate is not there.
    """
    host, port = config.listen
    others: tuple[str, int] | None = config["cluster.listen"]
    with ExitStack() as closing:
        node = closing.enter_context(opened(config))
        listening = closing.enter_context(listen(host, port))
        peers = closing.enter_context(listen(others[0], others[1], "cluster.listen")) if others else None
        daemon = Daemon(node)
        server = Server(node, peers)
        daemon.start()
        try:
            ready(f"http://{host if ':' not in host else f'[{host}]'}:{listening.getsockname()[1]}")
            server.run(sockets=[listening])
        finally:
            daemon.stop()


def listen(host: str, port: int, setting: str = "server.listen") -> socket.socket:
    """A socket that listens where `setting` says.

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
            f"The server cannot listen on {host}:{port}: {error.strerror}. Is another node there? Set {setting}"
            f" (MAO_{setting.upper().replace('.', '__')}) to another address."
        ) from error
    listening.listen(_BACKLOG)
    return listening
