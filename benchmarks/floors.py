"""What benchmarks of servers and of etcd share: a bare server that sends the same bytes, the ratio to it, goals."""

from __future__ import annotations

import http.client
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import ServedNode

BARE = """
import sys, uvicorn
body = open(sys.argv[2], "rb").read()
async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, http="httptools", lifespan="off")
"""


class Connection:
    """A kept connection to a server on loopback, with a token if it wants one."""

    def __init__(self, port: int, token: str = "") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str) -> tuple[float, bytes]:
        """Seconds that it took, and the body."""
        begun = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        body = self._connection.getresponse().read()
        return time.perf_counter() - begun, body


@contextmanager
def bare_server(body: bytes) -> Iterator[int]:
    """A server that sends `body` for every path; its port."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        process = subprocess.Popen([sys.executable, "-c", BARE, str(port), file.name])
        try:
            eventually(lambda: _answers(port))
            yield port
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        Connection(port).get("/")
    except OSError:
        return False
    return True


class Pairs:
    """Seconds that the floor and our own way took, in turns."""

    def __init__(self, pairs: list[tuple[float, float]]) -> None:
        self.floor, self.own = (statistics.median(side) for side in zip(*pairs, strict=True))
        self.ratio = statistics.median(own / floor for floor, own in pairs)

    def __str__(self) -> str:
        return f"floor {self.floor * 1000:6.2f} ms   own {self.own * 1000:6.2f} ms   ratio {self.ratio:.2f}"


def listed(node: ServedNode, path: str, requests: int) -> Pairs:
    """A list of `node`, and of a bare server that sends the same bytes."""
    own = Connection(node.port, node.token("read"))
    _, body = own.get(path)
    with bare_server(body) as bare:
        floor = Connection(bare)
        return Pairs([(floor.get(path)[0], own.get(path)[0]) for _ in range(requests + 50)][50:])


def goal(what: str, value: float, most: float, form: Callable[[float], str] = "{:.2f}".format) -> None:
    """Say whether `value` is at most what it should be."""
    print(f"  goal: {what}: {form(value)} (at most {form(most)}): {'met' if value <= most else 'missed'}")


def etcd_is_missing() -> bool:
    """Whether nothing of a cluster can be measured here; if so, it is said."""
    missing = not (shutil.which("etcd") and shutil.which("etcdctl"))
    if missing:
        print("etcd is not installed (Debian: etcd-server, etcd-client): what a cluster costs is NOT measured here")
    return missing
