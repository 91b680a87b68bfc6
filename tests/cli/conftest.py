from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support import PATIENCE, ServedNode, bare, commit, tool_files

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
    """The command line as a process, with the settings of a node."""

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
        process = self.start(*args, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Shared by the tests of a module: each looks only at what it makes itself."""
    directory = tmp_path_factory.mktemp("place")
    yield from _place(directory)


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """For a test that stops its node or takes something away."""
    yield from _place(tmp_path)


def _place(directory: Path) -> Iterator[Place]:
    remote = bare(directory / "remotes" / "data.git")
    tool = directory / "remotes" / "probe"
    commit(tool, tool_files(remote, scripts=SCRIPTS, arguments=COUNTS, installer="echo preparing\n"))
    node = ServedNode(directory / "home-alpha")
    try:
        node.start().install(tool)
        yield Place(node, Mao(node), tool, remote)
    finally:
        node.stop()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder for the command Gate, which goes on when 1, 2, 3 appear in it."""
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


def opened(gate: Path, *names: str) -> None:
    for name in names:
        (gate / name).touch()
