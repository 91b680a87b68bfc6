"""`mao demo`: all of it once, with a real node, real git remotes and the shipped tool, in a temporary place."""

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

_TOOL = "python-census"
_DATASET = "python-census-data"
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


@click.command()
@click.option("--keep", is_flag=True, help="Leave the temporary directory, and say where it is.")
def demo(*, keep: bool) -> None:
    """Show what MAO does: start a node, register, install and run a tool, publish its data and clone it.

    Everything happens in a temporary directory, on a free port of this machine, and is gone afterwards. Each step
    is a command that works just so on a node of your own.
    """
    place = Path(tempfile.mkdtemp(prefix="mao-demo-")).resolve()
    try:
        environment = _environment(place)
        with _served(place, environment):
            _tell_all(place, environment)
        if keep:
            settings = " ".join(f"{name}={environment[name]}" for name in sorted(_settings(place, 0)))
            _say(f"Everything is in {place}. To serve that node again:\n\n  {settings} mao serve")
    finally:
        if not keep:
            shutil.rmtree(place)


def examples() -> Path:
    """Where the shipped examples are: in the package, or beside the source it is run from.

    Raises:
        NotFound
    """
    package = Path(mao.__file__).parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / _TOOL / "mao.yaml").is_file():
            return folder
    raise NotFound(f"The example '{_TOOL}' is not in this installation. Install MAO again.")


def _settings(place: Path, port: int) -> dict[str, str]:
    return {
        "MAO_CONFIG": str(place / "mao.toml"),
        "MAO_NODE__HOME": str(place / "home"),
        "MAO_NODE__NAME": "demo",
        "MAO_SERVER__LISTEN": f"127.0.0.1:{port}",
    }


def _environment(place: Path) -> dict[str, str]:
    """That of this process, with settings of its own only, and the python3 that runs this one on the PATH."""
    (place / "mao.toml").touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("MAO_", "GIT_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return kept | _IDENTITY | {"PATH": path} | _settings(place, port)


@contextmanager
def _served(place: Path, environment: dict[str, str]) -> Iterator[None]:
    """A node in a process of its own, as `mao serve` starts one; it is stopped afterwards."""
    _show("serve")
    log = place / "serve.log"
    with log.open("wb") as words:
        node = subprocess.Popen(_mao("serve"), env=environment, cwd=place, stdout=words, stderr=words)
    try:
        _wait_for(node, log, environment["MAO_SERVER__LISTEN"])
        click.echo(log.read_text("utf-8", "replace").rstrip())
        yield
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait()


def _wait_for(node: subprocess.Popen[bytes], log: Path, address: str) -> None:
    from mao.cli.asking import Client

    gives_up = time.monotonic() + _PATIENCE
    while True:
        try:
            Client(address).ready()
        except NodeUnreachable as error:
            if node.poll() is not None or time.monotonic() > gives_up:
                said = log.read_text("utf-8", "replace").rstrip()
                raise NodeUnreachable(f"The node of the demo did not come up. It said:\n{said}") from error
            time.sleep(0.05)
        else:
            return


def _tell_all(place: Path, environment: dict[str, str]) -> None:
    repository = _tool_repository(place, environment)
    _say("A tool is a git repository with a mao.yaml. Its commit is pinned when it is registered, for all nodes.")
    _run(environment, "tool", "register", str(repository))
    _say("Installing clones it at that commit, runs its installer, and clones its dataset.")
    _run(environment, "tool", "install", _TOOL)
    _say("What can it do?")
    _run(environment, "tool", "help", _TOOL)
    _say("Run it. What stands after -- goes to the tool exactly as it is; its output comes as it is printed.")
    _run(environment, "tool", "run", _TOOL, "Census", "--wait", "--", "p*", "true")
    _say("Its data was committed and pushed to the dataset. Anybody on a node can have that, without the tool.")
    clone = Path(_run(environment, "dataset", "clone", _DATASET).strip().splitlines()[-1])
    file = max(clone.glob("census/**/*.csv"))
    _say(f"The first rows of {file.relative_to(clone)}:")
    for line in file.read_text("utf-8").splitlines()[:_ROWS]:
        click.echo(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…")
    _say("Each commit says where its data comes from:")
    _git(environment, clone, "log", "-1", show=True)
    _say("And what the node knows of its runs:")
    _run(environment, "run", "list")
    _say(
        "That is all. To go on, with a node of your own:\n\n"
        "  mao serve                    serves a node in ~/mao\n"
        "  mao definition new           begins a mao.yaml for your tool\n"
        "  mao tool register URL        makes it known\n"
        "  mao doctor                   checks this machine\n"
    )


def _tool_repository(place: Path, environment: dict[str, str]) -> Path:
    """A repository of the shipped tool, whose data goes to a remote in `place`."""
    remote = place / "remotes" / f"{_DATASET}.git"
    remote.mkdir(parents=True)
    _git(environment, remote, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    repository = place / "remotes" / _TOOL
    shutil.copytree(examples() / _TOOL, repository, ignore=shutil.ignore_patterns("__pycache__"))
    file = repository / "mao.yaml"
    file.write_text(re.sub(r"(?m)^(\s+Remote:).*$", rf"\1 '{remote}'", file.read_text("utf-8")), "utf-8")
    _git(environment, repository, "init", "--quiet", "--initial-branch=main", ".")
    _git(environment, repository, "add", "--all", ".")
    _git(environment, repository, "commit", "--quiet", "--message", f"Begin {_TOOL}")
    return repository


def _git(environment: dict[str, str], directory: Path, *args: str, show: bool = False) -> None:
    words = ["git", "-C", str(directory), *args]
    if show:
        click.echo(f"$ {shlex.join(words)}")
    done = subprocess.run(
        ["git", *words[1:]], env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise GitFailed(f"{shlex.join(words)}: {done.stderr.strip()}")
    if show:
        click.echo(done.stdout.rstrip())


def _mao(*args: str) -> list[str]:
    return [sys.executable, "-m", "mao", *args]


def _show(*args: str) -> None:
    click.secho(f"$ mao {shlex.join(args)}", bold=True)


def _run(environment: dict[str, str], *args: str) -> str:
    """Run a command as the user would, in sight; what it printed on stdout."""
    _show(*args)
    told: list[str] = []
    with subprocess.Popen(
        _mao(*args), env=environment, stdout=subprocess.PIPE, stderr=None, text=True, errors="replace"
    ) as command:
        assert command.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
        for line in command.stdout:
            click.echo(line, nl=False)
            told.append(line)
    if command.returncode != 0:
        raise MaoError(f"'mao {shlex.join(args)}' ended with status {command.returncode}, which it should not.")
    return "".join(told)


def _say(words: str) -> None:
    click.echo(f"\n{words}\n")
