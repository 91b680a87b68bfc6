from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from mao.foreign_file import open_below, walk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a file, and with what a tool may put beside it."""
    (tmp_path / "secret").write_text("not for you")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("not for you")
    root = tmp_path / "data"
    (root / "a").mkdir(parents=True)
    (root / "a" / "b.csv").write_text("1,2")
    (root / "link").symlink_to("/etc/passwd")
    (root / "inside").symlink_to("a/b.csv")
    (root / "folder").symlink_to("../outside")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as at:
        at.bind(str(root / "socket"))
    return root


def test_a_file_is_opened(root: Path) -> None:
    with open_below(root, b"a/b.csv") as file:
        assert file.read() == b"1,2"


@pytest.mark.parametrize(
    "path",
    [
        *("link", "inside", "folder/secret", "pipe", "socket", "a", "nothing", "a/nothing", "../secret"),
        *("a/../../secret", "", "/etc/passwd", "a//b.csv", "./a/b.csv", "a/b.csv/", "a/b.csv\0", "a\0/b.csv"),
        "x" * 5000,
    ],
)
def test_nothing_else_is(root: Path, path: str) -> None:
    with pytest.raises(OSError, match=r"."):
        open_below(root, path.encode())


def test_a_directory_that_became_a_link_is_not_entered(root: Path) -> None:
    moved = root.with_name("moved")
    root.rename(moved)
    root.symlink_to(moved)

    with pytest.raises(OSError, match=r"."):
        open_below(root, b"a/b.csv")


def test_a_walk_finds_files_alone_and_follows_nothing(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("")
    (root / os.fsdecode(b"\xff\n.csv")).write_text("x")

    assert [file.path for file in walk(root, {b".git"}, 100)] == [b"\xff\n.csv", b"a/b.csv"]


def test_a_walk_ends_after_so_many_names(root: Path) -> None:
    for number in range(50):
        (root / "a" / f"{number}").touch()

    assert len(list(walk(root, set(), 20))) <= 20
