from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from serving import follow
from support import PATIENCE, ServedNode

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_node_that_is_told_to_stop_closes_everything_and_ends_well(serve: Callable[..., ServedNode]) -> None:
    node = serve(fresh=True)
    streams = [follow(node, "/events") for _ in range(3)]
    assert {next(stream).event for stream in streams} == {"hello"}
    assert node.process is not None

    node.process.terminate()

    assert [list(stream) for stream in streams] == [[], [], []]
    assert node.process.wait(timeout=PATIENCE) == 0
    assert not (node.home / "store.sqlite-wal").exists()
    assert (node.home.parent / f"{node.home.name}.log").read_text() == ""


def test_a_client_that_reads_nothing_does_not_hold_the_server(serve: Callable[..., ServedNode]) -> None:
    node = serve(fresh=True)
    assert node.process is not None
    with socket.create_connection(("127.0.0.1", node.port)) as silent:
        silent.sendall(b"POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")

        node.process.terminate()

        assert node.process.wait(timeout=PATIENCE) == 0
