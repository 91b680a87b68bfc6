"""Calling git: bounded in time and in what it may use, never asking, never running what a repository brings along."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from mao.errors import GitFailed, MaoError, RemoteUnreachable, RepositoryTooLarge, Stopping
from mao.exchange import converse
from mao.failures import classify
from mao.git_environment import MARKER, environment, limited, verb, without_filters
from mao.processes import kill_marked, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOST_RACE = "lost-race"
"""The cause of a failure that only means that somebody else was first."""

_PATIENCE = 3.0  # seconds that git gets to end by itself
_LOOK = 0.01  # seconds between two looks whether it has

# What git says where a host, or a proxy before it, takes no body whose length it is not told beforehand.
_CHUNKS_REFUSED = re.compile(r"RPC failed;.* 4(00|11)\b|try increasing http\.postBuffer")
_WHOLE = 1 << 29  # bytes that are then kept in memory to be counted; git does so up to 1 MB

# The commands that read what a remote gives, or bring it to the disk, and those of them that a filter may change.
_FILTERED = frozenset({"checkout", "checkout-index", "clone", "reset", "sparse-checkout", "status", "update-index"})
_LIMITED = _FILTERED | {"fetch", "ls-remote", "read-tree"}
_MOST = 1 << 30  # bytes of output that are kept: a list of some million files
_MOST_OF_REMOTES = 1 << 24  # bytes of the list of a remote's refs: some hundred thousand

_PASSWORD = re.compile(r"//[^/\s:@]*:[^/\s]*@")  # before it may be a token, that some hosts take for a name
# What could write elsewhere on a terminal than at the cursor, change its state (ECMA-48), or turn text round.
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P^_X][^\x07\x1b\n]*(\x07|\x1b\\)?|\x1b."
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a git command ended with."""

    status: int
    out: bytes
    err: str


@dataclass
class Git:
    """git as this node calls it.

    Args:
        home: of the node; marks the processes as its own.
        time_limit: seconds until a command is ended.
        allow_http: whether remotes without encryption may be used.
        memory_limit: bytes that a git process may have that works on what a remote gives.
    """

    home: Path
    time_limit: float
    allow_http: bool = False
    memory_limit: int = 2 * 1000**3
    _live: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of every git command, with some settings more."""
        return environment(self.home, allow_http=self.allow_http, more=more)

    def start(
        self, *args: str, cwd: Path, stderr: int = subprocess.PIPE, largest: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start git for a dialogue; end it with `finish`.

        Args:
            args: what follows `git` on its command line.
            cwd: where it is started.
            stderr: what it complains to.
            largest: bytes that a file may have which is written while something is fetched or checked out.

        Raises:
            Stopping: after `close`.
        """
        filters = self._filters_off(cwd) if verb(args) in _FILTERED else {}
        limits = limited(self.memory_limit, largest) if verb(args) in _LIMITED else []
        with self._lock:  # what `close` does not see is not started
            if self._closed:
                raise _stopping(args)
            process = subprocess.Popen(
                [*limits, "git", *args],
                cwd=cwd,
                env=self.environment(filters),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # so that all of it can be ended
            )
            self._live.add(process)
        return process

    def _filters_off(self, cwd: Path) -> dict[str, str]:
        listed = self.attempt("config", "--name-only", "-z", "--get-regexp", r"^filter\.", cwd=cwd)
        return without_filters(listed.out)

    def finish(
        self,
        process: subprocess.Popen[bytes],
        given: bytes = b"",
        time_limit: float | None = None,
        take: Callable[[bytes], object] | None = None,
    ) -> Output:
        """Give the rest of its input to git, and wait for its end.

        Args:
            process: that `start` has given.
            given: the rest of its input.
            time_limit: seconds, in place of the usual ones.
            take: is given the output piece by piece, in place of the answer.

        Raises:
            RemoteUnreachable: it took longer than the time limit, and was ended.
            RepositoryTooLarge: it said more than anybody needs, and was ended.
            Stopping: it was ended by `close`.
        """
        limit = time_limit or self.time_limit
        args = _args(process)
        out = bytearray()
        try:
            err = converse(process, given, limit, take or _keeping(out, args))
        except subprocess.TimeoutExpired:
            _end(process)
            if self._closed:
                raise _stopping(args) from None
            raise RemoteUnreachable(
                f"git {verb(args)} was ended after {limit:g} s without an answer (timed out).", cause="timed-out"
            ) from None
        finally:
            if process.poll() is None:
                _end(process)
            _hang_up(process)
            with self._lock:
                self._live.discard(process)
        if process.returncode != 0 and self._closed:
            raise _stopping(args)
        return Output(process.returncode, bytes(out), err.decode("utf-8", "replace").strip())

    def abandon(self, process: subprocess.Popen[bytes]) -> None:
        """End git, and what it has started, without its answer."""
        _end(process)
        with self._lock:
            self._live.discard(process)

    def attempt(
        self,
        *args: str,
        cwd: Path,
        given: bytes = b"",
        time_limit: float | None = None,
        largest: int | None = None,
    ) -> Output:
        """Run git, whatever its exit status. A push of which a host refuses the chunks is made again in one piece."""
        output = self.finish(self.start(*args, cwd=cwd, largest=largest), given, time_limit)
        if output.status != 0 and verb(args) == "push" and _CHUNKS_REFUSED.search(output.err):
            whole = ("-c", f"http.postBuffer={_WHOLE}", *args)
            output = self.finish(self.start(*whole, cwd=cwd), given, time_limit)
        return output

    def run(
        self,
        *args: str,
        cwd: Path,
        given: bytes = b"",
        time_limit: float | None = None,
        largest: int | None = None,
    ) -> bytes:
        """What git prints.

        Raises:
            GitFailed, RemoteRefused, RepositoryTooLarge, RepositoryRefused, DiskFull: it failed; with its own words.
            RemoteUnreachable: it took longer than the time limit.
        """
        output = self.attempt(*args, cwd=cwd, given=given, time_limit=time_limit, largest=largest)
        if output.status != 0:
            raise failure(output, args)
        return output.out

    def close(self) -> None:
        """End what still runs; who waits for it gets `Stopping`, and nothing is started any more."""
        with self._lock:
            self._closed = True
            live = list(self._live)
        for process in live:
            _terminate(process)
        for process in live:
            _kill(process)


