"""What is particular to jobs that are processes of this machine: crashes, races, full disks, what is inherited."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from mao.errors import DiskFull, Unavailable
from mao.executor import Ended, Executor, Job, Lost, Running
from mao.executors.process import ProcessExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    NewJob = Callable[..., Job]
    EndOf = Callable[[Executor, str], Ended | Lost]
    Until = Callable[[Callable[[], object]], None]

# A server of its own: starts the job of a directory when it is told to, then waits to be killed.
SERVER = """
import sys
from pathlib import Path
from mao.executor import Job
from mao.executors.process import ProcessExecutor
first, directory, *argv = sys.argv[1:]
cwd = Path(directory).parent
executor = ProcessExecutor()
for where, what in ((first, ["true"]), (directory, argv)):
    job = Job(Path(where), tuple(what), cwd, {"PATH": "/usr/bin:/bin"}, 60.0, 1000000, 10.0)
    executor.start(job)
    print(where, flush=True)
sys.stdin.read()
"""
# Each link of the chain forks the next one and ends; none listens to TERM.
FORK_CHAIN = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        while True:
            os.setsid()
            if os.fork():
                os._exit(0)
print("ready", flush=True)
signal.pause()
"""
FORK_BOMB = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
stop = time.monotonic() + 60
while time.monotonic() < stop:
    if len(os.listdir("/proc")) < 700:
        os.fork()
    else:
        time.sleep(0.001)
