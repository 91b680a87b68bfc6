"""Repositories that no honest git makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from support import bare, git

if TYPE_CHECKING:
    from pathlib import Path

FILE, LINK, FOLDER, SUBMODULE = "100644", "120000", "40000", "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tree has under a name."""

    name: bytes
    oid: str
    mode: str = FILE


@dataclass(frozen=True, slots=True)
class Hostile:
    """A bare repository whose objects are written as they are told."""

    path: Path

    @staticmethod
    def at(path: Path) -> Hostile:
        return Hostile(bare(path))

    def blob(self, content: bytes) -> str:
        return git("hash-object", "-w", "--stdin", cwd=self.path, given=content)

    def tree(self, *entries: Entry) -> str:
        """A tree with these entries, in the order in which git has them unless they are told twice."""
        placed = sorted(entries, key=lambda entry: entry.name + b"/" * (entry.mode == FOLDER))
        raw = b"".join(b"%s %s\0%s" % (one.mode.encode(), one.name, bytes.fromhex(one.oid)) for one in placed)
        return git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", cwd=self.path, given=raw)

    def commit(self, tree: str, message: bytes = b"hostile") -> str:
        """A commit of the tree, which the branch names then."""
        commit = git("commit-tree", tree, cwd=self.path, given=message)
        git("update-ref", "refs/heads/main", commit, cwd=self.path)
        return commit

    def bomb(self, content: bytes, *, wide: int, deep: int) -> str:
        """A commit of a few objects that stand for wide ** deep files."""
        oid, mode = self.blob(content), FILE
        for _ in range(deep):
            oid, mode = self.tree(*(Entry(b"%03d" % i, oid, mode) for i in range(wide))), FOLDER
        return self.commit(oid)

    def tool(self, files: dict[str, str], *more: Entry) -> str:
        """A commit of a tool with these files, and with what else its root is to hold."""
        own = [Entry(name.encode(), self.blob(content.encode())) for name, content in files.items()]
        return self.commit(self.tree(*own, *more))
