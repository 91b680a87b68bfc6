"""The supervisor by itself: what it is told by signals, and what its log keeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import mao
from mao.executor import Ended, Executor, Job, Limits, Lost, Running
from mao.executors.job_log import JobLog
from mao.executors.process import ProcessExecutor
from mao.executors.supervised import FORKSERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    NewJob = Callable[..., Job]
    EndOf = Callable[[Executor, str], Ended | Lost]
    Until = Callable[[Callable[[], object]], None]

SOURCE = str(Path(mao.__file__).parents[1])


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    yield executor
    executor.close()


@pytest.fixture
def new_log(tmp_path: Path) -> Iterator[Callable[[int], JobLog]]:
    fds = []

    def open_log(limit: int) -> JobLog:
        fds.append(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        return JobLog(fds[-1], limit)

    yield open_log
    for fd in fds:
        os.close(fd)


def signal_supervisor(job: Job, *numbers: int) -> None:
    for number in numbers:
        os.kill(json.loads((job.directory / "started").read_bytes())["supervisor"], number)


def test_term_to_the_supervisor_cancels_its_job(executor: ProcessExecutor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("sleep", "1000")
    handle = executor.start(job)
    signal_supervisor(job, signal.SIGTERM)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert (end.cause, end.signal) == ("cancelled", signal.SIGTERM)


def test_other_signals_of_a_terminal_leave_the_supervisor_alone(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, until: Until, tmp_path: Path
) -> None:
    script = 'echo ready; while [ ! -e "$0" ]; do sleep 0.01; done'
    job = new_job("sh", "-c", script, str(tmp_path / "go on"))
    handle = executor.start(job)
    until(lambda: (job.directory / "log").read_bytes() == b"ready\n")
    signal_supervisor(job, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ)
    (tmp_path / "go on").touch()
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code) == ("exited", 0)


def test_a_program_that_closes_its_output_costs_its_supervisor_nothing(
    executor: ProcessExecutor, new_job: NewJob
) -> None:
    job = new_job("sh", "-c", "exec >&- 2>&-; exec sleep 1000", time_limit=1)
    handle = executor.start(job)
    supervisor = psutil.Process(json.loads((job.directory / "started").read_bytes())["supervisor"])
    used = 0.0
    while isinstance(executor.poll(handle), Running):
        with suppress(psutil.NoSuchProcess):
            used = sum(supervisor.cpu_times()[:2])
        time.sleep(0.01)
    assert used < 0.1


def test_a_stopped_tree_is_ended_all_the_same(executor: ProcessExecutor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("sh", "-c", "kill -STOP $$", time_limit=0.2)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.signal) == ("timed-out", signal.SIGTERM)


def test_the_forkserver_answers_each_request_and_ends_with_its_input(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    job = new_job("true")
    end_of(executor, executor.start(job))
    what = {"argv": ["true"], "cwd": "/", "environment": dict(os.environ), "time_limit": None, "log_limit": 1}
    unconfined: dict[str, object] = {
        "grace": 1,
        "wake": None,
        "confined": False,
        "limits": asdict(Limits()),
        "writable": [],
        "groups": {},
    }
    others = [tmp_path / f"other {number}" for number in range(3)]
    for other in others[:2]:
        other.mkdir()
        (other / "job.json").write_text(json.dumps(what | unconfined))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FORKSERVER, SOURCE],
        input=b"".join(os.fsencode(other) + b"\0" for other in [*others, job.directory]) + b"/unfinished",
        stdout=subprocess.PIPE,
        check=True,
    )
    assert sorted(done.stdout.splitlines()) == [b"0", b"0", b"0", b"2"]  # ENOENT for the one without directory
    for other in others[:2]:
        assert isinstance(end_of(executor, str(other)), Ended)


def test_what_every_supervisor_carries_stays_small() -> None:
    program = "import mao.executors.forkserver; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({SOURCE!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"asyncio", "pathlib", "psutil", "pydantic", "subprocess", "threading", "typing"}
    assert heavy.isdisjoint(done.stdout.split())
    assert [name for name in done.stdout.split() if name.startswith("mao")] == [
        *("mao", "mao.executors", "mao.executors.flushing", "mao.executors.job_log", "mao.executors.bubblewrap"),
        *("mao.executors.control_groups", "mao.processes", "mao.executors.watch"),
        *("mao.executors.supervisor", "mao.executors.forkserver"),
    ]


def test_a_log_keeps_all_up_to_its_limit(new_log: Callable[[int], JobLog], tmp_path: Path) -> None:
    log = new_log(10)
    for data in (b"12345", b"67890"):
        log.write(data)
    log.finish()
    assert (log.kept, log.beyond, log.unwritten) == (10, 0, 0)
    assert (tmp_path / "log").read_bytes() == b"1234567890"


@pytest.mark.parametrize("end", [b"\n", b"."])
def test_the_note_of_a_log_has_a_line_of_its_own(new_log: Callable[[int], JobLog], tmp_path: Path, end: bytes) -> None:
    log = new_log(10)
    for data in (b"123456789" + end + b"x", b"yz"):
        log.write(data)
    log.finish()
    assert (log.kept, log.beyond, log.unwritten) == (10, 3, 0)
    text = (tmp_path / "log").read_bytes().removeprefix(b"123456789" + end).removeprefix(b"\n")
    assert text == b"[mao] the log limit of 10 bytes was reached; 3 bytes more were dropped\n"


def test_a_log_of_no_bytes_keeps_none(new_log: Callable[[int], JobLog], tmp_path: Path) -> None:
    log = new_log(0)
    log.write(b"x")
    log.finish()
    note = b"[mao] the log limit of 0 bytes was reached; 1 bytes more were dropped\n"
    assert (tmp_path / "log").read_bytes() == note


def test_a_log_that_cannot_be_written_counts_what_it_drops() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        log = JobLog(full.fileno(), 10)
        log.write(b"123456789012")
        log.finish()
    assert (log.kept, log.beyond, log.unwritten) == (0, 2, 10)
