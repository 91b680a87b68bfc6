"""What many tests need: git remotes, tools to register, nodes that serve in a process of their own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil

from forking import Forked, Process, origin
from mao.node_address import NodeAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = 60.0
"""Seconds until a test gives up waiting; it never waits longer than it must."""

EVERY_SECOND = "* * * * * *"
"""A rule whose slots a test need not wait for."""

GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}


def git(*args: str | Path, cwd: Path, given: bytes | None = None) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", *map(str, args)],
        cwd=cwd,
        env=os.environ | GIT_ENVIRONMENT,
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def bare(path: Path, *, filters: bool = True) -> Path:
    """A new empty remote; `filters`: whether it serves partial clones, as hosts do."""
    path.mkdir(parents=True)
    git("init", "--quiet", "--bare", "--initial-branch=main", ".", cwd=path)
    git("config", "uploadpack.allowFilter", "true" if filters else "false", cwd=path)
    return path


def commit(repository: Path, files: Mapping[str, str | bytes], message: str = "change") -> str:
    """Write `files` and commit them in `repository` (made if it is not there); the commit."""
    if not (repository / ".git").exists():
        repository.mkdir(parents=True, exist_ok=True)
        git("init", "--quiet", "--initial-branch=main", ".", cwd=repository)
    for name, content in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git("add", "--all", ".", cwd=repository)
    git("commit", "--quiet", "--message", message, cwd=repository)
    return git("rev-parse", "HEAD", cwd=repository)


WRITE = """\
set -eu
cd "$MAO_DATA_DIR"
file="${2-data-$MAO_RUN_ID.txt}"
mkdir -p "$(dirname "$file")"
printf %s "${1-}" > "$file"
echo written
"""
"""A script that writes its first argument to the file that its second one names."""


def tool_files(  # noqa: PLR0913  # each is a part of a definition that some test varies
    dataset: Path | str,
    *,
    name: str = "probe",
    fresh: bool = True,
    scripts: Mapping[str, str] | None = None,
    arguments: Mapping[str, int] | None = None,
    installer: str | None = None,
    more: str = "",
) -> dict[str, str]:
    """The files of a tool of format 1 whose commands are bash scripts.

    Args:
        dataset: the remote of its dataset, called `<name>-data`.
        name: of the tool.
        fresh: whether each run has an empty data directory of its own; else all share `data`.
        scripts: the script of each command; by default one command, `Write`.
        arguments: how many arguments each command takes, called A1, A2...; by default `Write` has two that may be
            left out, and others have none.
        installer: the installer's script.
        more: further lines of the definition.
    """
    scripts = {"Write": WRITE} if scripts is None else scripts
    counts = {"Write": 2} | dict(arguments or {})
    lines = [
        "Version: 1",
        f"Name: {name}",
        "Description: A tool for tests",
        "Data:",
        "  Fresh: true" if fresh else "  Local: data",
        f"  Repo: {{Name: {name}-data, Remote: '{dataset}'}}",
    ]
    if installer is not None:
        lines.append("Installer: {Command: bash, Script: install.sh}")
    lines.append("Commands:")
    for command in scripts:
        lines += [
            f"  - Name: {command}",
            "    Description: A command",
            "    Command: bash",
            f"    Script: {command}.sh",
        ]
        if counts.get(command):
            lines.append("    Arguments:")
            lines += [f"      - {{Name: A{i}, Required: false}}" for i in range(1, counts[command] + 1)]
    files = {"mao.yaml": "\n".join([*lines, more]) + "\n"}
    files |= {f"{command}.sh": script for command, script in scripts.items()}
    return files | ({"install.sh": installer} if installer is not None else {})


def eventually(condition: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"it never came to pass: {what or condition}"
        time.sleep(0.02)
    return answer


def fill(disk: Path, leave: int = 0) -> Path:
    """Fill a disk but for so many bytes; the file to remove to make room again."""
    ballast, rest = disk / "ballast", disk / "rest"
    rest.write_bytes(bytes(leave))
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            rest.unlink()
            return ballast


_CHANCE = random.SystemRandom()  # tests run side by side, and must not draw the same


def free_port() -> int:
    """A port of this machine at which nothing listens: one of those that connections are not given (ip(7))."""
    while True:
        port = _CHANCE.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ServedNode:
    """A node that serves in a process of its own, which can be killed and started again.

    Args:
        home: of the node.
        name: of the node.
        settings: further settings, as environment variables (`MAO_RUNS__LIMIT`).
        fresh: whether it loads its program itself, as `mao serve` does, where tests could have it forked.
    """

    home: Path
    name: str = "alpha"
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: Forked | None = None
    fresh: bool = False

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        return (
            kept
            | GIT_ENVIRONMENT
            | {
                "MAO_NODE__HOME": str(self.home),
                "MAO_NODE__NAME": self.name,
                "MAO_SERVER__LISTEN": f"127.0.0.1:{self.port}",
                "MAO_RUNS__EXECUTOR": "process",  # tools of tests tell by files beside their data how far they are
                "MAO_PUBLISHING__FIRST_PAUSE": "0.2",
                "MAO_PUBLISHING__LONGEST_PAUSE": "1",
                **self.settings,
            }
        )

    def start(self, crash_at: str | None = None) -> ServedNode:
        """Serve, and return when the server answers.

        Args:
            crash_at: a step as in `tests/crashing.py`, at which the server kills itself.
        """
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            self.process = origin().fork(
                Process([crash_at or "never"], self.environment(), str(self.home.parent), fresh=self.fresh), log, log
            )
        eventually(lambda: self.dead() or self._answers(), "the server answers")
        return self

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def dead(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def kill(self) -> None:
        """kill -9 of the server alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def kill_all(self) -> None:
        """kill -9 of the server and of its supervisors at the same moment; what the tool started is not touched."""
        assert self.process is not None
        own = [self.process.pid, *(p.pid for p in psutil.Process(self.process.pid).children(recursive=True))]
        own += [pid for pid in supervisors(self.home) if pid not in own]
        for ending in (signal.SIGSTOP, signal.SIGKILL):
            for pid in own:
                with contextlib.suppress(ProcessLookupError):  # a supervisor whose run has just ended
                    os.kill(pid, ending)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and not self.dead():
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)

    @property
    def url(self) -> str:
        """Where its owner asks."""
        return f"unix:{self.home / 'socket'}"

    def connection(self, timeout: float = 90) -> http.client.HTTPConnection:
        """A connection to the socket in its home."""
        return NodeAddress(self.url).connection(timeout)

    def token(self, scope: str, *tools: str, name: str | None = None, **more: Any) -> str:
        """The text of a new token."""
        body = {"name": name or f"test-{uuid4()}", "scope": scope, "tools": list(tools) or None, **more}
        text: str = self.api("POST", "/tokens", body)["token"]
        return text

    def over_tcp(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: str | None = None,
    ) -> Reply:
        """What it answers at its port, to the owner of a token or to nobody."""
        given = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        return self._asked(connection, method, path, body, given | dict(headers or {}))

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """What it answers its owner."""
        return self._asked(self.connection(), method, path, body, headers or {})

    def _asked(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
    ) -> Reply:
        try:
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = ({"Content-Type": "application/json"} if data is not None else {}) | dict(headers)
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def api(self, method: str, path: str, body: Any = None, *, status: int | None = None, **headers: str) -> Any:
        """The JSON of an answer that must not be an error (or must have `status`)."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.request(method, f"/api/v1{path}", body, sent)
        assert reply.status == status if status else reply.status < 400, reply.body.decode()
        return reply.json if reply.body else None

    def install(self, repository: Path, name: str = "probe") -> Any:
        """Register and install the tool in `repository`; the installation."""
        self.api("POST", "/tools", {"url": str(repository)})
        self.api("POST", "/installations", {"tool": name})
        return self.installed(name)

    def installed(self, name: str = "probe") -> Any:
        """The installation when its attempt has ended."""
        return self._wait(f"/installations/{name}", lambda i: i["attempt"]["step"] in {"done", "failed"})

    def run(self, command: str = "Write", *arguments: str, tool: str = "probe", **more: Any) -> Any:
        """Start a run; the run as it was accepted."""
        return self.api("POST", "/runs", {"tool": tool, "command": command, "arguments": list(arguments), **more})

    def ended(self, run: Any) -> Any:
        """The run when it has ended."""
        unended = {"queued", "running", "publishing"}
        return self._wait(f"/runs/{run['id']}", lambda r: r["state"] not in unended)

    def finished(self, run: Any, state: str) -> Any:
        """The run when it is in `state`."""
        return self._wait(f"/runs/{run['id']}", lambda r: r["state"] == state)

    def slots(self, schedule: str, outcome: str) -> list[Any]:
        """The slots of a schedule that have an outcome, the newest first, when there are any."""
        path = f"/schedules/{schedule}/slots?outcome={outcome}"
        found: list[Any] = self._wait(path, lambda page: bool(page["items"]))["items"]
        return found

    def _wait(self, path: str, condition: Callable[[Any], bool]) -> Any:
        def found() -> Any:
            value = self.api("GET", path, Prefer="wait=1")
            return value if condition(value) else None

        return eventually(found, f"{path} is as it should be")


def supervisors(home: Path | str) -> list[int]:
    """The pids of the supervisors of a node's runs and installers: whoever holds the lock of a job of `home`."""
    found = []
    for process in psutil.process_iter(["pid"]):
        try:
            links = [str(fd.readlink()) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
        except OSError:
            continue
        if any(link.startswith(f"{home}/") and link.endswith("/lock") and link != f"{home}/lock" for link in links):
            found.append(process.pid)
    return found


def processes_of(home: Path) -> list[str]:
    """The command lines of all processes that belong to a node: by their environment, directory or open files."""
    found = []
    for process in psutil.process_iter(["pid"]):
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            cwd = Path(f"/proc/{process.pid}/cwd").readlink()
            line = " ".join(process.cmdline())
        except (OSError, psutil.Error):
            continue
        if str(home).encode() in environment or cwd.is_relative_to(home):
            found.append(f"{process.pid} {line}")
    return found


def published(remote: Path, branch: str = "main") -> dict[str, str]:
    """Every file on the branch of a remote, with its content."""
    if not git("for-each-ref", f"refs/heads/{branch}", cwd=remote):
        return {}
    names = git("ls-tree", "-r", "-z", "--name-only", branch, cwd=remote).split("\0")
    return {name: git("show", f"{branch}:{name}", cwd=remote) for name in names if name}


def trailers(remote: Path, key: str, branch: str = "main") -> list[str]:
    """The values of a trailer over all commits of the branch, the newest first."""
    if not git("for-each-ref", f"refs/heads/{branch}", cwd=remote):
        return []
    listed = git("log", f"--format=%(trailers:key={key},valueonly)", branch, cwd=remote)
    return [line for line in listed.splitlines() if line]
