"""What the demos stand on: nodes that serve in a temporary place, and commands that are shown as they are run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

import mao
from mao.errors import GitFailed, MaoError, NodeUnreachable, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL = "python-census"
DATASET = "python-census-data"
_PATIENCE = 30.0
"""Seconds until a node that was started counts as one that does not come up."""
_ROWS = 6
_WIDTH = 100
_IDENTITY = {
    # Nobody's own git identity or settings are needed, nor changed.
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "mao demo",
    "GIT_AUTHOR_EMAIL": "demo@example.org",
    "GIT_COMMITTER_NAME": "mao demo",
    "GIT_COMMITTER_EMAIL": "demo@example.org",
}


class Node:
    """A node of a demo, and commands given to it in sight of everybody.

    Args:
        place: where its home is and its log goes.
        name: of the node, and of its home in `place`.
        prompt: stands before each command, with the name where there are several nodes.
        more: further settings, as environment variables.
    """

    def __init__(self, place: Path, name: str, *, prompt: str = "$ ", **more: str) -> None:
        self.place = place
        self.home = place / name
        self._prompt = prompt
        self._log = place / f"{name}.log"
        file = place / f"{name}.toml"
        file.touch()
        self.settings = {
            "MAO_CONFIG": str(file),
            "MAO_NODE__HOME": str(self.home),
            "MAO_NODE__NAME": name,
            "MAO_SERVER__LISTEN": f"127.0.0.1:{free_port()}",
            **more,
        }
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("MAO_", "GIT_"))}
        # The python3 that runs this one comes first on the PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._environment = kept | _IDENTITY | {"PATH": path} | self.settings

    @contextmanager
    def served(self) -> Iterator[None]:
        """The node in a process of its own, as `mao serve` starts one; it is stopped afterwards."""
        self._show("serve")
        with self._log.open("wb") as words:
            node = subprocess.Popen(_mao("serve"), env=self._environment, cwd=self.place, stdout=words, stderr=words)
        try:
            self._wait_for(node)
            click.echo(self._log.read_text("utf-8", "replace").rstrip())
            yield
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait()

    def _wait_for(self, node: subprocess.Popen[bytes]) -> None:
        from mao.cli.asking import Client

        gives_up = time.monotonic() + _PATIENCE
        while True:
            try:
                Client(f"unix:{self.home / 'socket'}").ready()
            except NodeUnreachable as error:
                if node.poll() is not None or time.monotonic() > gives_up:
                    said = self._log.read_text("utf-8", "replace").rstrip()
                    raise NodeUnreachable(f"The node of the demo did not come up. It said:\n{said}") from error
                time.sleep(0.05)
            else:
                return

    def run(self, *args: str) -> str:
        """Run a command as the user would, in sight; what it printed on stdout."""
        self._show(*args)
        told: list[str] = []
        with subprocess.Popen(
            _mao(*args), env=self._environment, stdout=subprocess.PIPE, stderr=None, text=True, errors="replace"
        ) as command:
            assert command.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
            for line in command.stdout:
                click.echo(line, nl=False)
                told.append(line)
        if command.returncode != 0:
            raise MaoError(f"'mao {shlex.join(args)}' ended with status {command.returncode}, which it should not.")
        return "".join(told)

    def git(self, directory: Path, *args: str, show: bool = False) -> None:
        """Run git in `directory`; in sight if it is to be shown."""
        words = ["git", "-C", str(directory), *args]
        if show:
            click.echo(f"$ {shlex.join(words)}")
        done = subprocess.run(
            ["git", *words[1:]], env=self._environment, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode != 0:
            raise GitFailed(f"{shlex.join(words)}: {done.stderr.strip()}")
        if show:
            click.echo(done.stdout.rstrip())

    def tool_repository(self) -> Path:
        """A new repository of the shipped tool, whose data goes to a remote beside it."""
        remote = self.place / "remotes" / f"{DATASET}.git"
        remote.mkdir(parents=True)
        self.git(remote, "init", "--quiet", "--bare", "--initial-branch=main", ".")
        repository = self.place / "remotes" / TOOL
        shutil.copytree(examples() / TOOL, repository, ignore=shutil.ignore_patterns("__pycache__"))
        file = repository / "mao.yaml"
        file.write_text(re.sub(r"(?m)^(\s+Remote:).*$", rf"\1 '{remote}'", file.read_text("utf-8")), "utf-8")
        self.git(repository, "init", "--quiet", "--initial-branch=main", ".")
        self.git(repository, "add", "--all", ".")
        self.git(repository, "commit", "--quiet", "--message", f"Begin {TOOL}")
        return repository

    def _show(self, *args: str) -> None:
        click.secho(f"{self._prompt}mao {shlex.join(args)}", bold=True)


@contextmanager
def temporary_place(*, keep: bool) -> Iterator[Path]:
    """A directory for a demo, gone afterwards unless it is to be kept."""
    place = Path(tempfile.mkdtemp(prefix="mao-demo-")).resolve()
    try:
        yield place
    finally:
        if not keep:
            shutil.rmtree(place)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def examples() -> Path:
    """Where the shipped examples are: in the package, or beside the source it is run from.

    Raises:
        NotFound
    """
    package = Path(mao.__file__).parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / TOOL / "mao.yaml").is_file():
            return folder
    raise NotFound(f"The example '{TOOL}' is not in this installation. Install MAO again.")


def look_at(node: Node, printed: str) -> None:
    """Show what is in a clone, whose path `mao dataset clone` printed, and where that says it comes from."""
    clone = Path(printed.strip().splitlines()[-1])
    file = max(clone.glob("census/**/*.csv"))
    say(f"The first rows of {file.relative_to(clone)}:")
    for line in file.read_text("utf-8").splitlines()[:_ROWS]:
        click.echo(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…")
    say("Each commit says where its data comes from:")
    node.git(clone, "log", "-1", show=True)


def say(words: str) -> None:
    """Tell what comes next, or what has been seen."""
    click.echo(f"\n{words}\n")


def _mao(*args: str) -> list[str]:
    return [sys.executable, "-m", "mao", *args]
