from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.place import Place, another_tool
from support import PATIENCE, commit, git

if TYPE_CHECKING:
    from pathlib import Path


def updatable(place: Place, tmp_path: Path, name: str) -> tuple[str, str]:
    """A tool that is installed, and has a newer commit; both commits."""
    repository = another_tool(tmp_path, name, installer="echo old\n")
    place.mao.ok("tool", "register", str(repository))
    place.mao.ok("tool", "install", name)
    old = git("rev-parse", "HEAD", cwd=repository)
    return old, commit(repository, {"install.sh": "echo new\n", "more.txt": "more"})


def test_an_update_shows_what_changes_and_asks(place: Place, tmp_path: Path) -> None:
    old, new = updatable(place, tmp_path, "aged")
    done = place.mao("tool", "update", "aged")
    assert done.returncode == 2
    assert "-echo old\n+echo new\n" in done.stderr
    assert "  changed install.sh (+1 -1, 9 bytes)\n  added   more.txt (+1 -0, 4 bytes, file)\n" in done.stderr
    assert "--yes" in done.stderr
    assert place.mao.json("tool", "help", "aged")["commit"] == old
    place.mao.ok("tool", "update", "aged", "--yes")
    assert place.mao.json("tool", "help", "aged")["commit"] == new
    again = place.mao.ok("tool", "update", "aged")
    assert "nothing to do" in again.stderr
    place.mao.ok("tool", "update", "aged", "--yes", "--commit", old)
    assert place.mao.json("tool", "help", "aged")["commit"] == old


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 130)])
def test_an_update_goes_by_the_answer_on_a_terminal(place: Place, tmp_path: Path, answer: bytes, status: int) -> None:
    name = f"asked-{status}"
    old, new = updatable(place, tmp_path, name)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "mao", "tool", "update", name],
        env=place.node.environment(),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(ours, answer)
        process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status
    assert place.mao.json("tool", "help", name)["commit"] == (new if status == 0 else old)
