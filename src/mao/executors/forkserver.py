"""The forkserver: begets one supervisor for each job at the cost of a fork, not of an interpreter.

For every `DIRECTORY NUL` on its stdin it forks a process that becomes the supervisor of that directory and
answers `ERRNO` on a line of stdout: 0 once the job counts as started. At the end of stdin it ends;
supervisors go on by themselves.
"""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH104, PTH108, PTH110
from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import os
import signal
import time

from mao.executors.flushing import fsync_directory
from mao.executors.job_log import JobLog
from mao.executors.supervisor import HANDLED, Supervisor, prctl

PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 15, 36  # linux/prctl.h
CHUNK = 65536
ROOM_FOR_RECORD = 4096


def main() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # programs do not inherit what the server ignores
    for number in HANDLED:
        signal.signal(number, _nothing)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps supervisors that end
    gc.freeze()  # the collector would write to, and so copy, pages that the supervisors share
    pending, spare = b"", _fork_spare()
    while chunk := os.read(0, CHUNK):
        *requests, pending = (pending + chunk).split(b"\0")
        for directory in requests:
            spare = _hand_over(spare, directory)


def _hand_over(spare: int, directory: bytes) -> int:
    """Give `directory` to the supervisor that waits at the other end of `spare`; the next one's end."""
    try:
        os.write(spare, directory)  # fails for -1, too
    except OSError as error:
        problem = errno.EAGAIN if spare < 0 else error.errno or errno.EIO
        os.write(1, b"%d\n" % problem)
    if spare >= 0:
        os.close(spare)  # before the fork: nobody else may keep it open
    return _fork_spare()


def _fork_spare() -> int:
    """Fork the next supervisor ahead of time, as that is half of a start; -1 if the system refuses."""
    mine, its = os.pipe()
    try:
        if os.fork() == 0:
            try:
                os.close(its)
                _supervise(mine)
            finally:
                os._exit(0)
    except OSError:
        os.close(its)
        its = -1
    os.close(mine)
    return its


def _supervise(wanted: int) -> None:
    """Wait for a directory, and supervise its job; without one the forkserver is gone."""
    problem, supervisor, answer = 0, None, os.dup(1)
    try:
        _detach()
        directory = b""
        while chunk := os.read(wanted, CHUNK):
            directory += chunk
        if not directory:
            return
        supervisor = _claim(directory)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the server shall hear of it
        problem = (isinstance(error, OSError) and error.errno) or errno.EINVAL
    with contextlib.suppress(OSError):  # the server is gone; the job counts as started all the same
        os.write(answer, b"%d\n" % problem)
    os.close(answer)
    if supervisor:
        supervisor.run()


def _detach() -> None:
    signal.signal(signal.SIGCHLD, _nothing)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    name = ctypes.create_string_buffer(b"mao-job")
    prctl(PR_SET_NAME, ctypes.addressof(name))


def _nothing(number: int, frame: object) -> None:
    pass


def _claim(directory: bytes) -> Supervisor | None:
    """Make this process the one that starts the job; None if the job was started before.

    Whatever the start needs is taken before `started` is made: until then a failure means only "not now".
    """
    os.chdir(directory)
    if not _lock() or os.path.exists("started"):
        return None
    job = json.loads(_read("job.json"))
    record = os.open("exit.json.part", os.O_RDWR | os.O_CREAT, 0o600)
    os.posix_fallocate(record, 0, ROOM_FOR_RECORD)
    log = JobLog(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), job["log_limit"], job.get("hidden"))
    with contextlib.suppress(FileExistsError):
        os.mkfifo("control", 0o600)
    supervisor = Supervisor(job, log, record, os.open("control", os.O_RDWR | os.O_NONBLOCK))
    started = os.open("started.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(started, b'{"supervisor": %d, "started_at": %r}' % (os.getpid(), supervisor.started_at))
    os.close(started)
    os.rename("started.part", "started")
    with contextlib.suppress(OSError):
        fsync_directory()  # not even a power cut may lead to a second start
        os.unlink("job.json")  # its environment may hold secrets, and nobody needs it any more
    return supervisor


def _lock() -> bool:
    """Whether this process holds the lock now, until its end; if not, the job has been started."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if os.path.exists("started"):
                return False
            time.sleep(0.001)  # its holder is about to make `started`, or to fail
        else:
            return True


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    data = b""
    while chunk := os.read(fd, CHUNK):
        data += chunk
    os.close(fd)
    return data
