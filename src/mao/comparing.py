"""What changes in the files of a tool from one commit to another: of each its modes, its sizes, its lines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mao.errors import MaoError, Stopping
from mao.reading import fetch_commit
from mao.values import Value, display, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mao.local_node import LocalNode
    from mao.reading import Pinned

_SHOWN_BYTES = 500_000
"""Of files, before and after, whose changes are shown as text."""
_SHOWN_FILES = 500
"""Files whose changes are shown as text: their paths stand on one command line."""
_NO_MODE = "000000"
_BOUNDED = ("--literal-pathspecs", "-c", "core.bigFileThreshold=1m")  # what is larger is not looked at line by line


class FileChange(Value):
    """A file of a tool that another commit changes; what is None is not there."""

    path: str
    old_mode: str | None
    """As git has it: `100644` is a file, `100755` a program, `120000` a symbolic link, `160000` a submodule."""
    new_mode: str | None
    old_size: int | None
    """In bytes."""
    new_size: int | None
    added_lines: int | None
    """None if it is no text, or too large to be looked at."""
    removed_lines: int | None


class Comparison(NamedTuple):
    """What changes between two commits."""

    tree: str
    """git's id of all files at the new commit."""
    files: tuple[FileChange, ...]
    text: str
    """The changes as a diff, of as many files as can be shown; empty if it was not asked for."""
    left_out: tuple[str, ...]
    """The files that are not in `text`, as they are too large or too many."""


class _Raw(NamedTuple):
    """What git says of a file that changes."""

    path: str
    old_mode: str
    new_mode: str
    old_id: str
    new_id: str


def compare(
    node: LocalNode, old: tuple[Sequence[str], Pinned] | None, new: tuple[str, Pinned], *, text: bool = False
) -> Comparison:
    """What changes in the files from one commit to another.

    Args:
        node: that looks.
        old: remotes, of which the first that has it is asked, and the commit; None to compare with nothing.
        new: remote and commit.
        text: whether to show the changes line by line, too.
    """
    with node.workspace.aside(new_id()) as repository:
        node.git.run("init", "--bare", "--quiet", "--template=", ".", cwd=repository)
        fetch_commit(node, repository, *new)
        if old:
            _fetch_any(node, repository, *old)
        asking = _Asking(node, repository, old[1].commit if old else "", new[1].commit)
        raw = asking.raw()
        lines, sizes = asking.lines(), asking.sizes(raw)
        files = tuple(_change(file, lines, sizes) for file in raw)
        shown = dict.fromkeys(_shown(files, raw) if text else ())
        left_out = tuple(display(file.path) for file in raw if text and file.path not in shown)
        return Comparison(asking.tree(), files, asking.text([*shown]), left_out)


def tree_of(node: LocalNode, url: str, pinned: Pinned) -> str:
    """The id that git gives to all files of a tool at a commit."""
    with node.workspace.aside(new_id()) as repository:
        node.git.run("init", "--bare", "--quiet", "--template=", ".", cwd=repository)
        fetch_commit(node, repository, url, pinned)
        return _Asking(node, repository, "", pinned.commit).tree()


def _fetch_any(node: LocalNode, repository: Path, urls: Sequence[str], pinned: Pinned) -> None:
    *rest, last = urls
    for url in rest:
        try:
            fetch_commit(node, repository, url, pinned)
        except Stopping:
            raise
        except MaoError:  # the next one may have it
            continue
        return
    fetch_commit(node, repository, last, pinned)


@dataclass(frozen=True, slots=True)
class _Asking:
    """What git says of two commits that are in a repository; of `old`, if it is empty, as of a commit without files."""

    node: LocalNode
    repository: Path
    old: str
    new: str

    def tree(self) -> str:
        return self._ask("rev-parse", "--verify", f"{self.new}^{{tree}}").decode().strip()

    def raw(self) -> list[_Raw]:
        words = iter(self._differ("--raw").split(b"\0"))
        return [_Raw(os.fsdecode(next(words)), *header[1:].decode().split()[:4]) for header in words if header]

    def lines(self) -> dict[str, tuple[str, str]]:
        """Of each file, how many lines are added and removed, or `-` for each."""
        told = (line.split(b"\t", 2) for line in self._differ("--numstat").split(b"\0") if line)
        return {os.fsdecode(path): (added.decode(), removed.decode()) for added, removed, path in told}

    def sizes(self, files: list[_Raw]) -> dict[str, int]:
        """Of what has an id and is a file here: of submodules there are none."""
        ids = "\n".join(sorted({oid for file in files for oid in (file.old_id, file.new_id) if oid.strip("0")}))
        told = self._ask("cat-file", "--batch-check=%(objectname) %(objectsize)", given=ids.encode()).decode()
        pairs = (line.split() for line in told.splitlines())
        return {oid: int(size) for oid, size in pairs if size.isdigit()}

    def text(self, paths: list[str]) -> str:
        shown = self._differ("--patch", only=paths) if paths else b""
        return shown.decode("utf-8", "backslashreplace")

    def _differ(self, form: str, only: Sequence[str] = ()) -> bytes:
        before = self.old or self._ask("mktree").decode().strip()
        options = ("diff-tree", "-r", "--no-renames", "--no-ext-diff", "--no-textconv", form)
        ended = () if form == "--patch" else ("-z",)
        return self._ask(*_BOUNDED, *options, *ended, before, self.new, "--", *only)

    def _ask(self, *args: str, given: bytes = b"") -> bytes:
        return self.node.git.run(*args, cwd=self.repository, given=given)


def _change(file: _Raw, lines: dict[str, tuple[str, str]], sizes: dict[str, int]) -> FileChange:
    added, removed = lines.get(file.path, ("-", "-"))
    return FileChange(
        path=display(file.path),
        old_mode=None if file.old_mode == _NO_MODE else file.old_mode,
        new_mode=None if file.new_mode == _NO_MODE else file.new_mode,
        old_size=sizes.get(file.old_id),
        new_size=sizes.get(file.new_id),
        added_lines=None if added == "-" else int(added),
        removed_lines=None if removed == "-" else int(removed),
    )


def _shown(files: Sequence[FileChange], raw: Sequence[_Raw]) -> list[str]:
    """The paths of as many files as may be shown as text."""
    paths: list[str] = []
    left = _SHOWN_BYTES
    for change, file in zip(files, raw, strict=True):
        size = (change.old_size or 0) + (change.new_size or 0) + len(file.path)
        if size <= left and len(paths) < _SHOWN_FILES:
            paths.append(file.path)
            left -= size
    return paths
