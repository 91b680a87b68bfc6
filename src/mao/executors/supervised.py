"""What executors share whose jobs are processes of this machine, each under a supervisor that outlives the server."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from queue import LifoQueue

from mao.errors import DiskFull, Unavailable
from mao.executor import Ended, Job, Lost, Running
from mao.executors.control_groups import groups_above, sweep
from mao.processes import kill_marked

MARK = "MAO_JOB"
PATIENCE = 10.0  # seconds until a start counts as failed
_AT_ONCE = 3  # starts side by side: each waits for the disk, on which its job has to count as started
ANSWER_TIME = 4.0  # seconds until a forkserver that does not answer is replaced
FORKSERVER = "import sys; sys.path.append(sys.argv[1]); from mao.executors.forkserver import main; main()"


class SupervisedExecutor:
    """All of `mao.executor.Executor` but what its jobs are confined by.

    A handle is the job's directory, so each of these executors answers for the jobs of the others.

    Args:
        wake: a FIFO; a byte is written to it whenever a job has ended, if somebody has it open for reading.
    """

    confines = False

    def __init__(self, wake: Path | None = None) -> None:
        if sys.platform != "linux":
            raise Unavailable("Running tools as processes needs Linux; this is " + sys.platform + ".")
        self._wake = wake
        self._groups = groups_above()
        self._forkservers = [_Forkserver() for _ in range(_AT_ONCE)]
        self._free: LifoQueue[_Forkserver] = LifoQueue()  # the same one again, if jobs are started one by one
        for forkserver in self._forkservers:
            self._free.put(forkserver)

    def program(self, job: Job) -> tuple[str, ...]:
        """What is executed for `job`: a program on the PATH of its environment, and its arguments."""
        return job.argv

    def limits(self) -> str:
        """By what the limits of a job are kept, for `describe`."""
        kept = [{"memory": "memory", "pids": "processes"}[controller] for controller in self._groups]
        groups = f"control groups ({', '.join(kept)}) and " if kept else ""
        return f"limits kept by {groups}looking at processes"

    def start(self, job: Job) -> str:
        handle = str(job.directory)
        try:
            if not (job.directory / "started").exists():
                self._write_job(job)
                forkserver = self._free.get()
                try:
                    forkserver.start(job.directory)
                finally:
                    self._free.put(forkserver)
            _forget_job(job.directory)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"The job cannot be started: no room is left in {handle}.") from error
            raise Unavailable(f"The job in {handle} cannot be started now: {error.strerror}.") from error
        return handle

    def poll(self, handle: str) -> Running | Ended | Lost:
        """See `Executor.poll`.

        `Running(None)` for a job that was never started, or whose start was cut short: `start` may be called
        again. A lost job's processes are ended before it is called lost.
        """
        directory = Path(handle)
        if end := _read_end(directory):
            return end
        try:
            started_at = _started_at(directory)
            watched = _is_locked(directory / "lock")
        except FileNotFoundError:
            return Running(None) if directory.exists() else Lost()
        if watched:
            return Running(started_at)
        if end := _read_end(directory):  # written between the first look and the release of the lock
            return end
        if not kill_marked(MARK, handle):
            return Running(started_at)
        _forget_job(directory)
        for above in self._groups.values():
            sweep(above)
        return Lost()

    def cancel(self, handle: str) -> None:
        directory = Path(handle)
        if not directory.exists():
            return
        problem = None
        try:
            (directory / "cancel").touch(mode=0o600)  # first: a supervisor that cannot be told yet will look
        except OSError as error:
            problem = error
        if not _tell(directory / "control") and problem:
            raise DiskFull(f"The job cannot be cancelled: {problem.strerror}: {handle}.") from problem

    def close(self) -> None:
        for forkserver in self._forkservers:
            forkserver.close()

    def _write_job(self, job: Job) -> None:
        """Whole or not at all for whoever reads it; a power cut may spoil it, but then `started` is not there."""
        text = json.dumps(
            {
                "argv": self.program(job),
                "cwd": str(job.cwd),
                "environment": {**job.environment, MARK: str(job.directory)},
                "time_limit": job.time_limit,
                "log_limit": job.log_limit,
                "grace": job.grace,
                "output": None if job.output is None else str(job.output),
                "hidden": dict(job.hidden),
                "wake": None if self._wake is None else str(self._wake),
                "confined": self.confines,
                "limits": asdict(job.confinement.limits),
                "writable": [str(path) for path in job.confinement.write],
                "groups": self._groups,
            }
        )
        fd, draft = tempfile.mkstemp(prefix="job.json.", dir=job.directory)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
            Path(draft).rename(job.directory / "job.json")
        except FileNotFoundError:  # somebody else has started it meanwhile
            return
        except OSError:
            Path(draft).unlink()
            raise


def _forget_job(directory: Path) -> None:
    """Remove what a start needs, once there can be no more: kills may have left it, and it may hold secrets."""
    for path in directory.glob("job.json*"):
        path.unlink(missing_ok=True)


def _read_end(directory: Path) -> Ended | None:
    try:
        return Ended(**json.loads((directory / "exit.json").read_bytes()))
    except FileNotFoundError:
        return None


def _started_at(directory: Path) -> float | None:
    try:
        return float(json.loads((directory / "started").read_bytes())["started_at"])
    except ValueError:  # a power cut can leave the file empty
        return None


def _is_locked(path: Path) -> bool:
    """Only to be asked once `started` is there: until then the look itself would hinder a supervisor."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _tell(control: Path) -> bool:
    """Whether a supervisor listens, which then knows that the end is wanted."""
    try:
        fd = os.open(control, os.O_WRONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "wb", buffering=0) as file:
            file.write(b"\n")
    except OSError:
        return False
    return True


class _Forkserver:
    """This process's end of a forkserver, which is begun when it is needed and again when it was killed."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def start(self, directory: Path) -> None:
        """Return once `directory` has its `started`.

        Raises:
            OSError: what kept the supervisor from starting the job.
        """
        with self._turn:
            give_up = time.monotonic() + PATIENCE
            while time.monotonic() < give_up:
                try:
                    problem = self._ask(directory)
                except (ConnectionError, TimeoutError):  # somebody was killed: a second try can do no harm
                    self._end()
                else:
                    if problem:
                        raise OSError(problem, os.strerror(problem))
                    return
            raise OSError(errno.ETIMEDOUT, "no supervisor came up in time")

    def close(self) -> None:
        with self._turn:
            self._end()

    def _ask(self, directory: Path) -> int:
        """0, or the number of the error that the system gave to the supervisor.

        Whoever gets no answer must end this forkserver: a late answer would be taken for the next one.
        """
        if self._running is None:
            self._running = _begin()
        _, line = self._running
        line.sendall(os.fsencode(directory) + b"\0")
        answer = b""
        while not answer.endswith(b"\n"):
            received = line.recv(64)
            if not received:
                raise ConnectionResetError
            answer += received
        return int(answer)

    def _end(self) -> None:
        if self._running is None:
            return
        process, line = self._running
        self._running = None
        line.close()
        process.kill()  # which is what jobs are made to outlive
        process.wait()


def _begin() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(ANSWER_TIME)
    argv = [sys.executable, "-I", "-S", "-c", FORKSERVER, str(Path(__file__).parents[2])]
    with theirs:
        try:
            process = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    return process, ours
