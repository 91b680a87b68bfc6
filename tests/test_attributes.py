from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao import attributes
from support import bare

if TYPE_CHECKING:
    from pathlib import Path

ODD = [b"plain.bin", b"with space", b" ", b"new\nline", b"tab\t", b"quote\"'\\", b"\xff\xfe", "gr\u00fcn".encode()]
ODD += [b"-n", b"*", b"a?b", b"[x]*", b"\r", b"\x01", b"\\n", b"\\", b'"', b"!no", b"#no", b"trail ", b"[attr]x"]
NAMES = st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name)


def in_lfs(repository: Path, text: bytes, names: list[bytes]) -> list[bytes]:
    """Those of `names` in a folder of which git takes the contents for those of git-lfs."""
    (repository / "info").mkdir(exist_ok=True)
    folder = repository / "folder"
    folder.mkdir(exist_ok=True)
    (folder / ".gitattributes").write_bytes(text)
    command = ["git", "--work-tree=.", "--git-dir=.", "check-attr", "-z", "--stdin", "filter"]
    asked = b"".join(b"folder/%s\0" % name for name in names)
    told = subprocess.run(command, cwd=repository, input=asked, capture_output=True, check=True).stdout.split(b"\0")
    return [told[at].removeprefix(b"folder/") for at in range(0, len(told) - 1, 3) if told[at + 2] == b"lfs"]


@pytest.mark.parametrize("name", ODD, ids=repr)
def test_a_line_is_for_the_file_of_that_name_and_for_no_other(tmp_path: Path, name: bytes) -> None:
    others = [*ODD, b"axb", b"plainxbin", b"x" + name, name + b"x", b"sub/" + name]
    assert in_lfs(bare(tmp_path / "r"), attributes.line(name) + b"\n", [name, *others]).count(name) == 2
    assert set(in_lfs(tmp_path / "r", attributes.line(name) + b"\n", others)) == {name}


@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_lines_are_lines(names: list[bytes]) -> None:
    text = attributes.joined(b"", b"\n".join(map(attributes.line, names)), {})
    assert text.count(b"\n") == len(names)
    assert text.isascii()


def test_it_stands_in_the_folder_of_the_file() -> None:
    assert attributes.path_for(b"a/b/c.bin") == b"a/b/.gitattributes"
    assert attributes.path_for(b"c.bin") == b".gitattributes"


BIG, NEW = attributes.line(b"big"), attributes.line(b"new")


@pytest.mark.parametrize(
    ("there", "joined"),
    [
        (b"", BIG + b"\n"),
        (b"*.csv text\n", b"*.csv text\n" + BIG + b"\n"),
        (b"*.csv text", b"*.csv text\n" + BIG + b"\n"),
        (b"# mine\r\n\r\n*.csv text\r\n", b"# mine\r\n\r\n*.csv text\r\n" + BIG + b"\n"),
        (NEW + b"\n", NEW + b"\n" + BIG + b"\n"),
        (BIG + b"\r\n# mine", BIG + b"\r\n# mine"),
    ],
)
def test_nothing_that_is_there_is_changed_and_nothing_is_there_twice(there: bytes, joined: bytes) -> None:
    once = attributes.joined(there, BIG + b"\n", {b"big": b"big"})
    assert once == joined
    assert attributes.joined(once, BIG + b"\n", {b"big": b"big"}) == once


def test_a_file_that_is_no_longer_a_pointer_loses_its_line_and_no_other_does() -> None:
    there = b"*.csv text\n" + BIG + b"\n" + NEW + b"\n"
    assert attributes.joined(there, b"", {b"big": b"big"}) == b"*.csv text\n" + NEW + b"\n"


def test_a_pointer_that_is_put_beside_has_its_line_there() -> None:
    beside = attributes.line(b"big.conflict-alpha-1")
    assert attributes.joined(b"", BIG, {b"big": b"big.conflict-alpha-1"}) == beside + b"\n"
    both = attributes.joined(BIG + b"\n", BIG, {b"big": b"big.conflict-alpha-1"})
    assert both == BIG + b"\n" + beside + b"\n"


def test_the_longest_name_fits_into_a_line_that_git_reads(tmp_path: Path) -> None:
    longest = os.fsencode("\u00fc") * 127
    assert in_lfs(bare(tmp_path / "r"), attributes.line(longest), [longest]) == [longest]
