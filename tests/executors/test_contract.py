"""What every executor does. A new one joins by a line in EXECUTORS."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mao.executor import Ended, Executor, Job, Lost, Running
from mao.executors.process import ProcessExecutor
from mao.executors.sandbox import SandboxExecutor
from mao.processes import marked
from sandboxes import need_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    NewJob = Callable[..., Job]
    EndOf = Callable[[Executor, str], Ended | Lost]
    Until = Callable[[Callable[[], object]], None]

EXECUTORS: dict[str, Callable[[Path], Executor]] = {
    "process": lambda _: ProcessExecutor(),
    "sandbox": lambda path: SandboxExecutor(path / "devices"),
}

SHOW_ARGV = "import json, sys; print(json.dumps(sys.argv[1:]))"
SHOW_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
# A daemon of two forks and a session of its own, deaf to TERM, that keeps the output open.
DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(1000)
    os._exit(0)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.005)
"""


@pytest.fixture(params=EXECUTORS)
def make_executor(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Executor]:
    if request.param == "sandbox":
        need_sandbox()
    return lambda: EXECUTORS[str(request.param)](tmp_path)


@pytest.fixture
def executor(make_executor: Callable[[], Executor]) -> Iterator[Executor]:
    executor = make_executor()
    yield executor
    executor.close()


def log_of(job: Job) -> bytes:
    return (job.directory / "log").read_bytes()


def processes_of(job: Job) -> int:
    """By its mark: the numbers that processes have in a sandbox are not those that they have here."""
    return len(marked("MAO_JOB", str(job.directory)))


@pytest.mark.parametrize(
    "arguments",
    [
        ["with space", "'single'", '"double"', "$(id)", "`id`", "$HOME", "a;b", "*", "\\", "-n", "ü漢🙂"],
        ["two\nlines", "\ttab", "\r", "\x01"],
        ["", "", "x", ""],
        [f"{number:>100}" for number in range(2000)],
        ["x" * 131071],
        [],
    ],
    ids=["quotes", "control characters", "empty", "200 kB in all", "the longest", "none"],
)
def test_the_program_gets_exactly_the_arguments(
    executor: Executor, new_job: NewJob, end_of: EndOf, arguments: list[str]
) -> None:
    job = new_job(sys.executable, "-c", SHOW_ARGV, *arguments)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code) == ("exited", 0)
    assert json.loads(log_of(job)) == arguments


