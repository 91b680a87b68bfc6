"""What a commit of somebody else would put on this disk, looked at before it does.

Objects are checked by git when they are fetched (`fetch.fsckObjects`): no tree that is here holds `.git` in any
spelling, `..`, or one name twice. A few objects can still stand for more files than any disk holds, so that all is
read in pieces, and reading ends at the first fault.
"""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mao.errors import DiskFull, RepositoryRefused, RepositoryTooLarge
from mao.git import failure, plain
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mao.git import Git

MOST_TOOL_FILES = 100_000
"""Files and folders that a tool may have: there are tools with some thousand."""
MOST_CLONED_FILES = 10_000_000
"""Files that a clone of a dataset may have: git holds the list of them in memory."""

_LONGEST_NAME = 255  # bytes, on every usual file system
_LONGEST_PATH = 4095  # bytes (path_resolution(7): PATH_MAX)
_SUBMODULE = "160000"
_WITHOUT_SUBMODULES = "a submodule, and submodules are not brought: put its files into the repository itself"
_HERE = ("--git-dir=.git", "--work-tree=.")


class _ToolTree:
    """Takes the entries of a tool's tree, and keeps them."""

    def __init__(self, most_bytes: int) -> None:
        self.entries: dict[str, str] = {}
        self._most_bytes = most_bytes
        self._bytes = 0
        self._folded: dict[str, str] = {}

    def take(self, record: bytes) -> None:
        told, _, name = record.partition(b"\t")
        mode, kind, oid, *size = told.decode().split()
        path = display(name)
        if fault := _fault(name) or (_WITHOUT_SUBMODULES if mode == _SUBMODULE else None):
            raise RepositoryRefused(f"The tool's repository holds '{_shown(path)}', {fault}.")
        if (other := self._folded.setdefault(_folded(path), path)) != path:
            raise RepositoryRefused(
                f"The tool's repository holds '{_shown(path)}' and '{_shown(other)}', which are one file on systems"
                " that do not tell them apart. Rename one of them."
            )
        self.entries[path] = f"{mode} {kind} {oid}"
        if len(self.entries) > MOST_TOOL_FILES:
            raise RepositoryTooLarge(f"The tool's repository holds more than {MOST_TOOL_FILES:,} files and folders.")
        self._bytes += int(size[0]) if size and size[0].isdigit() else 0
        if self._bytes > self._most_bytes:
            raise RepositoryTooLarge(
                f"The files of the tool's repository have more than {self._most_bytes:,} bytes (install.size_limit),"
                f" counted up to '{_shown(path)}'."
            )


def tool_entries(git: Git, repository: Path, commit: str, most_bytes: int, *, sizes: bool) -> dict[str, str]:
    """All that a tool's commit holds: git's mode, kind and id of each file and folder, by its path.

    Args:
        git: as the node calls it.
        repository: that holds the commit.
        commit: its id.
        most_bytes: that the files may have.
        sizes: whether the files are here, too, and their sizes can be told.

    Raises:
        RepositoryRefused: the tree holds what some system could not, or would take for something else.
        RepositoryTooLarge
    """
    tree = _ToolTree(most_bytes)
    options = ("-r", "-t", "-z", "--full-tree", *(["-l"] if sizes else []))
    _read(git, repository, tree.take, "ls-tree", *options, "--end-of-options", commit)
    return tree.entries


class _Room:
    """Takes the files that a clone is to hold, and counts them."""

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0

    def take(self, record: bytes) -> None:
        told, _, path = record.partition(b"\t")
        *_, size = told.split()
        if not size.isdigit():  # a folder, or a commit of another repository
            return
        if fault := _fault(path):
            raise RepositoryRefused(f"The dataset holds '{_shown(display(path))}', {fault}. Nothing was changed here.")
        self.files += 1
        self.bytes += int(size)
        if self.files > MOST_CLONED_FILES:
            raise RepositoryTooLarge(
                f"The dataset has more than {MOST_CLONED_FILES:,} files. Nothing was changed: clone some folders."
            )


def check_clone(git: Git, clone: Path, head: str, before: str | None, folders: Sequence[str]) -> None:
    """Raise if what `head` holds cannot be brought to the disk where `clone` has what `before` holds.

    Args:
        git: as the node calls it.
        clone: the work tree.
        head: a commit, which is here with its files, as far as they are wanted.
        before: the one that is checked out; None if nothing is.
        folders: those that are wanted; none: all.

    Raises:
        RepositoryRefused: for a path that the disk cannot hold.
        RepositoryTooLarge: there are too many files.
        DiskFull: there is no room for them.
    """
    room, free = _room(git, clone, head, folders), shutil.disk_usage(clone).free
    if room.bytes <= free:
        return
    more = room.bytes - (_room(git, clone, before, folders).bytes if before else 0)
    if more > free:
        raise DiskFull(
            f"What is to be brought to {clone} has {more:,} bytes more than is there, and {free:,} are free. Nothing"
            " was changed: make room, or clone some folders."
        )


def _room(git: Git, clone: Path, commit: str, folders: Sequence[str]) -> _Room:
    room = _Room()
    listing = (*_HERE, "--literal-pathspecs", "ls-tree", "-z", "-l", "--full-tree")
    wanted = [f"{folder}/" for folder in folders]
    _read(git, clone, room.take, *listing, "-r", "--end-of-options", commit, *wanted)
    for parent in {parent for folder in folders for parent in PurePosixPath(folder).parents}:
        # What lies directly in the folders above comes along.
        below = [] if parent == PurePosixPath() else [f"{parent}/"]
        _read(git, clone, room.take, *listing, "--end-of-options", commit, *below)
    return room


def _read(git: Git, cwd: Path, take: Callable[[bytes], None], *args: str) -> None:
    """Give each record that git prints to `take`, as it comes."""
    rest = bytearray()

    def split(piece: bytes) -> None:
        *records, last = (rest + piece).split(b"\0")
        rest[:] = last
        for record in records:
            take(bytes(record))

    output = git.finish(git.start(*args, cwd=cwd), take=split)
    if output.status != 0:
        raise failure(output, args)


def _fault(path: bytes) -> str | None:
    """Why there cannot be a file at `path`, as the end of a sentence."""
    if len(path) <= _LONGEST_NAME:
        return None
    if len(path) > _LONGEST_PATH:
        return f"a path of more than {_LONGEST_PATH:,} bytes"
    too_long = any(len(part) > _LONGEST_NAME for part in path.split(b"/"))
    return f"a name of more than {_LONGEST_NAME} bytes" if too_long else None


def _folded(path: str) -> str:
    """The same for all paths that some system does not tell apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _shown(path: str) -> str:
    return plain(path) if len(path) <= _LONGEST_NAME else f"{plain(path[:_LONGEST_NAME])}..."