"""


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    yield executor
    executor.close()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    servers: list[subprocess.Popen[str]] = []

    def begin(job: Job) -> subprocess.Popen[str]:
        first = tmp_path / f"first {len(servers)}"
        first.mkdir()
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(first), str(job.directory), *job.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        servers.append(server)
        assert server.stdout is not None
        assert server.stdout.readline() == f"{first}\n"
        return server

    yield begin
    for server in servers:
        server.kill()
        server.communicate()


def log_of(job: Job) -> bytes:
    return (job.directory / "log").read_bytes()


def supervisor_of(job: Job) -> int:
    return int(json.loads((job.directory / "started").read_bytes())["supervisor"])


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def forkserver_of(server: int) -> psutil.Process:
    [forkserver] = psutil.Process(server).children()
    return forkserver


def test_the_environment_is_exact_but_for_the_mark(executor: ProcessExecutor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job("/usr/bin/env", "-0", environment={"A": "1", "B": "x\ny"})
    end_of(executor, executor.start(job))
    assert log_of(job).decode().split("\0") == ["A=1", "B=x\ny", f"MAO_JOB={job.directory}", ""]


def test_the_program_inherits_no_signals_of_the_server_but_its_umask(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf
) -> None:
    job = new_job("cat", "/proc/self/status")
    before, umask = signal.signal(signal.SIGUSR2, signal.SIG_IGN), os.umask(0o027)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        handle = executor.start(job)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        os.umask(umask)
        signal.signal(signal.SIGUSR2, before)
    end_of(executor, handle)
    status = dict(line.split(":\t", 1) for line in log_of(job).decode().splitlines())
    # posix_spawn(3), which make uses, leaves the C library's own 32 and 33 ignored, and nobody can reset them.
    settable = sum(1 << number - 1 for number in signal.valid_signals())
    ignored, blocked = (int(status[name], 16) & settable for name in ("SigIgn", "SigBlk"))
    assert (ignored, blocked, status["Umask"]) == (0, 0, "0027")


def test_the_program_inherits_no_open_files(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 -- there is no other way to say it
        job = new_job("sh", "-c", "ls /proc/$$/fd; readlink /proc/$$/fd/0")
        end_of(executor, executor.start(job))
    assert log_of(job) == b"0\n1\n2\n/dev/null\n"


def test_the_program_leads_a_session_of_its_own(executor: ProcessExecutor, new_job: NewJob, end_of: EndOf) -> None:
    job = new_job(sys.executable, "-c", "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))")
    end_of(executor, executor.start(job))
    assert log_of(job) == b"True\n"


def test_what_lies_in_the_directory_is_for_its_owner_alone(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf
) -> None:
    job = new_job("true")
    end_of(executor, executor.start(job))
    modes = {path.name: path.stat().st_mode & 0o777 for path in job.directory.iterdir()}
    assert modes == dict.fromkeys(["exit.json", "lock", "log", "started"], 0o600)


def test_the_end_is_announced_through_the_fifo(new_job: NewJob, tmp_path: Path) -> None:
    wake = tmp_path / "wake"
    os.mkfifo(wake)
    executor = ProcessExecutor(wake)
    with os.fdopen(os.open(wake, os.O_RDWR), "rb", buffering=0) as file:
        handle = executor.start(new_job("true"))
        assert file.read(10) == b"\n"
        assert isinstance(executor.poll(handle), Ended)
    executor.close()


@pytest.mark.parametrize("kind", ["missing", "without a reader"])
def test_nobody_needs_to_listen_for_the_end(new_job: NewJob, end_of: EndOf, tmp_path: Path, kind: str) -> None:
    if kind == "without a reader":
        os.mkfifo(tmp_path / "wake")
    executor = ProcessExecutor(tmp_path / "wake")
    assert isinstance(end_of(executor, executor.start(new_job("true"))), Ended)
    executor.close()


def test_a_job_never_started_waits_for_its_start(executor: ProcessExecutor, new_job: NewJob) -> None:
    assert executor.poll(str(new_job("true").directory)) == Running(started_at=None)


def test_a_job_whose_directory_is_gone_is_lost(executor: ProcessExecutor, tmp_path: Path) -> None:
    assert executor.poll(str(tmp_path / "gone")) == Lost()
    executor.cancel(str(tmp_path / "gone"))


def test_a_start_without_a_directory_says_why_it_cannot_be(executor: ProcessExecutor, tmp_path: Path) -> None:
    job = Job(tmp_path / "gone", ("true",), tmp_path, {}, None, 1000)
    with pytest.raises(Unavailable, match="No such file or directory"):
        executor.start(job)


@pytest.mark.parametrize("program", [FORK_CHAIN, FORK_BOMB], ids=["chain", "bomb"])
def test_a_program_that_forks_without_end_is_ended(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, until: Until, program: str
) -> None:
    job = new_job(sys.executable, "-S", "-c", program, grace=0.2)
    handle = executor.start(job)
    until(lambda: log_of(job).startswith(b"ready\n"))
    executor.cancel(handle)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert end.cause == "cancelled"


def test_jobs_outlive_a_server_that_was_killed(
    executor: ProcessExecutor,
    new_job: NewJob,
    new_server: Callable[..., subprocess.Popen[str]],
    end_of: EndOf,
    tmp_path: Path,
) -> None:
    script = 'while [ ! -e "$0" ]; do sleep 0.01; done; echo done; exit 5'
    job = new_job("sh", "-c", script, str(tmp_path / "go on"))
    server = new_server(job)
    assert server.stdout is not None
    handle = server.stdout.readline().strip()
    server.kill()
    server.wait()
    assert isinstance(executor.poll(handle), Running)
    (tmp_path / "go on").touch()
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code, log_of(job)) == ("exited", 5, b"done\n")


def test_the_forkserver_ends_with_its_server(
    new_job: NewJob, new_server: Callable[..., subprocess.Popen[str]], until: Until
) -> None:
    server = new_server(new_job("true"))
    assert server.stdout is not None
    server.stdout.readline()
    forkserver = forkserver_of(server.pid)
    server.kill()
    server.wait()
    until(lambda: has_ended(forkserver))


def test_a_job_whose_supervisor_was_killed_is_lost_and_none_of_its_processes_is_left(
    executor: ProcessExecutor,
    new_job: NewJob,
    new_server: Callable[..., subprocess.Popen[str]],
    until: Until,
) -> None:
    script = "trap '' TERM; (setsid sh -c 'env -i sleep 1000; true' & sleep 1000 &); echo ready; sleep 1000"
    job = new_job("sh", "-c", script)
    server = new_server(job)
    until(lambda: (job.directory / "log").exists() and log_of(job) == b"ready\n")
    supervisor = psutil.Process(supervisor_of(job))
    until(lambda: len(supervisor.children(recursive=True)) == 5)
    processes = supervisor.children(recursive=True)
    server.send_signal(signal.SIGSTOP)
    forkserver_of(server.pid).kill()
    supervisor.kill()
    server.kill()
    server.wait()
    until(lambda: has_ended(supervisor))
    assert executor.poll(str(job.directory)) == Lost()
    assert all(has_ended(process) for process in processes)
    assert executor.start(job) == str(job.directory)
    assert executor.poll(str(job.directory)) == Lost()


def test_a_job_is_lost_when_its_supervisor_was_killed_before_the_program_began(
    executor: ProcessExecutor, new_job: NewJob, tmp_path: Path
) -> None:
    job = new_job("touch", str(tmp_path / "effect"))
    for name in ("lock", "started"):
        (job.directory / name).touch()
    assert executor.poll(executor.start(job)) == Lost()
    assert not (tmp_path / "effect").exists()


def test_the_program_ends_with_its_supervisor(executor: ProcessExecutor, new_job: NewJob, until: Until) -> None:
    job = new_job("sleep", "1000")
    handle = executor.start(job)
    supervisor = psutil.Process(supervisor_of(job))
    until(supervisor.children)
    [program] = supervisor.children()
    supervisor.kill()
    until(lambda: has_ended(program))
    until(lambda: executor.poll(handle) == Lost())


@pytest.mark.parametrize("victims", ["server", "all"])
def test_a_kill_at_any_moment_of_the_start_never_starts_the_program_twice(
    executor: ProcessExecutor,
    new_job: NewJob,
    new_server: Callable[..., subprocess.Popen[str]],
    end_of: EndOf,
    tmp_path: Path,
    victims: str,
) -> None:
    chance = random.Random(victims)  # noqa: S311 -- moments, not secrets
    effect = tmp_path / "effect"
    for number in range(25):
        effect.write_text("")
        job = new_job("sh", "-c", 'printf x >>"$0"', str(effect), directory=tmp_path / f"job {number}")
        server = new_server(job)
        time.sleep(chance.uniform(0, 0.008))
        below = psutil.Process(server.pid).children(recursive=True) if victims == "all" else []
        server.kill()
        for process in below:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        server.wait()
        handle = str(job.directory)
        while executor.poll(handle) == Running(started_at=None):
            executor.start(job)
        end = end_of(executor, handle)
        done = effect.read_text()
        if victims == "server" or isinstance(end, Ended):
            assert isinstance(end, Ended), number
            assert (end.cause, done) == ("exited", "x"), number
        else:
            assert done in ("", "x"), number


def test_the_program_starts_once_when_many_start_it_at_the_same_time(
    new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    executors = [ProcessExecutor() for _ in range(4)]
    effect = tmp_path / "effect"
    for number in range(10):
        effect.write_text("")
        job = new_job("sh", "-c", 'printf x >>"$0"', str(effect), directory=tmp_path / f"job {number}")
        together = threading.Barrier(8)

        def start(executor: ProcessExecutor, job: Job = job, together: threading.Barrier = together) -> str:
            together.wait()
            return executor.start(job)

        with ThreadPoolExecutor(8) as pool:
            [handle] = set(pool.map(start, executors * 2))
        end = end_of(executors[0], handle)
        assert isinstance(end, Ended)
        assert (end.cause, effect.read_text()) == ("exited", "x")
    for executor in executors:
        executor.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_forkserver_that_is_gone_is_replaced(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, tmp_path: Path, how: int
) -> None:
    others = set(psutil.Process().children())  # of tests before this one
    end_of(executor, executor.start(new_job("true")))
    [forkserver] = set(psutil.Process().children()) - others
    forkserver.send_signal(how)
    end = end_of(executor, executor.start(new_job("echo", "on", directory=tmp_path / "second")))
    assert isinstance(end, Ended)
    assert end.exit_code == 0
    assert set(psutil.Process().children()) - others != {forkserver}


def test_an_executor_that_was_closed_starts_again(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, tmp_path: Path
) -> None:
    others = set(psutil.Process().children())
    end_of(executor, executor.start(new_job("true")))
    executor.close()
    executor.close()
    assert set(psutil.Process().children()) <= others
    assert isinstance(end_of(executor, executor.start(new_job("true", directory=tmp_path / "second"))), Ended)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("NOT TESTED: full disks; only root may mount the small one that it takes")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_costs_output_but_neither_the_program_nor_the_record_of_its_end(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, small_disk: Path
) -> None:
    program = "print('x' * 5_000_000, end=''); raise SystemExit(3)"
    job = new_job(sys.executable, "-c", program, directory=small_disk / "job")
    end = end_of(executor, executor.start(job))
    assert isinstance(end, Ended)
    assert (end.cause, end.exit_code) == ("exited", 3)
    assert 0 < end.log_bytes < 1024**2
    assert end.log_bytes + end.log_dropped == 5_000_000


def test_a_log_goes_on_and_says_what_is_missing_once_there_is_room_again(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, until: Until, small_disk: Path, tmp_path: Path
) -> None:
    script = 'echo first; while [ ! -e "$0.1" ]; do sleep 0.01; done; seq 100000 199999; echo seen >"$0.2"'
    script += '; while [ ! -e "$0.3" ]; do sleep 0.01; done; echo last'
    job = new_job("sh", "-c", script, str(tmp_path / "go"), directory=small_disk / "job")
    handle = executor.start(job)
    until(lambda: log_of(job) == b"first\n")
    fill(small_disk)
    (tmp_path / "go.1").touch()
    until((tmp_path / "go.2").exists)
    (small_disk / "filler").unlink()
    (tmp_path / "go.3").touch()
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    first, note, last = log_of(job).partition(b"[mao] the log could not be written; ")
    assert first.startswith(b"first\n")
    assert note
    assert last.endswith(b"bytes were dropped here\nlast\n") or b"199999\nlast\n" in last
    assert end.log_bytes + end.log_dropped == len("first\nlast\n") + 700_000


def test_a_full_disk_at_the_start_is_reported_and_the_start_can_be_repeated(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, small_disk: Path, tmp_path: Path
) -> None:
    job = new_job("sh", "-c", 'printf x >>"$0"', str(tmp_path / "effect"), directory=small_disk / "job")
    fill(small_disk)
    with pytest.raises(DiskFull):
        executor.start(job)
    assert executor.poll(str(job.directory)) == Running(started_at=None)
    (small_disk / "filler").unlink()
    assert isinstance(end_of(executor, executor.start(job)), Ended)
    assert (tmp_path / "effect").read_text() == "x"


def test_a_job_can_be_cancelled_on_a_full_disk(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf, small_disk: Path
) -> None:
    job = new_job("sleep", "1000", directory=small_disk / "job")
    handle = executor.start(job)
    fill(small_disk)
    executor.cancel(handle)
    end = end_of(executor, handle)
    assert isinstance(end, Ended)
    assert end.cause == "cancelled"
