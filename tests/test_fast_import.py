from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mao.data_directory import DataFile, publishable
from mao.errors import PathClash
from mao.fast_import import Addition, Author, Deleted, Existing, Moved, Placement, dialogue
from mao.git import Git
from support import bare, git

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = Author("alpha", "mao@alpha", datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC))
ODD = [b"plain", b"with space", b"new\nline", b"tab\t", b"quote\"'\\", b"\xff\xfe", "gr\u00fcn".encode()]
ODD += [b"-n", b" ", b"*", b"\r", b"\x01", b"\\n", b"\\", b'"', b"\\101", b":1", b"M 100644"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "repository")


def data(root: Path, contents: dict[bytes, bytes]) -> list[DataFile]:
    for path, content in contents.items():
        file = root / os.fsdecode(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return publishable(root)[0]


def write(repository: Path, base: str | None, files: list[DataFile], message: str = "m") -> tuple[str | None, Existing]:
    """The commit that was made, and what its base had."""
    found: Existing = {}

    def place(existing: Existing) -> Placement:
        found.update(existing)
        return Placement(message, [(file.path, file) for file in files])

    return make(repository, base, Addition(AUTHOR, AUTHOR, [file.path for file in files], place)), found


def make(repository: Path, base: str | None, addition: Addition) -> str | None:
    """The commit of an addition."""
    caller = Git(repository, 60)
    process = caller.start("fast-import", "--quiet", "--force", "--done", cwd=repository)
    try:
        (made,) = dialogue(process, base, [addition])
    finally:
        output = caller.finish(process)
    if made.clash is not None:
        raise made.clash
    assert output.status == 0, output.err
    return made.commit


def paths(repository: Path, commit: str | None) -> set[bytes]:
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "--name-only", str(commit)], cwd=repository, capture_output=True, check=True
    )
    return set(listed.stdout.split(b"\0")[:-1])


def content(repository: Path, commit: str, path: bytes) -> bytes:
    return subprocess.run(
        ["git", "cat-file", "blob", commit.encode() + b":" + path], cwd=repository, capture_output=True, check=True
    ).stdout


def test_files_of_any_name_are_written_and_found_again(repository: Path, tmp_path: Path) -> None:
    wanted = {name: b"content of " + name for name in ODD} | {b"folder/" + name: name for name in ODD}
    files = data(tmp_path / "data", wanted)
    made, existing = write(repository, None, files)
    assert made
    assert existing == {}
    assert paths(repository, made) == set(wanted)
    assert {path: content(repository, made, path) for path in wanted if not path.startswith(b":")} == {
        path: text for path, text in wanted.items() if not path.startswith(b":")
    }
    _, existing = write(repository, made, files)
    assert existing == {file.path: file.blob() for file in files}


NAMES = st.binary(min_size=1, max_size=20).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))


@settings(max_examples=25, deadline=None)
@given(names=st.sets(NAMES.filter(lambda name: name not in {b".", b".."} and b".git" not in name.lower()), min_size=1))
def test_no_name_breaks_out_of_its_quotes(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]) -> None:
    directory = tmp_path_factory.mktemp("names")
    repository = bare(directory / "repository")
    files = data(directory / "data", dict.fromkeys(names, b"x"))
    made, _ = write(repository, None, files)
    assert paths(repository, made) == {file.path for file in files}
    assert git("for-each-ref", "--format=%(refname)", cwd=repository) == "refs/mao/publication"


def test_modes_and_links_are_kept(repository: Path, tmp_path: Path) -> None:
    files = data(tmp_path / "data", {b"plain": b"1", b"program": b"2"})
    (tmp_path / "data" / "program").chmod(stat.S_IRWXU)
    (tmp_path / "data" / "link").symlink_to("pro\ngram")
    files = data(tmp_path / "data", {})
    made, _ = write(repository, None, files)
    listed = git("ls-tree", str(made), cwd=repository).splitlines()
    assert [(line.split()[0], line.split("\t")[1]) for line in listed] == [
        ("120000", "link"),
        ("100644", "plain"),
        ("100755", "program"),
    ]
    assert content(repository, str(made), b"link") == b"pro\ngram"


