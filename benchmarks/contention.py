"""Many publishers, one dataset: whether all arrives, each once and in order, how quickly, and how fairly shared.

    python benchmarks/contention.py [--publishers 2 8 32] [--runs 20] [--burst] [--files 1000] [--keep DIR]

Each publisher is a node in a process of its own, with a home of its own; all publish to one remote over file://, one
new file a run, 20 runs each. A publisher makes its next run as soon as the remote holds the last one (`--burst`: all
at once). Before, each has published one run by itself, so that nothing is set up while the clock runs. The floor,
before and after that: as many who do the same by plain git side by side, `git fast-import` and `git push`, each to a
branch of its own, so that nobody is in anybody's way.

When all runs are on the branch, or `--patience` is over, the branch is checked: each run once in the trailers, every
file with its content, the runs of a node in the order it made them, `git fsck` clean, no inbox left.

Figures: runs a second until safe at the remote, and until on the branch; latency of both; pushes for each run, lost
races and retries with them (counted by a script in the place of `git-receive-pack`, for which the floor pays, too);
Jain's index over the publishers' throughput (1: all have the same; 1/n: one has all; Jain, Chiu, Hawe 1984). Goals:
all there, each once, in order; Jain at least 0.95; with 32 publishers at least 20 runs a second where the floor
reaches 24, so a ratio of 0.83.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import datasets
from history import Made, faults
from publisher import publisher
from support import GIT_ENVIRONMENT, git

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

JAIN, OF_FLOOR = 0.95, 20 / 24
FAULTS = 5
"""How many are shown."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one publisher does."""

    node: str
    home: Path
    remote: Path
    exec_path: Path
    folder: str
    runs: int
    burst: bool
    patience: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, and when it was made, safe, and on the branch (monotonic clock, s); None: it was not."""

    made: Made
    begun: float
    safe: float | None
    there: float | None


def publish(pipe: Connection, task: Task) -> None:
    """Publish one run when told to, then the others when told to; then stay until told to end."""
    os.environ.update(GIT_ENVIRONMENT | {"GIT_EXEC_PATH": str(task.exec_path)})
    with publisher(task.home, task.node, f"file://{task.remote}") as own:
        begun = list[tuple[Made, float]]()

        def make(number: int) -> str:
            path, content = f"{task.folder}/{task.node}-{number:04d}.csv", f"{task.node},{number}\n".encode()
            run = own.ran({path: content})
            begun.append((Made(task.node, run.id, path, content), time.monotonic()))
            own.publish(run)
            return run.id

        for numbers in (range(1), range(1, task.runs + 1)):
            pipe.recv()
            begun, deadline = [], time.monotonic() + task.patience
            for number in numbers:
                run = make(number)
                if not task.burst and own.wait(own.safe, run, deadline - time.monotonic()) is None:
                    break
            for made, _ in begun:
                own.wait(own.there, made.run, deadline - time.monotonic())
            pipe.send([Outcome(made, at, own.safe.get(made.run), own.there.get(made.run)) for made, at in begun])
        pipe.recv()


def floor(work: Path, source: Path, folder: str, publishers: int, runs: int) -> float:
    """Commits a second of plain git, each publisher pushing each of its own to a branch of its own."""
    remote = datasets.copy(source, work / "remote.git")
    clones = [datasets.copy(source, work / f"{number}.git") for number in range(publishers)]

    def publish_plainly(clone: Path) -> None:
        for run in range(runs):
            _commit(clone, f"{folder}/floor-{clone.stem}-{run}.csv")
            git("push", "--quiet", f"file://{remote}", f"main:refs/heads/own-{clone.stem}", cwd=clone)

    threads = [threading.Thread(target=publish_plainly, args=(clone,)) for clone in clones]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begun
    there = git("for-each-ref", "--format=%(objectname)", "refs/heads/own-*", cwd=remote).splitlines()
    assert sorted(there) == sorted(git("rev-parse", "main", cwd=clone) for clone in clones), "a push failed"
    return publishers * runs / took


def _commit(clone: Path, path: str) -> None:
    stream = (
        "commit refs/heads/main\ncommitter a <a@example.org> now\ndata 4\nsync\nfrom refs/heads/main^0\n"
        f"M 100644 inline {path}\ndata {len(path)}\n{path}\n"
    )
    git("fast-import", "--quiet", "--date-format=now", cwd=clone, given=stream.encode())


def contend(tasks: list[Task]) -> tuple[list[list[Outcome]], list[list[Outcome]], int]:
    """The outcomes of each publisher before and while all published at the same time; the pushes that took."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for task in tasks:
        ours, theirs = context.Pipe()
        process = context.Process(target=publish, args=(theirs, task), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    warm: list[list[Outcome]] = []
    for pipe in pipes:  # one after the other
        pipe.send("begin")
        warm.append(pipe.recv())
    before = pushes(tasks[0].exec_path)
    for pipe in pipes:
        pipe.send("begin")
    outcomes: list[list[Outcome]] = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send("end")
    for process in processes:
        process.join()
    return warm, outcomes, pushes(tasks[0].exec_path) - before


def counting(exec_path: Path) -> Path:
    """A directory of git's programs, of which `git-receive-pack` adds a line to `pushes` beside it before its work."""
    real = Path(git("--exec-path", cwd=exec_path.parent))
    exec_path.mkdir()
    for program in real.iterdir():
        (exec_path / program.name).symlink_to(program)
    script = exec_path / "git-receive-pack"
    script.unlink()
    script.write_text(f'#!/bin/sh\necho >>{exec_path.parent}/pushes\nexec {real}/git-receive-pack "$@"\n')
    script.chmod(0o755)
    return exec_path


def pushes(exec_path: Path) -> int:
    """How many there have been until now."""
    return (exec_path.parent / "pushes").stat().st_size


def jain(shares: list[float]) -> float:
    """Jain's fairness index."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def show(outcomes: list[list[Outcome]], pushed: int, floors: tuple[float, float], wrong: list[str]) -> None:
    """Print the figures of all publishers, and which goals they met."""
    runs = [run for own in outcomes for run in own]
    safe, there = [run.safe for run in runs if run.safe], [run.there for run in runs if run.there]
    begun = min(run.begun for run in runs)
    rates = [len(moments) / (max(moments) - begun) if moments else 0 for moments in (safe, there)]
    fairness = jain([_throughput(own) for own in outcomes])
    print(f"\n{len(outcomes)} publishers, {len(runs)} runs; floor {floors[0]:.1f} and {floors[1]:.1f} pushes/s")
    print(f"  safe           {rates[0]:6.1f} runs/s   {_latency(runs, [run.safe for run in runs])}")
    print(f"  on the branch  {rates[1]:6.1f} runs/s   {_latency(runs, [run.there for run in runs])}")
    print(f"  pushes per run {pushed / len(runs):6.2f}")
    print(f"  all there, each once, in order: {'met' if not wrong else 'missed'}")
    for fault in wrong[:FAULTS]:
        print(f"    {fault}")
    if len(wrong) > FAULTS:
        print(f"    and {len(wrong) - FAULTS} more")
    print(f"  Jain's index {fairness:.3f} (at least {JAIN}): {'met' if fairness >= JAIN else 'missed'}")
    ratio = rates[0] / statistics.mean(floors)
    told = f"  safe over floor {ratio:.2f} (with 32 publishers at least {OF_FLOOR:.2f})"
    print(told + (f": {'met' if ratio >= OF_FLOOR else 'missed'}" if len(outcomes) == 32 else ""))
    sys.stdout.flush()


def _throughput(own: list[Outcome]) -> float:
    safe = [run.safe for run in own if run.safe]
    return len(safe) / (max(safe) - own[0].begun) if safe else 0


def _latency(runs: list[Outcome], moments: list[float | None]) -> str:
    took = sorted(moment - run.begun for run, moment in zip(runs, moments, strict=True) if moment)
    if not took:
        return "none"
    return f"p50 {took[len(took) // 2]:.2f} s, p95 {took[len(took) * 95 // 100]:.2f} s, most {took[-1]:.2f} s"


def compare(work: Path, source: Path, publishers: int, options: argparse.Namespace) -> bool:
    """Whether all arrived as it should."""
    remote, exec_path = datasets.copy(source, work / "remote.git"), counting(work / "git-core")
    folder = datasets.new_path("dated", options.files, "").rstrip("/")

    def measured_floor(name: str) -> float:
        os.environ["GIT_EXEC_PATH"] = str(exec_path)
        try:
            return floor(work / name, source, folder, publishers, options.runs)
        finally:
            del os.environ["GIT_EXEC_PATH"]

    tasks = [
        Task(name, work / name, remote, exec_path, folder, options.runs, options.burst, options.patience)
        for name in (f"node-{number:02d}" for number in range(publishers))
    ]
    before = measured_floor("before")
    warm, outcomes, pushed = contend(tasks)
    floors = (before, measured_floor("after"))
    made = [run.made for first, own in zip(warm, outcomes, strict=True) for run in (*first, *own)]
    wrong = faults(remote, made)
    if unmade := publishers * (options.runs + 1) - len(made):
        wrong.append(f"{unmade} runs were not made: the patience was over before")
    show(outcomes, pushed, floors, wrong)
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--publishers", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--runs", type=int, default=20, help="of each publisher")
    parser.add_argument("--burst", action="store_true", help="each makes all its runs at once")
    parser.add_argument("--files", type=int, default=1000, help="in the dataset, in dated folders")
    parser.add_argument("--patience", type=float, default=600, help="seconds until what is not there is missing")
    parser.add_argument("--keep", type=Path, help="keep the dataset here, for other benchmarks")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    right = True
    for publishers in options.publishers:
        with tempfile.TemporaryDirectory(dir=options.keep) as name:  # on the same disk, so that copies share files
            work = Path(name).absolute()
            source = datasets.remote((options.keep or work).absolute(), "dated", options.files)
            right = compare(work, source, publishers, options) and right
    if not right:
        sys.exit("some of what was published is not as it should be")  # a bug, whatever the figures


if __name__ == "__main__":
    main()
