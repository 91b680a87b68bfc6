from __future__ import annotations

from typing import TYPE_CHECKING

from mao.comparing import compare
from mao.reading import Pinned
from support import commit, git

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode


def test_of_each_file_are_told_modes_sizes_and_lines_and_the_text_as_far_as_it_can_be_shown(
    node: LocalNode, tmp_path: Path
) -> None:
    repository = tmp_path / "probe"
    files: dict[str, str | bytes] = {"kept": "x\n", "gone": "x\n", "grown": "one\n", "run.sh": "true\n"}
    old = commit(repository, files)
    (repository / "gone").unlink()
    (repository / "run.sh").chmod(0o755)
    (repository / "link").symlink_to("../../etc")
    more: dict[str, str | bytes] = {
        "grown": "one\ntwo\n",
        "binary": b"\0\1",
        "huge": "line\n" * 300_000,
        ":(top)odd\nname": "x\n",
        ".gitattributes": "grown -diff\nkept diff=evil\n",  # what a repository says of itself hides nothing
    }
    git("update-index", "--add", "--cacheinfo", f"160000,{old},module", cwd=repository)
    new = commit(repository, more)
    remote = str(repository)

    before = (["/nowhere", remote], Pinned("main", old))
    found = compare(node, before, (remote, Pinned("main", new)), text=True)

    told = {
        file.path: (file.old_mode, file.new_mode, file.old_size, file.new_size, file.added_lines, file.removed_lines)
        for file in found.files
    }
    assert told == {
        ".gitattributes": (None, "100644", None, 27, 2, 0),
        ":(top)odd\nname": (None, "100644", None, 2, 1, 0),
        "binary": (None, "100644", None, 2, None, None),
        "gone": ("100644", None, 2, None, 0, 1),
        "grown": ("100644", "100644", 4, 8, 1, 0),
        "huge": (None, "100644", None, 1_500_000, None, None),
        "link": (None, "120000", None, 9, 1, 0),
        "run.sh": ("100644", "100755", 5, 5, 0, 0),
    }
    assert found.tree == git("rev-parse", f"{new}^{{tree}}", cwd=repository)
    assert "+two\n" in found.text
    assert "new mode 100755\n" in found.text
    assert "huge" not in found.text
    assert found.left_out == ("huge",)

    first = compare(node, None, (remote, Pinned("main", old)))
    assert [(file.path, file.old_mode, file.added_lines) for file in first.files] == [
        ("gone", None, 1),
        ("grown", None, 1),
        ("kept", None, 1),
        ("run.sh", None, 1),
    ]
    assert first.text == ""