def test_a_commit_says_who_and_when_and_what(repository: Path, tmp_path: Path) -> None:
    message = 'Gr\u00fcn\n\nfrom nowhere\ndata 3\n"x"\nMAO-Run: 1\n'
    made, _ = write(repository, None, data(tmp_path / "data", {b"a": b"1"}), message)
    seen = git("log", "-1", "--format=%an <%ae> %at %cn <%ce> %ct%n%B", str(made), cwd=repository)
    assert seen == f"alpha <mao@alpha> 1767268800 alpha <mao@alpha> 1767268800\n{message}".rstrip()


def test_an_author_cannot_break_the_line() -> None:
    odd = Author("a\n<b>", "x y>\n<z", AUTHOR.moment)
    assert str(odd) == "ab <xyz> 1767268800 +0000"


def test_what_was_there_stays(repository: Path, tmp_path: Path) -> None:
    first, _ = write(repository, None, data(tmp_path / "one", {b"a/x": b"1", b"b": b"2"}))
    second, existing = write(repository, first, data(tmp_path / "two", {b"a/y": b"3", b"b": b"4", b"c/d/e": b"5"}))
    assert paths(repository, second) == {b"a/x", b"a/y", b"b", b"c/d/e"}
    assert set(existing) == {b"b"}
    assert content(repository, str(second), b"b") == b"4"
    assert git("rev-parse", f"{second}^", cwd=repository) == first


def test_if_nothing_is_placed_no_commit_is_made(repository: Path) -> None:
    made, _ = write(repository, None, [])
    assert made is None
    assert git("for-each-ref", cwd=repository) == ""


@pytest.mark.parametrize(
    ("there", "here", "sentence"),
    [
        (b"a", b"a/b", "'a' is a folder in the data of the run and a file in the dataset"),
        (b"a/b", b"a", "'a' is a file in the data of the run and a folder in the dataset"),
        (b"a/b", b"a/b/c/d", "'a/b' is a folder in the data of the run and a file in the dataset"),
        (b"a/b/c", b"a/b", "'a/b' is a file in the data of the run and a folder in the dataset"),
        (b"\xff\n", b"\xff\n/x", r"'\\xff\n' is a folder"),
    ],
)
def test_a_file_never_takes_the_place_of_a_folder_nor_the_reverse(
    repository: Path, tmp_path: Path, there: bytes, here: bytes, sentence: str
) -> None:
    first, _ = write(repository, None, data(tmp_path / "one", {there: b"1", b"other/" + here: b"1"}))
    with pytest.raises(PathClash, match=sentence):
        write(repository, first, data(tmp_path / "two", {b"0": b"0", here: b"2"}))
    assert git("rev-parse", "refs/mao/publication", cwd=repository) == first


def test_large_files_pass_whole(repository: Path, tmp_path: Path) -> None:
    large = os.urandom(5_000_000)
    made, _ = write(repository, None, data(tmp_path / "data", {b"large": large, b"more": b"done\n" * 1000}))
    assert content(repository, str(made), b"large") == large


def test_files_of_any_name_are_moved_and_deleted(repository: Path, tmp_path: Path) -> None:
    first, _ = write(repository, None, data(tmp_path / "data", {b"old/" + name: name for name in ODD}))
    moves = [(b"new/" + name, Moved(b"old/" + name)) for name in ODD[2:]]
    deletions = [(b"old/" + name, Deleted()) for name in ODD[:1]]

    made = make(repository, first, Addition(AUTHOR, AUTHOR, (), lambda _: Placement("m", [*moves, *deletions])))

    assert paths(repository, made) == {b"old/" + ODD[1], *(path for path, _ in moves)}
    assert {content(repository, str(made), b"new/" + name) for name in ODD[2:]} == set(ODD[2:])
    whole = make(repository, made, Addition(AUTHOR, AUTHOR, (), lambda _: Placement("m", [(b"x/y", Moved(b"new"))])))
    assert paths(repository, whole) == {b"old/" + ODD[1], *(b"x/y/" + name for name in ODD[2:])}
