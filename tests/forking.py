"""Processes that tests start by having them forked: nodes, and commands whose end is waited for.

They are processes like any other: with their own session, environment and directory, and the sockets and locks that
they open themselves; they can be killed and waited for. They only have not spent a second of the processor on loading
what the one before them had loaded as well. The tests of how the program starts do not start it this way, or `fresh`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

_OBEYED_AT_THE_START = ("LD_PRELOAD", "LC_ALL", "LC_CTYPE", "PYTHONIOENCODING", "PYTHONUTF8", "TZ")
"""Variables that mean something to a process when its program is loaded."""


@dataclass(frozen=True)
class Process:
    """What is to be started.

    Args:
        args: as `crashing.py` takes them.
        env: all of its environment.
        cwd: its directory.
        fresh: whether it is to load its program itself.
    """

    args: list[str]
    env: dict[str, str]
    cwd: str
    fresh: bool = False

    def __post_init__(self) -> None:
        if any(self.env.get(name) != os.environ.get(name) for name in _OBEYED_AT_THE_START):
            object.__setattr__(self, "fresh", True)


@dataclass
class Forked:
    """A process that was forked; it is used like a `subprocess.Popen`."""

    args: list[str]
    pid: int
    told: socket.socket
    """Where its end is told."""
    returncode: int | None = None

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; -9 if it was killed.

        Raises:
            TimeoutExpired
        """
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            self.told.settimeout(seconds)
            try:
                self.returncode = int(self.told.recv(64))
            except (BlockingIOError, TimeoutError):
                return None
            self.told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Origin:
    """The process that forks; it ends with the process that asks it."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._requests, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("origin.py")), str(its.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )

    def fork(self, what: Process, out: IO[Any], err: IO[Any]) -> Forked:
        """Start a process that writes to these files; in the network in which this thread is."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its, tempfile.TemporaryFile() as told, Path("/proc/thread-self/ns/net").open("rb") as network:
            told.write(json.dumps(asdict(what)).encode())  # in a file, as it may be larger than any message
            told.flush()
            descriptors = [file.fileno() for file in (its, told, out, err, network)]
            with self._asking:
                socket.send_fds(self._requests, [b"!"], descriptors)
        return Forked(what.args, int(mine.recv(64)), mine)

    def run(self, what: Process, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; as `subprocess.run` with text."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            forked = self.fork(what, out, err)
            try:
                code = forked.wait(timeout)
            finally:
                forked.kill()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(what.args, code, out.read(), err.read())

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


_origin: Origin | None = None
_making = threading.Lock()


def close() -> None:
    """End that of this process, if there is one."""
    if _origin is not None:
        _origin.close()


def origin() -> Origin:
    """That of this process; made when it is wanted first."""
    global _origin  # noqa: PLW0603  # one for all tests of a worker
    with _making:
        if _origin is None:
            _origin = Origin()
        return _origin
