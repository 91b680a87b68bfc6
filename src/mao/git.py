"""Calling git: bounded in time, never asking, never running what a repository brings along."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mao.errors import DiskFull, GitFailed, MaoError, RemoteRefused, RemoteUnreachable

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "MAO_GIT_OF"
"""The variable by which the git processes of a node are found again after the node was killed."""

_SETTINGS = {
    # A repository's own hooks and monitors are other people's code.
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.symlinks": "true",
    "core.fsync": "committed",
    "core.quotePath": "false",
    "fastimport.unpackLimit": "1",
    # Nothing of ours is tidied behind our back, nor while somebody waits.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
    "submodule.recurse": "false",
    # A connection that brings less than 1 kB/s for a minute is dead: HTTP has no other time limit.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "user.useConfigOnly": "false",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """How git's words for a failed exchange are told apart, and what that means."""

    cause: str
    pattern: str
    error: type[MaoError]


# git has no exit codes for these; the order matters, as several texts accompany many causes (LC_ALL=C, git 2.39).
FAILURES = (
    Failure("lost-race", r"\[rejected\] \((fetch first|non-fast-forward|stale info|already exists)", RemoteRefused),
    Failure("lost-race", r"cannot lock ref .* is at [0-9a-f]+ but expected", RemoteRefused),
    Failure("lost-race", r"cannot lock ref .* reference already exists", RemoteRefused),
    Failure("remote-locked", r"\.lock': File exists", RemoteRefused),
    Failure("hook-declined", r"hook declined", RemoteRefused),
    Failure(
        "remote-disk-full",
        r"unpacker error[\s\S]*No space left|No space left[\s\S]*unpacker error",
        RemoteRefused,
    ),
    Failure("remote-disk-full", r"remote: [^\n]*No space left on device", RemoteRefused),
    Failure("remote-not-writable", r"unpacker error", RemoteRefused),
    Failure("disk-full", r"No space left on device|Disk quota exceeded", DiskFull),
    Failure(
        "not-allowed",
        r"Authentication failed|could not read Username|could not read Password|error: 40[13]\b|Permission denied"
        r"|access denied|not exported",
        RemoteRefused,
    ),
    Failure("host-key", r"Host key verification failed|IDENTIFICATION HAS CHANGED", RemoteRefused),
    Failure(
        "no-such-repository",
        r"does not appear to be a git repository|repository '[^']*' (not found|does not exist)|not a git repository",
        RemoteRefused,
    ),
    Failure("refused-by-remote", r"\[remote rejected\]", RemoteRefused),
    Failure(
        "unreachable",
        r"Connection refused|Couldn't connect|Could not resolve host|unable to look up|Temporary failure in name"
        r"|timed out|error: (5\d\d|429)|curl \d+|unexpected disconnect|Connection reset|No route to host"
        r"|Failed to connect|unable to access|hung up unexpectedly|Could not read from remote",
        RemoteUnreachable,
    ),
)


_PASSWORD = re.compile(r"//([^/:@\s]+):[^/@\s]+@")


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
    """

    home: Path
    time_limit: float
    allow_http: bool = False
    _live: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _dropped: ClassVar[frozenset[str]] = frozenset(
        # What would point git at another repository, as inside a hook.
        {
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_OBJECT_DIRECTORY",
            "GIT_CEILING_DIRECTORIES",
            "GIT_PREFIX",
        }
    )

    def environment(self) -> dict[str, str]:
        """The environment of every git command."""
        kept = {name: value for name, value in os.environ.items() if name not in self._dropped}
        settings = list(_SETTINGS.items())
        numbered = {f"GIT_CONFIG_KEY_{i}": key for i, (key, _) in enumerate(settings)}
        numbered |= {f"GIT_CONFIG_VALUE_{i}": value for i, (_, value) in enumerate(settings)}
        return (
            kept
            | numbered
            | {
                "GIT_CONFIG_COUNT": str(len(settings)),
                MARKER: str(self.home),
                "LC_ALL": "C",
                "LANGUAGE": "",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_OPTIONAL_LOCKS": "0",
                "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if self.allow_http else ""),
                "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh")
                + " -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=4",
            }
        )

    def start(self, *args: str, cwd: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start git for a dialogue; end it with `finish`."""
        process = subprocess.Popen(
            ["git", *args],
            cwd=cwd,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # so that all of it can be ended
        )
        with self._lock:
            self._live.add(process)
        return process

    def finish(self, process: subprocess.Popen[bytes], given: bytes = b"", time_limit: float | None = None) -> Output:
        """Give the rest of its input to git, and wait for its end.

        Raises:
            RemoteUnreachable: it took longer than the time limit, and was ended.
        """
        try:
            out, err = process.communicate(given, timeout=time_limit or self.time_limit)
        except subprocess.TimeoutExpired:
            _end(process)
            raise RemoteUnreachable(
                f"git {_verb(process)} was ended after {time_limit or self.time_limit:g} s without an answer (timed out).",
                cause="timed-out",
            ) from None
        except BrokenPipeError:
            out, err = process.communicate()
        finally:
            with self._lock:
                self._live.discard(process)
            if process.poll() is None:
                _end(process)
        return Output(process.returncode, out, (err or b"").decode("utf-8", "replace").strip())

    def attempt(self, *args: str, cwd: Path, given: bytes = b"", time_limit: float | None = None) -> Output:
        """Run git, whatever its exit status."""
        return self.finish(self.start(*args, cwd=cwd), given, time_limit)

    def run(self, *args: str, cwd: Path, given: bytes = b"", time_limit: float | None = None) -> bytes:
        """What git prints.

        Raises:
            GitFailed, RemoteRefused, DiskFull: it failed; with its own words.
            RemoteUnreachable: it took longer than the time limit.
        """
        output = self.attempt(*args, cwd=cwd, given=given, time_limit=time_limit)
        if output.status != 0:
            raise failure(output, args)
        return output.out

    def close(self) -> None:
        """End what still runs."""
        with self._lock:
            live = list(self._live)
        for process in live:
            _end(process)


def classify(text: str) -> Failure | None:
    """Which of `FAILURES` git's words tell of."""
    return next((kind for kind in FAILURES if re.search(kind.pattern, text)), None)


def failure(output: Output, args: tuple[str, ...]) -> MaoError:
    """The error that a failed git command is."""
    words = output.err or f"exit status {output.status}"
    kind = classify(words + "\n" + output.out.decode("utf-8", "replace"))
    verb = next((arg for arg in args if not arg.startswith("-")), "git")
    detail = f"git {verb}: " + _PASSWORD.sub(r"//\1:***@", words)
    return kind.error(detail, cause=kind.cause) if kind else GitFailed(detail)


def fetchable(url: str) -> str:
    """`url` as git takes it for every transfer: a path would be copied whole, whatever depth is asked for."""
    return f"file://{url}" if url.startswith("/") else url


def _verb(process: subprocess.Popen[bytes]) -> str:
    args = process.args if isinstance(process.args, list) else []
    return next((str(arg) for arg in args[1:] if not str(arg).startswith("-")), "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started. It first gets the chance to take its locks away."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
