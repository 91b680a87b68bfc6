"""A node of its own that wants updates approved, and its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.place import Mao
from support import ServedNode, bare, commit, git, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def mao(tmp_path: Path) -> Iterator[Mao]:
    node = ServedNode(tmp_path / "home", settings={"MAO_POLICY__APPROVE": "updates"})
    yield Mao(node.start())
    node.stop()


def test_an_update_is_shown_approved_and_done_also_by_a_node_that_was_killed_between(mao: Mao, tmp_path: Path) -> None:
    remote, elsewhere = bare(tmp_path / "data.git"), bare(tmp_path / "elsewhere.git")
    repository = tmp_path / "probe"
    old = commit(repository, tool_files(remote, installer="echo old\n"))
    mao.ok("tool", "register", str(repository))
    first = mao("tool", "approve", "probe")
    assert first.returncode == 2  # there is no terminal to ask on
    assert f"'probe' would be installed here at commit {old[:12]}" in first.stderr
    assert "+Version: 1\n" in first.stderr
    assert "No commit is approved" in mao.ok("tool", "approvals").stderr
    mao.ok("tool", "install", "probe")

    definition = tool_files(elsewhere)["mao.yaml"].replace("probe-data", "other-data")
    new = commit(repository, {"mao.yaml": definition, "install.sh": "echo \x1b[2Jnew\n"})
    waiting = mao("tool", "update", "probe", "--yes")
    assert waiting.returncode == 4
    assert f"ITS DATA WILL GO TO {elsewhere}\ninstead of          {remote}.\n" in waiting.stderr
    assert f"'mao tool approve probe {new}'" in waiting.stderr
    assert mao("tool", "install", "probe", "--commit", new).returncode == 4
    assert mao.json("tool", "help", "probe")["commit"] == old

    shown = mao.ok("tool", "approve", "probe", new, "--diff", "--yes")
    assert f"ITS DATA WILL GO TO {elsewhere}" in shown.stderr
    assert "+echo \N{REPLACEMENT CHARACTER}[2Jnew\n" in shown.stderr
    assert "diff --git a/install.sh b/install.sh\n" in shown.stderr
    mao.node.kill()
    mao.node.start(crash_at="install: cloned")
    mao("tool", "update", "probe", "--yes", "--no-wait", "--commit", new)
    assert mao.node.process is not None
    mao.node.process.wait()
    mao.node.start()
    assert mao.node.installed()["commit"] == new

    (approval,) = mao.json("tool", "approvals")
    assert (approval["commit"], approval["tree"]) == (new, git("rev-parse", f"{new}^{{tree}}", cwd=repository))
    assert new[:12] in mao.ok("tool", "approvals").stdout
    assert mao("tool", "approve", "probe", "--withdraw").returncode == 2
    assert mao.json("tool", "approve", "probe", new, "--withdraw")["withdrawn"] is True
    assert mao("tool", "approve", "probe", new, "--withdraw").returncode == 3
    assert mao.json("tool", "approvals") == []
