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
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mao.errors import DiskFull, Unavailable
from mao.executor import Ended, Executor, Job, Lost, Running
from mao.executors.process import ProcessExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
SHOW_PROCESS = """
import json, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, ())
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16), "umask": status["Umask"].strip(),
    "descriptors": sorted(os.listdir("/proc/self/fd")), "input": os.readlink("/proc/self/fd/0"),
    "leader": os.getsid(0) == os.getpid() == os.getpgid(0), "environment": dict(os.environ), "nice": os.nice(0),
}))
"""


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor()
    yield executor
    executor.close()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    servers = []

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


def forkserver_of(server: int) -> psutil.Process:
    [forkserver] = psutil.Process(server).children()
    return forkserver


def test_the_program_inherits_nothing_but_what_the_job_says(
    executor: ProcessExecutor, new_job: NewJob, end_of: EndOf
) -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)  # noqa: FBT003 -- the only way to say it
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    umask = os.umask(0o027)
    try:
        job = new_job(sys.executable, "-I", "-c", SHOW_PROCESS, environment={"A": "1"})
        handle = executor.start(Job(**{**_fields(job), "argv": (sys.executable, *job.argv[1:])}))
    finally:
        os.umask(umask)
        signal.signal(signal.SIGINT, before)
        os.close(secret)
    end_of(executor, handle)
    seen = json.loads(log_of(job))
    python_ignores = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    seen["ignored"] &= ~python_ignores
    seen["environment"].pop("LC_CTYPE", None)  # Python's own doing
    assert seen == {
        "ignored": 0,
        "blocked": 0,
        "umask": "0027",
        "descriptors": ["0", "1", "2", "3"],  # the last is the listing's own
        "input": "/dev/null",
        "leader": True,
        "environment": {"A": "1", "MAO_JOB": str(job.directory)},
        "nice": os.nice(0),
    }


def _fields(job: Job) -> dict[str, object]:
    return {name: getattr(job, name) for name in Job.__slots__}
