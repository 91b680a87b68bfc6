"""What the pages of runs cost: with many runs over few, and the output of a run that printed much over little.

    python benchmarks/pages.py [--runs N] [--megabytes N] [--requests N]

Each figure is the median of the ratio of neighbouring requests to two nodes (of output: two runs of one node). Goals:
50 of 10,000 runs, also of those that a filter chooses, at most 1.5 of 50 of 100; the end, the beginning and the middle
of a log of 100 MB at most 1.5 of those of one of 100 kB; a step of a search at most 0.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from floors import Connection, Pairs
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.store import Store
from mao.values import new_id, now
from support import ServedNode

if TYPE_CHECKING:
    from collections.abc import Callable

FEW = 100
RARE = 50
"""Runs of one tool, dataset and state, in either node: so that each page has 50."""
LINE = "2026-11-28 12:00:00 \x1b[32mok\x1b[0m measured host-{:06} in 12.5 ms\n"


def a_run(number: int, *, rare: bool) -> Run:
    """A run as they are, of the tool that is run often or of the other one."""
    name, began = ("rare" if rare else "often"), now() - timedelta(days=1)
    publication = Publication(
        dataset=f"{name}-data",
        remote="https://github.com/group/data.git",
        state=PublicationState.PUBLISHED,
        branch="main",
        commit=f"{number:040x}",
        files=(PublishedFile(path=f"2026/11/28/{number}.csv", size=1000),),
        pushed_at=now(),
    )
    state = RunState.TIMED_OUT if rare else RunState.SUCCEEDED
    return Run(
        id=new_id(),
        tool=name,
        tool_commit="a" * 40,
        command="Measure",
        arguments={"Target": f"host-{number}"},
        dataset=f"{name}-data",
        node="alpha",
        publish=True,
        fresh=True,
        state=state,
        exit_code=0,
        created_at=began,
        started_at=began,
        ended_at=now(),
        finished_at=now(),
        cpu_seconds=1.0,
        max_rss=10_000_000,
        log_bytes=0,
        publication=publication,
    )


def prepare(home: Path, runs: int) -> list[str]:
    """A node's home with so many runs in its store; their ids, the newest first."""
    home.mkdir()
    store = Store(home / "store.sqlite")
    made = [a_run(number, rare=number % (runs // RARE) == 0) for number in range(runs)]
    for begin in range(0, runs, 1000):
        store.save(*made[begin : begin + 1000])
    store.close()
    return sorted((run.id for run in made), reverse=True)


def write_log(path: Path, size: int) -> None:
    block = "".join(LINE.format(number) for number in range(1000)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])


def in_turns(requests: int, *sides: Callable[[], float]) -> Pairs:
    pairs = [(sides[0](), sides[1]()) for _ in range(requests)]
    return Pairs(pairs[requests // 10 :])


def pages(small: ServedNode, large: ServedNode, requests: int) -> None:
    few, many = (Connection(node.port, node.token("read")) for node in (small, large))
    for words, query in (
        ("the newest", ""),
        ("of a tool", "?tool=often"),
        ("of a tool, in a state", "?tool=often&state=succeeded"),
        ("of a tool that is seldom run", "?tool=rare"),
        ("in a state that is rare", "?state=timed-out"),
        ("of a dataset", "?dataset=often-data"),
        ("of a dataset, in a rare state", "?dataset=rare-data&state=timed-out"),
        ("that there are none of", "?tool=often&state=failed"),
    ):
        path = f"/view/runs{query}"
        pairs = in_turns(requests, lambda path=path: few.get(path)[0], lambda path=path: many.get(path)[0])  # type: ignore[misc]
        print(f"runs {words:30} {pairs}")


def output(node: ServedNode, short: str, long: str, size: int, requests: int) -> None:
    connection = Connection(node.port, node.token("read"))
    for words, query in (("end", ""), ("beginning", "?from=0"), ("middle", "?at={}")):
        paths = [f"/view/runs/{run}/output{query.format(half)}" for run, half in ((short, 50_000), (long, size // 2))]
        pairs = in_turns(requests, *(lambda path=path: connection.get(path)[0] for path in paths))
        print(f"output, its {words:24} {pairs}")
    path = f"/api/v1/runs/{long}/log/search?text=nowhere"
    steps = [connection.get(path)[0] for _ in range(max(5, requests // 10))]
    print(f"output, a step of a search         {statistics.median(steps) * 1000:6.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--requests", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        prepare(work / "small", FEW)
        ids = prepare(work / "large", arguments.runs)
        size = arguments.megabytes * 1_000_000
        for run, length in zip(ids, (100_000, size), strict=False):
            write_log(work / "large" / "runs" / run / "log", length)
        small, large = (ServedNode(work / node).start() for node in ("small", "large"))
        pages(small, large, arguments.requests)
        output(large, ids[0], ids[1], size, arguments.requests)
        small.stop()
        large.stop()


if __name__ == "__main__":
    main()
