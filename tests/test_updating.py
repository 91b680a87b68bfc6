from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.errors import NotInstalled, RemoteRefused
from mao.updating import describe_update
from serving import serving
from support import commit, git, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.local_node import LocalNode


@pytest.fixture
def installed(tmp_path: Path, tool: Path, remote: Path) -> Iterator[LocalNode]:
    """A node on which the tool is installed."""
    commit(tool, tool_files(remote, installer="echo one\n"))
    with serving(tmp_path / "home") as node:
        node.install(tool)
        yield node.node


def test_nothing_changes_if_the_tool_has_not(installed: LocalNode, tool: Path) -> None:
    head = git("rev-parse", "HEAD", cwd=tool)

    found = describe_update(installed, "Probe")

    assert (found.old_commit, found.new_commit) == (head, head)
    assert (found.definition_diff, found.installer_diff, found.files) == ("", "", ())


def test_what_changes_is_shown_of_definition_installer_and_files(
    installed: LocalNode, tool: Path, remote: Path
) -> None:
    new = commit(tool, tool_files(remote, installer="echo two\n", more="License: MIT") | {"new.txt": "x"})

    found = describe_update(installed, "probe")

    assert found.new_commit == new
    assert "+License: MIT\n" in found.definition_diff
    assert found.installer_diff.splitlines() == [
        "--- a/install.sh",
        "+++ b/install.sh",
        "@@ -1 +1 @@",
        "-echo one",
        "+echo two",
    ]
    files = {file.path: (file.old_size, file.new_size, file.added_lines, file.removed_lines) for file in found.files}
    assert files["install.sh"] == (9, 9, 1, 1)
    assert files["new.txt"] == (None, 1, 1, 0)
    assert set(files) == {"install.sh", "mao.yaml", "new.txt"}
    assert (found.tree, found.text) == (git("rev-parse", "HEAD^{tree}", cwd=tool), "")


def test_any_commit_can_be_looked_at(installed: LocalNode, tool: Path, remote: Path) -> None:
    first = commit(tool, tool_files(remote, installer="echo two\n"))
    commit(tool, tool_files(remote, installer="echo three\n"))

    assert describe_update(installed, "probe", first).new_commit == first


def test_an_update_is_shown_though_the_remote_has_forgotten_what_is_installed(
    installed: LocalNode, tool: Path, remote: Path
) -> None:
    old = git("rev-parse", "HEAD", cwd=tool)
    git("checkout", "--quiet", "--orphan", "again", cwd=tool)
    new = commit(tool, tool_files(remote, installer="echo two\n"))
    git("branch", "--force", "main", "again", cwd=tool)
    git("checkout", "--quiet", "main", cwd=tool)
    git("branch", "--delete", "--force", "again", cwd=tool)
    git("reflog", "expire", "--expire=now", "--all", cwd=tool)
    git("gc", "--quiet", "--prune=now", cwd=tool)

    found = describe_update(installed, "probe")

    assert (found.old_commit, found.new_commit, [file.path for file in found.files]) == (old, new, ["install.sh"])


def test_an_update_is_shown_though_the_tool_has_broken_its_own_repository(installed: LocalNode, tool: Path) -> None:
    installation = installed.store.installation("probe")
    assert installation is not None
    assert installation.tree is not None
    (installed.workspace.tree("probe", installation.tree) / ".git" / "HEAD").unlink()

    assert describe_update(installed, "probe").new_commit == git("rev-parse", "HEAD", cwd=tool)


def test_a_tool_that_is_not_installed_has_no_update(installed: LocalNode) -> None:
    with pytest.raises(NotInstalled, match="did you mean 'probe'"):
        describe_update(installed, "prope")


def test_a_remote_that_is_gone_is_an_error_in_gits_own_words(installed: LocalNode, tool: Path) -> None:
    tool.rename(tool.with_name("moved"))

    with pytest.raises(RemoteRefused, match="does not appear to be a git repository"):
        describe_update(installed, "probe")
