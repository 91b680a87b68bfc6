"""Bring the trees and files of some folders into a repository that lacks them.

The trees are walked level by level, and only what the folders need is fetched: a folder of which nothing is here comes
in one piece, of one that has changed only what is new. Of the folders beside them only the list of what is directly in
each is brought: git reads it, for an index that does not hold what is below (git 2.39: `git status`).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mao.errors import FolderNotFound, GitFailed, RepositoryTooLarge
from mao.names import nearest
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mao.git import Git

    Fetch = Callable[[str, list[str]], None]
    """Brings objects: an option that says what of those below them is left out, and their ids."""

Scope: TypeAlias = "dict[bytes, Scope] | None"
"""Which folders are meant: by their names what is meant below each; None for everything, none for nothing."""

_TREE = b"40000"
_LINK = b"160000"  # to a commit of another repository
_MOST_FOLDERS = 1_000_000  # a few trees can stand for more than any memory holds
ALONE = "--filter=tree:0"
"""Only the objects that are named."""
WHOLE = "--no-filter"
"""With everything below them."""


class Entry(NamedTuple):
    """What a tree has at a name."""

    mode: bytes
    id: str


Tree: TypeAlias = dict[bytes, Entry]


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    tree: str
    before: str | None
    """The tree that is here already for this path."""
    scope: Scope


@dataclass(frozen=True, slots=True)
class FolderTrees:
    """The trees of a repository that is not configured as a promisor: what is missing is missing.

    Args:
        git: as the node calls it.
        path: of the repository (`.git`).
        fetch: brings objects from its remote.
    """

    git: Git
    path: Path
    fetch: Fetch

    def supply(self, commit: str, folders: Iterable[str], before: str | None = None, *, strict: bool = False) -> None:
        """Bring all that `folders` hold in `commit`.

        Args:
            commit: that is here, maybe without its trees.
            folders: paths from the root (with them comes what lies beside the folders on the way); none: everything.
            before: a commit of which the folders are here whole.
            strict: whether they must all be there.

        Raises:
            FolderNotFound: `strict`, and one is not in the commit.
            OutsideFailed: the remote did not bring them.
        """
        root, known = self._root(commit), self._root(before) if before else None
        places, files = [_Place("", root, known, scope_of(folders))], set[str]()
        while places:
            trees = self._trees(places)
            below: list[_Place] = []
            for place in places:
                if place.tree in trees:
                    if strict and place.scope:
                        _check(place, trees[place.tree])
                    self._descend(place, trees, below, files)
                if len(below) > _MOST_FOLDERS:
                    raise RepositoryTooLarge(f"The dataset has more than {_MOST_FOLDERS:,} folders beside each other.")
            places = below
        if absent := self._absent(files):
            self.fetch(ALONE, absent)

    def _trees(self, places: list[_Place]) -> dict[str, Tree]:
        """The trees of `places`, old and new; without those that were brought whole now."""
        trees = self._read({tree for place in places for tree in (place.tree, place.before) if tree})
        missing = [place for place in places if place.tree not in trees]
        whole = {place.tree for place in missing if place.scope is None and place.before not in trees}
        alone = {place.tree for place in missing} - whole
        for option, wanted in ((WHOLE, whole), (ALONE, alone)):
            if wanted:
                self.fetch(option, sorted(wanted))
        brought = self._read(alone)
        if lacking := alone - brought.keys():
            raise GitFailed(f"The remote did not bring the tree {min(lacking)}.")
        return trees | brought

    @staticmethod
    def _descend(place: _Place, trees: dict[str, Tree], below: list[_Place], files: set[str]) -> None:
        if place.scope == {}:
            return
        old = trees.get(place.before or "", {})
        for name, entry in trees[place.tree].items():
            known = old.get(name)
            if known == entry or entry.mode == _LINK:
                continue
            if entry.mode != _TREE:
                files.add(entry.id)
                continue
            before = known.id if known and known.mode == _TREE else None
            scope = None if place.scope is None else place.scope.get(name, {})
            below.append(_Place(posixpath.join(place.path, display(name)), entry.id, before, scope))

    def _root(self, commit: str) -> str:
        return (
            self.git.run("log", "-1", "--format=%T", "--end-of-options", commit, "--", cwd=self.path).decode().strip()
        )

    def _read(self, ids: set[str]) -> dict[str, Tree]:
        """Those of the trees that are here."""
        given = "".join(f"{tree}\n" for tree in sorted(ids)).encode()
        out = self.git.run("cat-file", "--batch", cwd=self.path, given=given) if ids else b""
        found, at = {}, 0
        while at < len(out):
            end = out.index(b"\n", at)
            name, _, size = out[at:end].partition(b" ")
            at = end + 1
            if size != b"missing":
                length = int(size.rpartition(b" ")[2])
                found[name.decode()] = entries(out[at : at + length], len(name) // 2)
                at += length + 1
        return found

    def _absent(self, files: set[str]) -> list[str]:
        """Those of the files that are not here."""
        given = "".join(f"{file}\n" for file in sorted(files)).encode()
        out = self.git.run("cat-file", "--batch-check", cwd=self.path, given=given) if files else b""
        return [line.split()[0].decode() for line in out.splitlines() if line.endswith(b" missing")]


def scope_of(folders: Iterable[str]) -> Scope:
    """The folders as a tree of names, without those that lie in another; everything, if there are none."""
    scope: dict[bytes, Scope] = {}
    for folder in sorted(folders, key=len):
        *parents, last = folder.encode().split(b"/")
        inner: Scope = scope
        for parent in parents:
            if inner is None:
                break
            inner = inner.setdefault(parent, {})
        if inner is not None:
            inner.setdefault(last, None)
    return scope or None


def entries(tree: bytes, length: int) -> Tree:
    """What a tree holds, from git's own form of it; `length` is that of an object's id in bytes."""
    found, at = {}, 0
    while at < len(tree):
        space, end = tree.index(b" ", at), tree.index(b"\0", at)
        found[tree[space + 1 : end]] = Entry(tree[at:space], tree[end + 1 : end + 1 + length].hex())
        at = end + 1 + length
    return found


def _check(place: _Place, tree: Tree) -> None:
    for name in place.scope or {}:
        entry = tree.get(name)
        if entry and entry.mode == _TREE:
            continue
        folder = posixpath.join(place.path, display(name))
        if entry:
            raise FolderNotFound(f"'{folder}' is no folder but a file of the dataset. Name the folder that it is in.")
        near = nearest(display(name), [display(key) for key, value in tree.items() if value.mode == _TREE])
        hint = f"; did you mean '{posixpath.join(place.path, near)}'?" if near else "."
        raise FolderNotFound(f"The dataset has no folder '{folder}'{hint}")
