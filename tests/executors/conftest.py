"""What the tests of all executors need: jobs, their ends, and the proof that no process outlives a test."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mao.executor import Confinement, Ended, Executor, Job, Lost, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
PYTHON = tuple({Path(sys.prefix), Path(sys.base_prefix)})
DEADLINE = 60.0  # for a machine that does other things, too


@pytest.fixture
def new_job(tmp_path: Path) -> Callable[..., Job]:
    def make(*argv: str, directory: Path | None = None, **changes: object) -> Job:
        directory = directory or tmp_path / "job"
        directory.mkdir(exist_ok=True)
        values = {
            "cwd": tmp_path,
            "environment": ENVIRONMENT,
            "time_limit": DEADLINE,
            "log_limit": 50_000_000,
            "grace": 10.0,
            "confinement": Confinement(read=PYTHON, write=(tmp_path,)),
        }
        return Job(directory=directory, argv=argv, **(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object]) -> None:
        give_up = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up, "that did not come true in time"
            time.sleep(0.005)

    return wait


@pytest.fixture
def end_of() -> Callable[[Executor, str], Ended | Lost]:
    def wait(executor: Executor, handle: str) -> Ended | Lost:
        give_up = time.monotonic() + DEADLINE
        while isinstance(state := executor.poll(handle), Running):
            assert time.monotonic() < give_up, f"still {state}"
            time.sleep(0.005)
        return state

    return wait


@pytest.fixture(autouse=True)
def _no_process_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    give_up = time.monotonic() + DEADLINE
    while left := _processes_of(tmp_path):
        assert time.monotonic() < give_up, f"left over: {left}"
        time.sleep(0.005)


def _processes_of(directory: Path) -> list[str]:
    """Supervisors work in the directory of their job, programs carry its name; both lie below `directory`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            here = str((process / "cwd").readlink()).startswith(str(directory))
            if here or f"MAO_JOB={directory}".encode() in environment:
                found.append(process.name + " " + (process / "cmdline").read_text())
        except OSError:  # it has just ended
            continue
    return found