def test_the_program_gets_the_environment_and_little_else(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    environment = {"PATH": "/nowhere", "EMPTY": "", "LINES": "a\nb", "EQUALS": "a=b", "LC_ALL": "C.UTF-8"}
    job = new_job(sys.executable, "-c", SHOW_ENVIRONMENT, environment=environment)
    end_of(executor, executor.start(job))
    seen = json.loads(log_of(job))
    assert {name: seen.get(name) for name in environment} == environment
    assert [name for name in seen if name not in {*environment, "PWD"} and not name.startswith("MAO_")] == []


def test_the_program_starts_in_its_directory(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    cwd = tmp_path / "a folder"
    cwd.mkdir()
    job = new_job("pwd", cwd=cwd)
    end_of(executor, executor.start(job))
    assert log_of(job).decode() == f"{cwd}\n"


def test_the_program_is_found_on_the_path_of_its_own_environment(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    tool = tmp_path / "mine" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho mine $0\n")
    tool.chmod(0o755)
    job = new_job("tool", environment={"PATH": f"/nowhere:{tool.parent}:/bin"})
    end_of(executor, executor.start(job))
    assert log_of(job).decode() == f"mine {tool}\n"


def test_the_input_of_the_program_is_empty(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    end = end_of(executor, executor.start(new_job("cat")))
    assert isinstance(end, Ended)
    assert (end.exit_code, end.log_bytes) == (0, 0)


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_kept(executor: Executor, new_job: NewJob, end_of: EndOf, code: int) -> None:
    end = end_of(executor, executor.start(new_job("sh", "-c", f"exit {code}")))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal, end.error) == ("exited", code, None, None)


@pytest.mark.parametrize("number", [6, 9, 15])
def test_the_signal_that_ended_the_program_is_kept(
    executor: Executor, new_job: NewJob, end_of: EndOf, number: int
) -> None:
    end = end_of(executor, executor.start(new_job("sh", "-c", f"kill -{number} $$")))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal) == ("exited", None, number)


def test_the_record_tells_times_and_use(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    program = "import time; block = bytearray(50_000_000); stop = time.process_time() + 0.2\n"
    program += "while time.process_time() < stop: pass"
    before = time.time()
    end = end_of(executor, executor.start(new_job(sys.executable, "-c", program)))
    assert isinstance(end, Ended)
    assert end.started_at is not None
    assert before <= end.started_at <= end.ended_at <= time.time()
    assert 0.2 <= end.cpu_seconds < 20
    assert 50_000_000 <= end.max_rss < 500_000_000


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_a_program_that_is_missing_is_named(executor: Executor, new_job: NewJob, end_of: EndOf, program: str) -> None:
    end = end_of(executor, executor.start(new_job(program, "x")))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal, end.started_at) == ("not-started", None, None, None)
    assert end.error == f"No such file or directory: {program!r}"


@pytest.mark.parametrize("argv", [("",), ("echo", "a\0b")])
def test_what_no_system_can_start_is_said(
    executor: Executor, new_job: NewJob, end_of: EndOf, argv: tuple[str, ...]
) -> None:
    end = end_of(executor, executor.start(new_job(*argv)))
    assert isinstance(end, Ended)
    assert end.cause == "not-started"
    assert end.error


def test_a_program_that_is_no_program_is_named(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("text")
    end = end_of(executor, executor.start(new_job(str(tmp_path / "text"))))
    assert isinstance(end, Ended)
    assert end.error == f"Permission denied: {str(tmp_path / 'text')!r}"


def test_a_working_directory_that_is_missing_is_named(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    end = end_of(executor, executor.start(new_job("true", cwd=Path("/no/such"))))
    assert isinstance(end, Ended)
    assert (end.cause, end.error) == ("not-started", "No such file or directory: '/no/such'")


def test_output_and_errors_come_to_the_log_in_order_and_at_once(
    executor: Executor, new_job: NewJob, end_of: EndOf, until: Until, tmp_path: Path
) -> None:
    script = 'echo out; echo err >&2; echo out again; while [ ! -e "$0" ]; do sleep 0.01; done; printf end'
    job = new_job("sh", "-c", script, str(tmp_path / "go on"))
    handle = executor.start(job)
    until(lambda: (job.directory / "log").exists() and log_of(job) == b"out\nerr\nout again\n")
    assert isinstance(executor.poll(handle), Running)
    (tmp_path / "go on").touch()
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert log_of(job) == b"out\nerr\nout again\nend"
    assert (end.log_bytes, end.log_dropped) == (len(log_of(job)), 0)


def test_output_of_any_kind_is_kept_as_it_is(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    program = "import os; data = bytes(range(256)) * 40_000\nwhile data: data = data[os.write(1, data):]"
    job = new_job(sys.executable, "-c", program)
    end_of(executor, executor.start(job))
    assert log_of(job) == bytes(range(256)) * 40_000


def test_a_line_of_10_mb_is_kept(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job(sys.executable, "-c", "print('x' * 10_000_000, end='')")
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.log_bytes, end.log_dropped) == (10_000_000, 0)
    assert log_of(job) == b"x" * 10_000_000


def test_output_beyond_the_limit_is_dropped_and_the_log_says_so(
    executor: Executor, new_job: NewJob, end_of: EndOf
) -> None:
    job = new_job(sys.executable, "-c", "print('x' * 5_000_000, end='')", log_limit=1000)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.log_bytes, end.log_dropped) == ("exited", 0, 1000, 4_999_000)
    note = b"[mao] the log limit of 1000 bytes was reached; 4999000 bytes more were dropped\n"
    assert log_of(job) == b"x" * 1000 + b"\n" + note


def test_a_log_that_just_fits_says_nothing(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("echo", "x" * 99, log_limit=100)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.log_bytes, end.log_dropped) == (100, 0)
    assert log_of(job) == b"x" * 99 + b"\n"


def test_the_time_limit_ends_the_job(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    end = end_of(executor, executor.start(new_job("sleep", "1000", time_limit=0.2)))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal) == ("timed-out", None, 15)
    assert end.started_at is not None
    assert end.ended_at - end.started_at >= 0.2


def test_a_program_deaf_to_term_is_killed_after_its_grace(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("sh", "-c", "trap '' TERM; while :; do sleep 1; done", time_limit=0.2, grace=0.3)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.signal) == ("timed-out", 9)
    assert end.started_at is not None
    assert end.ended_at - end.started_at >= 0.5


def test_a_program_may_clean_up_in_its_grace(executor: Executor, new_job: NewJob, end_of: EndOf, until: Until) -> None:
    script = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('cleaned')); print('ready', flush=True)"
    )
    job = new_job(sys.executable, "-c", f"{script}; signal.pause()")
    handle = executor.start(job)
    until(lambda: log_of(job) == b"ready\n")
    executor.cancel(handle)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code) == ("cancelled", 1)
    assert log_of(job) == b"ready\ncleaned\n"


def test_cancelling_ends_a_job_and_again_does_nothing_new(
    executor: Executor, new_job: NewJob, end_of: EndOf, until: Until
) -> None:
    job = new_job("sh", "-c", "echo ready; exec sleep 1000")
    handle = executor.start(job)
    until(lambda: log_of(job) == b"ready\n")
    executor.cancel(handle)
    executor.cancel(handle)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal) == ("cancelled", None, 15)
    executor.cancel(handle)
    assert executor.poll(handle) == end


