from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from mao.processes import descendants, kill_marked, marked, signal_descendant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Spawn = Callable[..., psutil.Process]

DEADLINE = 60.0
REST = "echo ready; exec sleep 1000"


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Runs a shell script in an environment; returns once it has printed `ready`."""
    spawned: list[subprocess.Popen[str]] = []

    def run(script: str, **environment: str) -> psutil.Process:
        environment |= {"PATH": "/usr/bin:/bin", "MAO_TEST_OF": str(tmp_path)}
        process = subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        spawned.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdout.close()
        return psutil.Process(process.pid)

    yield run
    assert kill_marked("MAO_TEST_OF", str(tmp_path), DEADLINE)
    for process in spawned:
        process.wait()


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """Of this test alone: others may run at the same time."""
    return str(tmp_path / "mark")


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_mark_is_found_exactly(spawn: Spawn, mark: str) -> None:
    one = spawn(REST, MAO_TEST=mark, OTHER="1")
    for value in (f"{mark}/b", mark[:-1], f"x{mark}", f"{mark} ", ""):
        spawn(REST, MAO_TEST=value)
    spawn(REST, XMAO_TEST=mark, OTHER=f"MAO_TEST={mark}")
    spawn(REST, OTHER=f"\nMAO_TEST={mark}\n")
    assert marked("MAO_TEST", mark) == {one.pid}
    assert marked("MAO_TEST", f"{mark}/c") == set()


def test_what_lies_below_a_marked_process_is_found_whatever_its_environment(spawn: Spawn, mark: str) -> None:
    top = spawn("env -i sh -c 'sh -c \"echo ready; sleep 1000; true\"; true'; true", MAO_TEST=mark)
    until(lambda: len(top.children(recursive=True)) == 3)
    assert marked("MAO_TEST", mark) == {top.pid, *(child.pid for child in top.children(recursive=True))}


def test_what_has_ended_is_not_found_although_nobody_has_waited_for_it(spawn: Spawn, mark: str) -> None:
    one = spawn("echo ready", MAO_TEST=mark)
    until(lambda: has_ended(one))
    assert one.is_running()
    assert marked("MAO_TEST", mark) == set()


def test_a_process_never_finds_itself(mark: str) -> None:
    program = "from mao.processes import *; a = 'MAO_TEST', sys.argv[1]; print(marked(*a), kill_marked(*a))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}", mark],
        env={**os.environ, "MAO_TEST": mark},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"set() True\n"


def test_marked_processes_are_killed_however_they_resist(spawn: Spawn, mark: str) -> None:
    deaf = spawn("trap '' TERM INT HUP; (setsid sleep 1000 & echo ready); while :; do sleep 1; done", MAO_TEST=mark)
    stopped = spawn("echo ready; kill -STOP $$", MAO_TEST=mark)
    other = spawn(REST, MAO_TEST=f"{mark}/b")
    below = deaf.children(recursive=True)
    assert kill_marked("MAO_TEST", mark, DEADLINE)
    assert all(has_ended(process) for process in (deaf, stopped, *below))
    assert not has_ended(other)
    assert marked("MAO_TEST", mark) == set()


def test_marked_processes_are_killed_while_they_fork(spawn: Spawn, mark: str) -> None:
    program = "import os\nwhile True:\n  os.setsid() if os.getsid(0) != os.getpid() else 0\n  if os.fork(): os._exit(0)"
    spawn(f'echo ready; exec {sys.executable} -S -c "$0"'.replace("$0", program), MAO_TEST=mark)
    until(lambda: marked("MAO_TEST", mark))
    assert kill_marked("MAO_TEST", mark, DEADLINE)
    assert marked("MAO_TEST", mark) == set()


def test_what_cannot_be_killed_in_time_is_admitted(spawn: Spawn, mark: str) -> None:
    spawn(REST, MAO_TEST=mark)
    assert not kill_marked("MAO_TEST", mark, -1)


def test_descendants_come_with_their_parents_and_after_them(spawn: Spawn) -> None:
    top = spawn("sh -c 'sh -c \"echo ready; sleep 1000; true\"; true'; true")
    until(lambda: len(top.children(recursive=True)) == 3)
    found = [(pid, parent) for pid, parent in descendants() if parent != os.getpid() or pid == top.pid]
    tree = [top, *top.children(recursive=True)]
    assert [pair for pair in found if pair[0] in {process.pid for process in tree}] == [
        (process.pid, process.ppid()) for process in tree
    ]


def test_a_descendant_is_signalled_but_not_a_stranger_with_its_number(spawn: Spawn) -> None:
    top = spawn("sh -c 'echo ready; sleep 1000; true'; true")
    until(lambda: len(top.children(recursive=True)) == 2)
    child, grandchild = top.children(recursive=True)
    signal_descendant(grandchild.pid, top.pid, signal.SIGKILL)  # not its parent: so not the one that was meant
    assert not has_ended(grandchild)
    signal_descendant(grandchild.pid, child.pid, signal.SIGKILL)
    until(lambda: has_ended(grandchild))
    signal_descendant(top.pid, os.getpid(), signal.SIGKILL)
    until(lambda: has_ended(top))