def failure(output: Output, args: tuple[str, ...]) -> MaoError:
    """The error that a failed git command is."""
    # `push --porcelain` says to its standard output what became of a branch.
    flags = [line for line in output.out.decode("utf-8", "replace").splitlines() if line.startswith("!\t")]
    said = [line for line in plain(output.err).splitlines() if not line.startswith("hint:")]
    words = "\n".join([*flags, *said]) or f"exit status {output.status}"
    kind = classify(words)
    detail = without_password(f"git {verb(args)}: {words}")
    return kind.error(detail, cause=kind.cause) if kind else GitFailed(detail)


def without_password(words: str) -> str:
    """`words` without the passwords in the addresses that they hold."""
    return _PASSWORD.sub("//***@", words)


def plain(words: str) -> str:
    """`words` of somebody else, without what is no text: they are shown on terminals."""
    return _ESCAPE.sub("", words.replace("\r\n", "\n").replace("\r", "\n"))


def fetchable(url: str) -> str:
    """`url` as git takes it for every transfer: a path would be copied whole, whatever depth is asked for."""
    return f"file://{quote(url)}" if url.startswith("/") else url


def end_left_over(home: Path) -> None:
    """End the git processes that an earlier life of the node in `home` has left running.

    They first get the chance to take their locks away, also those at a remote on this machine.
    """
    give_up = time.monotonic() + _PATIENCE
    left = marked(MARKER, str(home))
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
    while left and time.monotonic() < give_up:
        time.sleep(_LOOK)
        left = marked(MARKER, str(home))
    kill_marked(MARKER, str(home))


def _args(process: subprocess.Popen[bytes]) -> tuple[str, ...]:
    words = [str(word) for word in process.args] if isinstance(process.args, list) else []
    return tuple(words[words.index("git") + 1 :]) if "git" in words else ()


def _keeping(out: bytearray, args: tuple[str, ...]) -> Callable[[bytes], None]:
    """What keeps pieces of the output in `out`, up to a limit."""
    most = _MOST_OF_REMOTES if verb(args) == "ls-remote" else _MOST

    def keep(piece: bytes) -> None:
        out.extend(piece)
        if len(out) > most:
            raise RepositoryTooLarge(f"git {verb(args)} was ended: it said more than {most:,} bytes.")

    return keep


def _stopping(args: tuple[str, ...]) -> Stopping:
    return Stopping(f"git {verb(args)} was ended: this node is stopping. It is begun again at its next start.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started. All of them first get the chance to take their locks away."""
    _terminate(process)
    _kill(process)
    _hang_up(process)


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(BrokenPipeError):  # what was still to be written to it
                pipe.close()


def _terminate(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + _PATIENCE
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < give_up:
            os.killpg(process.pid, 0)  # is any of them left?
            time.sleep(_LOOK)
        os.killpg(process.pid, signal.SIGKILL)