def test_cancelling_at_any_moment_of_the_start_ends_a_job_at_once(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    for number in range(40):
        job = new_job("sleep", "1000", directory=tmp_path / f"job {number}", grace=1000.0)
        handle = executor.start(job)
        time.sleep(number / 10_000)
        executor.cancel(handle)
        end = end_of(executor, handle)
        assert isinstance(end, Ended)
        assert (end.cause, end.signal) in [("cancelled", 15), ("cancelled", None)]


def test_cancelling_what_has_ended_changes_nothing(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    handle = executor.start(new_job("true"))
    end = end_of(executor, handle)
    executor.cancel(handle)
    assert isinstance(end, Ended)
    assert end.cause == "exited"
    assert executor.poll(handle) == end


def test_a_job_cancelled_before_its_start_ends_without_one(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    job = new_job("touch", str(tmp_path / "effect"))
    executor.cancel(str(job.directory))
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, end.signal, end.started_at) == ("cancelled", None, None, None)
    assert not (tmp_path / "effect").exists()


def test_cancelling_ends_the_whole_tree_with_daemons_deaf_to_term(
    executor: Executor, new_job: NewJob, end_of: EndOf, until: Until, tmp_path: Path
) -> None:
    pids = [tmp_path / f"pid {number}" for number in range(3)]
    script = f'for pid; do {sys.executable} -c "$0" "$pid"; done; echo ready; sleep 1000'
    job = new_job("sh", "-c", script, DAEMON, *map(str, pids), grace=0.3)
    handle = executor.start(job)
    until(lambda: log_of(job) == b"ready\n")
    assert processes_of(job) >= 1 + len(pids)
    executor.cancel(handle)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert end.cause == "cancelled"
    assert processes_of(job) == 0


def test_a_daemon_that_is_left_behind_ends_with_the_program(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    job = new_job(sys.executable, "-c", DAEMON, str(tmp_path / "pid"), grace=0.3)
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code) == ("exited", 0)
    assert (tmp_path / "pid").exists()
    assert processes_of(job) == 0


def test_a_job_is_started_once_however_often_it_is_asked_for(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    job = new_job("sh", "-c", 'printf x >>"$0"', str(tmp_path / "effect"))
    handles = {executor.start(job) for _ in range(3)}
    assert len(handles) == 1
    end_of(executor, *handles)
    assert executor.start(job) in handles
    assert (tmp_path / "effect").read_text() == "x"


def test_a_job_goes_on_when_its_executor_closes_and_another_one_answers_for_it(
    make_executor: Callable[[], Executor], new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    script = 'while [ ! -e "$0" ]; do sleep 0.01; done; exit 4'
    first, second = make_executor(), make_executor()
    handle = first.start(new_job("sh", "-c", script, str(tmp_path / "go on")))
    first.close()
    running = second.poll(handle)
    assert isinstance(running, Running)
    assert running.started_at is not None
    (tmp_path / "go on").touch()
    end = end_of(second, handle)
    assert isinstance(end, Ended)
    assert (end.exit_code, end.started_at) == (4, running.started_at)


def test_many_jobs_run_side_by_side(executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path) -> None:
    jobs = [new_job("sh", "-c", f"echo {n}; exit {n}", directory=tmp_path / f"job {n}") for n in range(20)]
    handles = [executor.start(job) for job in jobs]
    ends = [end_of(executor, handle) for handle in handles]
    assert [end.exit_code for end in ends if isinstance(end, Ended)] == list(range(20))
    assert [log_of(job) for job in jobs] == [f"{n}\n".encode() for n in range(20)]


def test_a_handle_is_text_that_names_the_job(executor: Executor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("true")
    handle = executor.start(job)
    assert os.fspath(handle) == handle
    end_of(executor, handle)


@pytest.mark.parametrize(("script", "flushed"), [("open('out/a/file', 'w').write('x')", True), ("exit(1)", False)])
def test_what_a_job_that_succeeded_wrote_to_its_output_is_flushed_before_its_end_is_known(
    executor: Executor, new_job: NewJob, end_of: EndOf, tmp_path: Path, script: str, *, flushed: bool
) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    end = end_of(executor, executor.start(new_job(sys.executable, "-c", script, output=tmp_path / "out")))
    assert isinstance(end, Ended)
    assert end.flushed == flushed
