"""Calling git: bounded in time, never asking, never running what a repository brings along."""

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

from mao.errors import GitFailed, MaoError, RemoteUnreachable, Stopping
from mao.failures import classify
from mao.processes import kill_marked, marked

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "MAO_GIT_OF"
"""The variable by which the git processes of a node are found again after the node was killed."""

# What would point git at another repository, as inside a hook (git rev-parse --local-env-vars), or have it say more.
_MISLEADING = re.compile(
    r"GIT_(ALTERNATE_OBJECT_DIRECTORIES|CEILING_DIRECTORIES|COMMON_DIR|CONFIG|CONFIG_COUNT|CONFIG_PARAMETERS|DIR"
    r"|GRAFT_FILE|IMPLICIT_WORK_TREE|INDEX_FILE|INTERNAL_SUPER_PREFIX|NAMESPACE|NO_REPLACE_OBJECTS|OBJECT_DIRECTORY"
    r"|PREFIX|QUARANTINE_PATH|REPLACE_REF_BASE|SHALLOW_FILE|TEMPLATE_DIR|TRACE.*|WORK_TREE)"
)

LOST_RACE = "lost-race"
"""The cause of a failure that only means that somebody else was first."""

_PATIENCE = 3.0  # seconds that git gets to end by itself
_LOOK = 0.01  # seconds between two looks whether it has

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
    # The one in which a remote gives single objects and says where its HEAD points while it is empty.
    "protocol.version": "2",
    # A connection that brings less than 1 kB/s for three minutes is dead: HTTP has no other time limit. Not sooner: a
    # host that checks a large push says nothing meanwhile but, every 5 seconds, the 5 bytes of receive.keepAlive.
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "180",
    "user.useConfigOnly": "false",
}


# What git says where a host, or a proxy before it, takes no body whose length it is not told beforehand.
_CHUNKS_REFUSED = re.compile(r"RPC failed;.* 4(00|11)\b|try increasing http\.postBuffer")
_WHOLE = 1 << 29  # bytes that are then kept in memory to be counted; git does so up to 1 MB

_PASSWORD = re.compile(r"//[^/\s:@]*:[^/\s]*@")  # before it may be a token, that some hosts take for a name


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
    _closed: bool = False

    def environment(self) -> dict[str, str]:
        """The environment of every git command."""
        kept = {name: value for name, value in os.environ.items() if not _MISLEADING.fullmatch(name)}
        settings = list(_SETTINGS.items())
        numbered = {f"GIT_CONFIG_KEY_{i}": key for i, (key, _) in enumerate(settings)}
        numbered |= {f"GIT_CONFIG_VALUE_{i}": value for i, (_, value) in enumerate(settings)}
        own = {
            "GIT_CONFIG_COUNT": str(len(settings)),
            MARKER: str(self.home),
            "LC_ALL": "C",
            "LANGUAGE": "",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if self.allow_http else ""),
            "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh")
            + " -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=4"
            # A shared connection that outlives git keeps its pipes open, and git would seem to hang.
            + " -oControlMaster=no",
        }
        return kept | numbered | own

    def start(self, *args: str, cwd: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start git for a dialogue; end it with `finish`.

        Raises:
            Stopping: after `close`.
        """
        with self._lock:  # what `close` does not see is not started
            if self._closed:
                raise _stopping(args)
            process = subprocess.Popen(
                ["git", *args],
                cwd=cwd,
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # so that all of it can be ended
            )
            self._live.add(process)
        return process

    def finish(self, process: subprocess.Popen[bytes], given: bytes = b"", time_limit: float | None = None) -> Output:
        """Give the rest of its input to git, and wait for its end.

        Raises:
            RemoteUnreachable: it took longer than the time limit, and was ended.
            Stopping: it was ended by `close`.
        """
        limit = time_limit or self.time_limit
        args = tuple(map(str, process.args[1:])) if isinstance(process.args, list) else ()
        try:
            out, err = process.communicate(given, timeout=limit)
        except subprocess.TimeoutExpired:
            _end(process)
            if self._closed:
                raise _stopping(args) from None
            raise RemoteUnreachable(
                f"git {_verb(args)} was ended after {limit:g} s without an answer (timed out).", cause="timed-out"
            ) from None
        finally:
            if process.poll() is None:
                _end(process)
            with self._lock:
                self._live.discard(process)
        if process.returncode != 0 and self._closed:
            raise _stopping(args)
        return Output(process.returncode, out, (err or b"").decode("utf-8", "replace").strip())

    def abandon(self, process: subprocess.Popen[bytes]) -> None:
        """End git, and what it has started, without its answer."""
        _end(process)
        with self._lock:
            self._live.discard(process)

    def attempt(self, *args: str, cwd: Path, given: bytes = b"", time_limit: float | None = None) -> Output:
        """Run git, whatever its exit status. A push of which a host refuses the chunks is made again in one piece."""
        output = self.finish(self.start(*args, cwd=cwd), given, time_limit)
        if output.status != 0 and _verb(args) == "push" and _CHUNKS_REFUSED.search(output.err):
            whole = ("-c", f"http.postBuffer={_WHOLE}", *args)
            output = self.finish(self.start(*whole, cwd=cwd), given, time_limit)
        return output

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
    said = [line for line in output.err.splitlines() if not line.startswith("hint:")]
    words = "\n".join([*flags, *said]) or f"exit status {output.status}"
    kind = classify(words)
    detail = _PASSWORD.sub("//***@", f"git {_verb(args)}: {words}")
    return kind.error(detail, cause=kind.cause) if kind else GitFailed(detail)


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


def _verb(args: tuple[str, ...]) -> str:
    rest = list(args)
    while rest[:1] == ["-c"]:
        del rest[:2]
    return next((arg for arg in rest if not arg.startswith("-")), "")


def _stopping(args: tuple[str, ...]) -> Stopping:
    return Stopping(f"git {_verb(args)} was ended: this node is stopping. It is begun again at its next start.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started. All of them first get the chance to take their locks away."""
    _terminate(process)
    _kill(process)
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
