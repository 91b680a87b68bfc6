"""A node that serves in this process, for tests that look inside; and a reader of server-sent events."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mao import config
from mao.catalogue import DATASETS, TOOLS
from mao.daemon import Daemon
from mao.local_node import LocalNode, opened
from mao.web.listening import doors
from mao.web.server import Server
from support import PATIENCE, ServedNode, bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.registry import Entry


@dataclass
class Serving(ServedNode):
    """A node that serves in a thread of this process."""

    node: LocalNode = None  # type: ignore[assignment]  # a field after fields with defaults needs one
    server: Server = None  # type: ignore[assignment]  # likewise

    def count(self) -> tuple[int, list[Entry]]:
        """Tells of every change of the store and of the registry, but for what the node says of itself."""
        registered = [entry for prefix in (TOOLS, DATASETS) for entry in self.node.mirror.entries(prefix)]
        return self.node.store.last_seq(), registered


@contextmanager
def serving(home: Path, **more: str) -> Iterator[Serving]:
    """Serve the node in `home`; `more` are settings (`runs__limit="2"`)."""
    flags = {"node.home": str(home), "node.name": "alpha", "publishing.first_pause": "0.1", "runs.executor": "process"}
    flags |= {"server.listen": "127.0.0.1:0"} | {name.replace("__", "."): value for name, value in more.items()}
    settings = config.load({"HOME": str(home.parent)}, flags)
    with ExitStack() as closing:
        node = closing.enter_context(opened(settings))
        at, entrance = doors(settings, closing)
        server, daemon = Server(node, at, entrance), Daemon(node)
        thread = threading.Thread(target=server.run)
        daemon.start()
        thread.start()
        try:
            port = at[1].socket.getsockname()[1] if settings.listen else 0
            yield Serving(home, settings.node, port=port, node=node, server=server)
        finally:
            server.should_exit = True
            thread.join()
            daemon.stop()


@contextmanager
def serving_probe(directory: Path, **files: Any) -> Iterator[Serving]:
    """Serve a node with a tool `probe`, made by `tool_files` with `files`; all of it is in `directory`."""
    commit(directory / "probe", tool_files(bare(directory / "data.git"), **files))
    with serving(directory / "home") as node:
        node.install(directory / "probe")
        yield node


@dataclass(frozen=True)
class SentEvent:
    """A server-sent event."""

    event: str
    id: str
    data: str


def follow(node: ServedNode, path: str, last: str | None = None) -> Iterator[SentEvent]:
    """The events of a stream, until it ends or the iterator is closed."""
    connection = node.connection(PATIENCE)
    try:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last is not None else {})
        connection.request("GET", f"/api/v1{path}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, Any] = {}
        for raw in answer:
            line = raw.decode().removesuffix("\n")
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
            elif fields:
                yield SentEvent(fields.get("event", ""), fields.get("id", ""), fields.get("data", ""))
                fields = {}
    finally:
        connection.close()


@contextmanager
def hanging_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """The URL of a server that takes connections and never answers, and the connections it has taken."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listening:

        def accept() -> None:
            while True:
                try:
                    taken.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/x.git", taken
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()
