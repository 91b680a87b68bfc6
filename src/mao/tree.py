"""What a commit in a cache holds: the lists of its folders are fetched as they are looked into, and no file is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.names import nearest
from mao.values import display

if TYPE_CHECKING:
    from mao.dataset_cache import DatasetCache

_FOLDER = "040000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder: git's mode of it, and its id."""

    mode: str
    oid: str

    @property
    def is_folder(self) -> bool:
        return self.mode == _FOLDER


class Tree:
    """The files and folders of a commit. One thread uses it, as it does the cache.

    Args:
        cache: that holds the commit.
        commit: its id; None for nothing at all.
    """

    def __init__(self, cache: DatasetCache, commit: str | None) -> None:
        self._cache = cache
        self._folders: dict[str, dict[bytes, Entry]] = {}
        self._root: Entry | None = None
        if commit is not None:
            with cache.mended():
                tree = (
                    cache.git.run("log", "-1", "--format=%T", "--end-of-options", commit, "--", cwd=cache.path)
                    .decode()
                    .strip()
                )
            self._root = Entry(_FOLDER, tree)

    def at(self, path: bytes) -> Entry | None:
        """What is at `path`; None if nothing is."""
        entry = self._root
        for part in path.split(b"/"):
            entry = self._inside(entry).get(part)
        return entry

    def near(self, path: bytes) -> bytes | None:
        """The path that was most likely meant by one at which nothing is, if any is near."""
        entry, found = self._root, b""
        for part in path.split(b"/"):
            inside = self._inside(entry)
            if part not in inside:
                names = {display(name): name for name in inside}
                near = nearest(display(part), names)
                return found + names[near] if near else None
            entry, found = inside[part], found + part + b"/"
        return None

    def _inside(self, entry: Entry | None) -> dict[bytes, Entry]:
        if entry is None or not entry.is_folder:
            return {}
        if entry.oid not in self._folders:
            self._folders[entry.oid] = self._read(entry.oid)
        return self._folders[entry.oid]

    def _read(self, oid: str) -> dict[bytes, Entry]:
        with self._cache.mended():
            if self._cache.types([oid])[oid] == "missing":
                self._cache.fetch(oid, settings=("fetch.negotiationAlgorithm=noop",))
            listed = self._cache.git.run("ls-tree", "-z", "--full-tree", "--end-of-options", oid, cwd=self._cache.path)
        lines = (line.partition(b"\t") for line in listed.split(b"\0") if line)
        words = ((name, told.decode().split()) for told, _, name in lines)
        return {name: Entry(mode, found) for name, (mode, _, found) in words}
