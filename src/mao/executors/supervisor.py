"""The supervisor of one job: runs its program, ends what it leaves behind, records its end.

All that outlives a process lies in the job's directory, where the supervisor works under relative names:

    job.json        what to run; gone once it is started
    lock            held (flock) by the supervisor for as long as it lives
    started         from here on the job will never be started again; made only by the holder of `lock`
    log             the output of the program
    control         a FIFO; whatever is written there asks for the end
    cancel          asks for the end, too, also before there is a supervisor
    exit.json.part  room for the record of the end, taken before the start: a full disk cannot prevent it
    exit.json       the record of the end
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import time

from mao.executors.bubblewrap import STATUS_FD, code_of, fault
from mao.executors.flushing import flush, fsync_directory
from mao.executors.watch import Watch
from mao.processes import descendants, signal_descendant

TYPE_CHECKING = False  # importing `typing` costs 5 ms
if TYPE_CHECKING:
    from typing import Any

    from mao.executors.job_log import JobLog

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CHUNK = 65536
RECORDING_ATTEMPTS = 600
CLOCK_STEP = 1.0  # seconds by which clocks may seem to differ
# Handled by doing nothing rather than ignored: exec resets handlers, but would hand down what is ignored.
# SIGTERM is heard through the wakeup descriptor, as is SIGCHLD.
HANDLED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def prctl(option: int, argument: int) -> None:
    if _libc.prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Supervisor:
    """From the start of the program until no process of it is left and that is on record."""

    def __init__(self, job: dict[str, Any], log: JobLog, record: int, control: int) -> None:
        self.job = job
        self.log = log
        self.record = record
        self.control = control
        self.signals, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self.output, self.program_output = os.pipe()
        self.faults, self.program_faults = os.pipe()
        self.cancelled = False
        self.cause = ""
        self.error: str | None = None
        self.program = 0
        self.status: int | None = None
        self.started_at, self.begun = time.time(), time.monotonic()
        self.deadline = self.kill_at = float("inf")
        self.told: set[int] = set()
        self.watch = Watch(job)

    def run(self) -> None:
        if os.path.exists("cancel"):
            self.cause = "cancelled"
        else:
            self.start()
        poller = select.poll()
        for fd in (self.output, self.control, self.signals):
            poller.register(fd, select.POLLIN)
        while self.reap():
            try:
                self.decide()
                self.listen(poller)
            except Exception:  # short of memory, say: the program goes on, and so does its supervisor
                time.sleep(0.1)
        self.finish()

    def start(self) -> None:
        # Between fork and exec it would be swallowed by a handler that is not the program's.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        supervisor = os.getpid()
        try:
            self.program = os.fork()
            if self.program == 0:
                self.become_program(supervisor)
        except OSError as error:
            self.cause, self.error = "not-started", error.strerror
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.close(self.program_output)
        os.close(self.program_faults)
        if self.job["time_limit"] is not None:
            self.deadline = time.monotonic() + self.job["time_limit"]

    def become_program(self, supervisor: int) -> None:
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(127)  # it died before the kernel knew what to do then
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(self.program_output, 1)
            os.dup2(self.program_output, 2)
            if self.job["confined"]:
                os.dup2(self.program_faults, STATUS_FD)
            os.chdir(self.job["cwd"])
            self.watch.enter()
            _execute(self.job["argv"], self.job["environment"])
        except OSError as error:
            os.write(self.program_faults, f"{error.strerror}: {error.filename!r}"[:300].encode())
        except Exception as error:  # a NUL byte in an argument, say
            os.write(self.program_faults, str(error)[:300].encode(errors="replace"))
        finally:
            os._exit(127)

    def reap(self) -> bool:
        """Whether any process of the job is left: orphans become children of the subreaper that this is."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.program:
                    self.status = status
        except ChildProcessError:
            return False

    def decide(self) -> None:
        now = time.monotonic()
        if not self.cause:
            if self.status is not None:
                self.cause = "exited"
            elif self.cancelled:
                self.cause = "cancelled"
            elif now >= self.deadline:
                self.cause = "timed-out"
            elif limit := self.watch.passed():
                self.cause, self.error = "over-limit", limit
            else:
                return
            self.kill_at = now + (0 if self.error else self.job["grace"])  # what takes too much takes more meanwhile
        if now < self.kill_at:
            self.terminate()
        else:
            self.kill()

    def terminate(self) -> None:
        if self.job["confined"]:
            self.told.add(self.program)  # with bwrap, all would be killed at once
        for pid, parent in descendants():
            if pid not in self.told:
                self.told.add(pid)
                signal_descendant(pid, parent, signal.SIGTERM)
                signal_descendant(pid, parent, signal.SIGCONT)

    def kill(self) -> None:
        """Stop all, then kill all: the stopped cannot fork and keep their places in the process table."""
        if self.job["confined"] and self.status is None:
            os.kill(self.program, signal.SIGKILL)  # then the kernel ends all that it has started
        stopped: set[int] = set()
        give_up, count = time.monotonic() + 1, -1
        while count < len(stopped) and time.monotonic() < give_up:
            count = len(stopped)
            for pid, parent in descendants():
                if pid not in stopped:
                    stopped.add(pid)
                    signal_descendant(pid, parent, signal.SIGSTOP)
            self.reap()
        for pid, parent in descendants():
            signal_descendant(pid, parent, signal.SIGKILL)

    def listen(self, poller: select.poll) -> None:
        patience = 0.1 if self.cause else min(self.deadline - time.monotonic(), self.watch.patience())
        for fd, _ in poller.poll(max(0, int(patience * 1000) + 1)):
            data = os.read(fd, CHUNK)
            if fd == self.output:
                self.log.write(data)
                if not data:
                    poller.unregister(fd)
            elif fd == self.control or signal.SIGTERM in data:
                self.cancelled = True

    def finish(self) -> None:
        ended_at = time.time()
        self.drain()
        code = self.code()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        flushed = code == 0 and self.flush_output()
        self.put_on_record(
            {
                "cause": self.cause,
                "exit_code": code if code is not None and code >= 0 else None,
                "signal": -code if code is not None and code < 0 else None,
                "started_at": self.started_at if self.program and self.cause != "not-started" else None,
                "ended_at": ended_at,
                "cpu_seconds": round(max(usage.ru_utime + usage.ru_stime, self.watch.seconds), 6),
                "max_rss": usage.ru_maxrss * 1024,
                "log_bytes": self.log.kept,
                "log_dropped": self.log.beyond + self.log.unwritten,
                "error": self.error,
                "flushed": flushed,
                "confined": self.job["confined"],
            }
        )

    def code(self) -> int | None:
        """The exit code of the program, or -N for a signal; sees to the cause of its end, too."""
        self.cause = self.cause or "exited"
        told = os.read(self.faults, CHUNK).decode() if self.program else None
        code = None if self.status is None else os.waitstatus_to_exitcode(self.status)
        if self.job["confined"] and told is not None and told[:1] in ("", "{"):  # bwrap itself was started
            told = fault(told, "log") if self.cause == "exited" else None
            code = None if code is None else code_of(code)
        if told:
            self.cause, self.error, code = "not-started", told, None
        elif self.cause == "exited" and (limit := self.watch.passed_at_the_end(code)):
            self.cause, self.error = "over-limit", limit
        self.watch.close()
        return code

    def flush_output(self) -> bool:
        if self.job.get("output") is None:
            return False
        with contextlib.suppress(OSError):  # who takes the files over finds out why
            put_back = time.time() - self.started_at < time.monotonic() - self.begun - CLOCK_STEP
            flush(self.job["output"], 0 if put_back else self.started_at - CLOCK_STEP)
            return True
        return False

    def drain(self) -> None:
        """Keep what the pipe still holds, but do not wait for strangers who were handed its other end."""
        os.set_blocking(self.output, False)
        room = fcntl.fcntl(self.output, fcntl.F_GETPIPE_SZ)
        with contextlib.suppress(BlockingIOError):
            while room > 0 and (data := os.read(self.output, CHUNK)):
                self.log.write(data)
                room -= len(data)
        self.log.finish()

    def put_on_record(self, end: dict[str, Any]) -> None:
        data = json.dumps(end).encode()
        with contextlib.suppress(OSError):
            os.unlink("control")
        for _ in range(RECORDING_ATTEMPTS):
            try:
                os.pwrite(self.record, data, 0)
                os.ftruncate(self.record, len(data))
                os.fsync(self.record)
                os.rename("exit.json.part", "exit.json")
                fsync_directory()
                break
            except FileNotFoundError:
                break  # renamed before, or the directory was removed
            except OSError:
                time.sleep(1)
        if self.job["wake"] is not None:
            with contextlib.suppress(OSError):  # nobody reads it, or it is full and its reader looks anyway
                os.write(os.open(self.job["wake"], os.O_WRONLY | os.O_NONBLOCK), b"\n")


def _execute(argv: list[str], environment: dict[str, str]) -> None:
    """Become `argv`; the search and the choice of the error to report are those of execvp(3)."""
    program = argv[0]
    folders = environment.get("PATH", os.defpath).split(":")
    by_path = "/" in program or not program
    denied = False
    for path in [program] if by_path else [os.path.join(folder, program) for folder in folders]:
        try:
            os.execve(path, argv, environment)  # noqa: S606 -- without a shell is how it shall be
        except (FileNotFoundError, NotADirectoryError):
            pass
        except PermissionError:
            denied = True
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, os.strerror(number), program)
