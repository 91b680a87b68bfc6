"""A node with a tool, and the command line that asks it: what the tests of all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from forking import Process, origin
from mao.cli import mao as root
from support import GIT_ENVIRONMENT, PATIENCE, ServedNode, bare, commit, free_port, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each command prints what is unlike others: its arguments as they came, a line that waits for leave, a failure.
SCRIPTS = {
    "Write": 'set -eu\nprintf %s "${1-}" > "$MAO_DATA_DIR/data-$MAO_RUN_ID.txt"\necho written\n',
    "Arguments": 'for a in "$@"; do printf "%s\\0" "$a"; done > "$MAO_DATA_DIR/arguments-$MAO_RUN_ID"\n',
    "Fail": "echo before; echo trouble >&2; exit 3\n",
    "Gate": 'for i in 1 2 3; do echo "line $i"; until [ -e "$1/$i" ]; do sleep 0.02; done; done; echo over\n',
}
COUNTS = {"Write": 1, "Arguments": 8, "Gate": 1}


@dataclass
class Mao:
    """The command line as a process, with the settings of a node; it is forked where its end is waited for."""

    node: ServedNode

    def start(self, *args: str | bytes, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mao", *args],
            env=self.node.environment() | environment,
            cwd=self.node.home.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = self.node.environment() | environment
        return origin().run(Process(["never", *map(os.fsdecode, args)], settings, str(self.node.home.parent)), PATIENCE)

    def ok(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = self(*args, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def json(self, *args: str) -> Any:
        """What a command that must succeed prints with -o json."""
        noun, verb, *rest = args
        return json.loads(self.ok(noun, verb, "-o", "json", *rest).stdout)


@dataclass
class Place:
    """A node that serves with the tool `probe` installed, its repository and the remote of its data."""

    node: ServedNode
    mao: Mao
    tool: Path
    remote: Path


def prepared(directory: Path) -> Iterator[Place]:
    remote = bare(directory / "remotes" / "data.git")
    tool = directory / "remotes" / "probe"
    commit(tool, tool_files(remote, scripts=SCRIPTS, arguments=COUNTS, installer="echo preparing\n"))
    node = ServedNode(directory / "home-alpha")
    try:
        node.start().install(tool)
        yield Place(node, Mao(node), tool, remote)
    finally:
        node.stop()


def opened(gate: Path, *names: str) -> None:
    for name in names:
        (gate / name).touch()


ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/dev/null/nothing", "LANG": "C.UTF-8"} | GIT_ENVIRONMENT
PYTHON = [sys.executable, "-m", "mao"]


def alone(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line without a node."""
    settings = {"MAO_SERVER__LISTEN": f"127.0.0.1:{free_port()}"} | environment
    return subprocess.run(
        [*PYTHON, *args], env=ENVIRONMENT | settings, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


EVERY = dict(commands(root))


def serving(*program: str, home: Path, listen: str) -> tuple[subprocess.Popen[str], str]:
    """A server as a process, and its first line, which it prints when it answers."""
    process = subprocess.Popen(
        [sys.executable, *program],
        env=ENVIRONMENT | {"MAO_NODE__HOME": str(home), "MAO_SERVER__LISTEN": listen},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    return process, process.stderr.readline()


def another_tool(tmp_path: Path, name: str, **more: str) -> Path:
    """A repository of a tool that no other test has."""
    remote = bare(tmp_path / f"{name}.git")
    commit(tmp_path / name, tool_files(remote, name=name, **more))  # type: ignore[arg-type]  # strings by name
    return tmp_path / name
