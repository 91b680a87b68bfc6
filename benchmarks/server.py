"""What the server costs: lists over the same bytes from a bare server, p99 under load, start-up, memory.

    python benchmarks/server.py [--tools N] [--requests N]

The bare server is an ASGI application under the same uvicorn that sends the same bytes for every path. Each figure is
the median of the ratio of neighbouring requests on two kept connections. Goals: all names of 10,000 tools at most 5, a
page of 50 and the help with 100 installed tools at most 2; p99 of the list while 8 runs are under way at most 1.5 of
idle; `mao --version` and `mao tool list` at most 5 and 8 of `python -c pass`; an idle node below 100 MB.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

from floors import Connection, listed
from mao.catalogue import TOOLS, Tool
from mao.installation import Attempt, Installation, InstallationState, Step
from mao.registries.sqlite import SqliteRegistry
from mao.store import Store
from mao.values import new_id, now
from registrations import fill
from support import ServedNode, bare, commit, eventually, tool_files


def prepare(home: Path, tools: int) -> None:
    """A node's home with so many registered tools, 100 of them installed."""
    home.mkdir()
    registry, store = SqliteRegistry(home / "registry.sqlite"), Store(home / "store.sqlite")
    fill(registry, tools)
    for entry in registry.entries(TOOLS, limit=100)[0]:  # as the goal has it
        tool = Tool.model_validate_json(entry.value)
        attempt = Attempt(
            id=new_id(),
            commit=tool.commit,
            url=tool.url,
            ref=tool.ref,
            definition=tool.definition,
            step=Step.DONE,
            started_at=now(),
        )
        store.save(
            Installation(
                tool=tool.name,
                state=InstallationState.INSTALLED,
                commit=tool.commit,
                definition=tool.definition,
                url=tool.url,
                dataset=tool.dataset,
                tree=attempt.id,
                installed_at=attempt.started_at,
                attempt=attempt,
            )
        )
    registry.close()
    store.close()


def p99(node: ServedNode, requests: int) -> float:
    connection = Connection(node.port, node.token("read"))
    return statistics.quantiles([connection.get("/api/v1/tools")[0] for _ in range(requests)], n=100)[98] * 1000


def under_load(work: Path, requests: int) -> str:
    """p99 of the list while nothing runs, and while eight runs print a line every 50 ms."""
    remote = bare(work / "data.git")
    # A builtin that waits: forking a process for each line would measure the forks.
    script = "exec {never}<> <(:)\nwhile ! test -e stop; do echo still measuring; read -t 0.05 -u $never || :; done\n"
    commit(work / "busy", tool_files(remote, name="busy", scripts={"Stay": script}))
    node = ServedNode(work / "loaded", fresh=True).start()
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
        small = ServedNode(work / "small", fresh=True).start()
        memory = psutil.Process(small.process.pid if small.process else 0).memory_info().rss / 1e6
        print(f"resident memory, idle and empty     {memory:.0f} MB")
        print(f"mao --version                       {start_up(small, ['--version'])}")
        print(f"mao tool list                       {start_up(small, ['tool', 'list'])}")
        small.stop()
        prepare(work / "large", arguments.tools)
        large = ServedNode(work / "large", fresh=True).start()
        print(f"names of {arguments.tools:,} tools             {listed(large, '/regtools', arguments.requests)}")
        page, helped = "/api/v1/tools?page_size=50", "/api/v1/installations/tool-000050/help"
        print(f"page of 50                          {listed(large, page, arguments.requests)}")
        print(f"help, 100 installed                 {listed(large, helped, arguments.requests)}")
        memory = psutil.Process(large.process.pid if large.process else 0).memory_info().rss / 1e6
        print(f"resident memory, {arguments.tools:,} tools      {memory:.0f} MB")
        large.stop()


if __name__ == "__main__":
    main()
