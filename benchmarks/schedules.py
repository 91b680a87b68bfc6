"""Many schedules on one node, a part of them due in the same second: how late they start, what waiting costs.

    python benchmarks/schedules.py [--schedules N ...] [--due N] [--idle SECONDS]

The floor is what this machine takes to start as many no-op processes from one Python process, all wanted at the same
moment. Goal with 10,000 schedules and 200 of them due: p99 of the start at most 1 s later than that of the floor.
Memory and processor time are those of an idle node, of which no schedule is due, beside those of a node without any.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

from mao.schedule import Schedule
from mao.store import Store
from mao.values import new_id, now
from support import ServedNode, bare, commit, eventually, tool_files

_AHEAD = 20
"""Seconds from the start of the node to the moment at which schedules are due; more with more schedules."""
_TOGETHER = 1000
_IDLE = 30
"""Thousandths of a processor that a node takes at most when it has nothing to do."""


def schedule(cron: str) -> Schedule:
    present = now()
    given: dict[str, Any] = {"tool": "probe", "command": "Nothing", "arguments": [], "cron": cron, "node": "alpha"}
    return Schedule(id=new_id(), created_at=present, changed_at=present, reckoned_until=present, **given)


def fill(home: Path, idle: int, due: int, at: datetime) -> None:
    """Add `idle` schedules of which none is due within hours of `at`, and `due` that are due then."""
    far = [schedule(f"{number % 60} {(at.hour + 6 + number % 12) % 24} * * *") for number in range(idle)]
    near = [schedule(f"{at.second} {at.minute} {at.hour} * * *") for _ in range(due)]
    store = Store(home / "store.sqlite")
    both = far + near
    for first in range(0, len(both), _TOGETHER):
        store.save(*both[first : first + _TOGETHER], flush=False)
    store.close()


def floor(count: int) -> list[float]:
    """Seconds until each of `count` no-op processes is started."""
    begun = time.monotonic()
    started, processes = [], []
    for _ in range(count):
        processes.append(subprocess.Popen(["true"]))
        started.append(time.monotonic() - begun)
    for process in processes:
        process.wait()
    return started


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def prepared(work: Path) -> ServedNode:
    """A node with the tool, not served."""
    remote = bare(work / "data.git")
    commit(work / "probe", tool_files(remote, scripts={"Nothing": ""}))
    node = ServedNode(work / "home", "alpha", {"MAO_RUNS__LIMIT": "200"}, fresh=True).start()
    node.install(work / "probe")
    node.stop()
    return node


def idle_cost(node: ServedNode, seconds: float) -> tuple[float, float]:
    """Megabytes, and thousandths of a processor, that the node takes while nothing is due."""
    assert node.process is not None
    process = psutil.Process(node.process.pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    used = (after.user + after.system) - (before.user + before.system)
    return process.memory_info().rss / 1e6, 1000 * used / seconds


def until_idle(node: ServedNode) -> None:
    """Wait until all schedules are in the agenda, which the node does beside its work."""
    eventually(lambda: idle_cost(node, 2)[1] < _IDLE, "the node has read its schedules", 120)


def measure(work: Path, count: int, due: int, idle: float) -> None:
    node = prepared(work)
    ahead = _AHEAD + idle + count / 1000
    at = (now() + timedelta(seconds=ahead)).replace(microsecond=0)
    fill(node.home, count - due, due, at)
    begun = time.monotonic()
    node.start()
    ready = time.monotonic() - begun
    until_idle(node)
    memory, cpu = idle_cost(node, idle)
    print(f"{count} schedules: ready after {ready:.1f} s; idle {memory:.0f} MB, {cpu:.1f} thousandths of a processor")
    if not due:
        node.stop()
        return
    assert now() < at, "the node took too long to get ready: nothing was measured"
    time.sleep(max(0.0, (at - now()).total_seconds()))
    late = eventually(lambda: lateness(node, at, due), "all have started", 120)
    bare_start = floor(due)
    print(
        f"  {due} due at once: started after {statistics.median(late):.2f} s (median), {p99(late):.2f} s (p99); floor"
        f" {p99(bare_start):.2f} s (p99); later than that by {p99(late) - p99(bare_start):.2f} s"
    )
    node.stop()


def lateness(node: ServedNode, at: datetime, due: int) -> list[float] | None:
    """Seconds from `at` until each run was started; None until all have ended."""
    runs = node.api("GET", "/runs?page_size=500")["items"]
    started = [datetime.fromisoformat(run["started_at"]) for run in runs if run["ended_at"]]
    time.sleep(0.5)
    return [(moment - at).total_seconds() for moment in started] if len(started) == due else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a node with many schedules.")
    parser.add_argument("--schedules", type=int, nargs="+", default=[0, 10_000, 100_000])
    parser.add_argument("--due", type=int, default=200, help="so many of them at once")
    parser.add_argument("--idle", type=float, default=20, help="seconds for which an idle node is watched")
    given = parser.parse_args()
    for count in given.schedules:
        with tempfile.TemporaryDirectory(prefix="mao-schedules-") as work:
            measure(Path(work), count, min(given.due, count), given.idle)


if __name__ == "__main__":
    main()
