"""What the server costs: lists over the same bytes from a bare server, p99 under load, start-up, memory.

    python benchmarks/server.py [--tools N] [--requests N]

The bare server is an ASGI application under the same uvicorn that sends the same bytes for every path. Each figure is
the median of the ratio of neighbouring requests on two kept connections. Goals: all names of 10,000 tools at most 5, a
page of 50 and the help with 100 installed tools at most 2; p99 of the list while 8 runs are under way at most 1.5 of
idle; `mao --version` and `mao tool list` at most 5 and 8 of `python -c pass`; an idle node below 100 MB.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

from mao.catalogue import Tool, tool_key
from mao.definition_file import load
from mao.installation import Attempt, Installation, InstallationState, Step
from mao.registries.sqlite import SqliteRegistry
from mao.registry import Edit
from mao.store import Store
from mao.values import new_id, now
from support import ServedNode, bare, commit, eventually, free_port, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """A kept connection to a server on loopback."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def get(self, path: str) -> tuple[float, bytes]:
        begun = time.perf_counter()
        self._connection.request("GET", path)
        body = self._connection.getresponse().read()
        return time.perf_counter() - begun, body


def prepare(home: Path, tools: int) -> None:
    """A node's home with so many registered tools, 100 of them installed."""
    home.mkdir()
    registry, store = SqliteRegistry(home / "registry.sqlite"), Store(home / "store.sqlite")
    for i in range(tools):
        name = f"tool-{i:05d}"
        definition = load(tool_files("https://example.org/data.git", name=name)["mao.yaml"])
        moment = now()
        tool = Tool(
            name=name,
            url=f"https://example.org/{name}.git",
            ref="refs/heads/main",
            commit="0" * 40,
            definition=definition,
            dataset=f"{name}-data",
            registered_by="alpha",
            registered_at=moment,
        )
        registry.write(Edit(tool_key(name), tool.model_dump_json(by_alias=True).encode(), 0))
        if i < 100:  # as the goal has it
            attempt = Attempt(
                id=new_id(),
                commit="0" * 40,
                url=tool.url,
                ref=tool.ref,
                definition=definition,
                step=Step.DONE,
                started_at=moment,
            )
            store.save(
                Installation(
                    tool=name,
                    state=InstallationState.INSTALLED,
                    commit="0" * 40,
                    definition=definition,
                    url=tool.url,
                    dataset=tool.dataset,
                    tree=attempt.id,
                    installed_at=moment,
                    attempt=attempt,
                )
            )
    registry.close()
    store.close()


@contextmanager
def bare_server(body: bytes) -> Iterator[int]:
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


def ratio(node: ServedNode, path: str, requests: int) -> str:
    own = Connection(node.port)
    _, body = own.get(path)
    with bare_server(body) as port:
        floor = Connection(port)
        pairs = [(floor.get(path)[0], own.get(path)[0]) for _ in range(requests + 50)][50:]
    low, high = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    return f"floor {low:6.2f} ms   node {high:6.2f} ms   ratio {statistics.median(b / a for a, b in pairs):.2f}"


def p99(node: ServedNode, requests: int) -> float:
    connection = Connection(node.port)
    return statistics.quantiles([connection.get("/api/v1/tools")[0] for _ in range(requests)], n=100)[98] * 1000


def under_load(work: Path, requests: int) -> str:
    """p99 of the list while nothing runs, and while eight runs print a line every 50 ms."""
    remote = bare(work / "data.git")
    # A builtin that waits: forking a process for each line would measure the forks.
    script = "exec {never}<> <(:)\nwhile ! test -e stop; do echo still measuring; read -t 0.05 -u $never || :; done\n"
    commit(work / "busy", tool_files(remote, name="busy", scripts={"Stay": script}))
    node = ServedNode(work / "loaded").start()
    node.install(work / "busy", "busy")
    idle = p99(node, requests)
    runs = [node.run("Stay", tool="busy") for _ in range(8)]
    eventually(lambda: all(node.api("GET", f"/runs/{run['id']}")["state"] == "running" for run in runs))
    loaded = p99(node, requests)
    for run in runs:
        node.api("POST", f"/runs/{run['id']}/cancel")
    for run in runs:
        node.ended(run)
    node.stop()
    return f"idle  {idle:6.2f} ms   8 runs {loaded:6.2f} ms   ratio {loaded / idle:.2f}"


def started(command: list[str], environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def start_up(node: ServedNode, words: list[str]) -> str:
    environment = node.environment()
    mao = [str(Path(sys.executable).with_name("mao")), *words]
    pairs = [(started([sys.executable, "-c", "pass"], environment), started(mao, environment)) for _ in range(25)][5:]
    low, high = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    return f"floor {low:6.1f} ms   mao  {high:6.1f} ms   ratio {statistics.median(b / a for a, b in pairs):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        print(f"p99 of GET /api/v1/tools            {under_load(work, arguments.requests * 4)}")
        small = ServedNode(work / "small").start()
        memory = psutil.Process(small.process.pid if small.process else 0).memory_info().rss / 1e6
        print(f"resident memory, idle and empty     {memory:.0f} MB")
        print(f"mao --version                       {start_up(small, ['--version'])}")
        print(f"mao tool list                       {start_up(small, ['tool', 'list'])}")
        small.stop()
        prepare(work / "large", arguments.tools)
        large = ServedNode(work / "large").start()
        print(f"names of {arguments.tools:,} tools             {ratio(large, '/regtools', arguments.requests)}")
        print(f"page of 50                          {ratio(large, '/api/v1/tools?page_size=50', arguments.requests)}")
        helped = "/api/v1/installations/tool-00050/help"
        print(f"help, 100 installed                 {ratio(large, helped, arguments.requests)}")
        memory = psutil.Process(large.process.pid if large.process else 0).memory_info().rss / 1e6
        print(f"resident memory, {arguments.tools:,} tools      {memory:.0f} MB")
        large.stop()


if __name__ == "__main__":
    main()
