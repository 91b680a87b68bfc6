"""What outlives this process of the mirror: a copy of the registry, and the heads to announce."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import apsw

from mao.registry import Change, Entry
from mao.sqlite import SqliteFile
from mao.values import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger("mao.kept_mirror")

_MIGRATIONS = (
    """
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL);
    -- One row at most: of which registry the entries are, and when they were what it held.
    CREATE TABLE copies (
        registry TEXT NOT NULL, revision INTEGER NOT NULL, base INTEGER NOT NULL, moment REAL NOT NULL
    );
    CREATE TABLE heads (
        dataset TEXT PRIMARY KEY,
        head TEXT NOT NULL,
        before TEXT,
        moment TEXT NOT NULL,
        told INTEGER NOT NULL DEFAULT 0   -- whether the cluster knows of it
    );
    """,
)


class Copy(NamedTuple):
    """What a registry held at a revision."""

    entries: dict[str, Entry]
    revision: int
    base: int
    """By how much positions are larger than revisions (see `mao.mirror`)."""
    moment: float
    """When it was what the registry held: seconds since 1970, by this node's clock."""


class Head(NamedTuple):
    """The newest commit of a dataset, of which the cluster is to be told."""

    commit: str
    before: str | None
    """The head that the dataset had in the registry, as far as was known here."""
    moment: datetime
    """When it was published, or seen."""


class KeptMirror:
    """A file of the workspace. What is stored survives a kill; after a loss of power the registry tells it again.

    Args:
        path: of the file.
        registry: the setting `registry.url`; a copy of a registry that has no member in common is forgotten.
    """

    def __init__(self, path: Path, registry: str) -> None:
        self._file = _sound(path) or SqliteFile(path, _MIGRATIONS)
        self._registry = registry
        with self._file.transaction(flush=False):
            copied = self._file.rows("SELECT registry FROM copies")
            if any(_members(registry).isdisjoint(_members(str(other))) for (other,) in copied):
                self._file.rows("DELETE FROM entries")
                self._file.rows("DELETE FROM copies")
                self._file.rows("DELETE FROM heads WHERE told")

    def copy(self) -> Copy | None:
        """What was stored last; None if that registry has never been listed."""
        rows = self._file.rows("SELECT revision, base, moment FROM copies")
        if not rows:
            return None
        entries = (Entry(*row) for row in self._file.rows("SELECT key, value, revision FROM entries ORDER BY key"))  # type: ignore[arg-type]  # the schema says what the columns hold
        return Copy({entry.key: entry for entry in entries}, *rows[0])  # type: ignore[arg-type]  # as above

    def store(self, changes: Iterable[Change], revision: int, base: int, moment: float) -> None:
        """Bring the copy to `revision`, all of it or nothing.

        A registry that was set back, or is another one, may not know the heads that were told: they are forgotten.

        Raises:
            DiskFull: nothing was stored.
        """
        with self._file.transaction(flush=False):
            if self.base() != base:
                self._file.rows("DELETE FROM heads WHERE told")
            for change in changes:
                if change.value is None:
                    self._file.rows("DELETE FROM entries WHERE key = ?", change.key)
                else:
                    self._file.rows(
                        "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", change.key, change.value, change.revision
                    )
            self._file.rows("DELETE FROM copies")
            self._file.rows("INSERT INTO copies VALUES (?, ?, ?, ?)", self._registry, revision, base, moment)

    def base(self) -> int | None:
        """That of the copy; None if there is none."""
        rows = self._file.rows("SELECT base FROM copies")
        return int(str(rows[0][0])) if rows else None

    def remember(self, dataset: str, head: Head) -> None:
        """Keep what the cluster is to be told of a dataset, in place of what it was to be told before."""
        with self._file.transaction(flush=False):
            self._file.rows(
                "INSERT OR REPLACE INTO heads (dataset, head, before, moment) VALUES (?, ?, ?, ?)",
                dataset.lower(),
                head.commit,
                head.before,
                rfc3339(head.moment),
            )

    def told(self, dataset: str, head: Head) -> None:
        """The cluster knows of `head`, or of a newer one; what has been remembered since is still to be told."""
        with self._file.transaction(flush=False):
            self._file.rows("UPDATE heads SET told = 1 WHERE dataset = ? AND head = ?", dataset.lower(), head.commit)

    def head(self, dataset: str) -> Head | None:
        """What was remembered last of a dataset, whether the cluster knows of it by now or not."""
        rows = self._file.rows("SELECT head, before, moment FROM heads WHERE dataset = ?", dataset.lower())
        if not rows:
            return None
        commit, before, moment = rows[0]
        return Head(str(commit), None if before is None else str(before), datetime.fromisoformat(str(moment)))

    def untold(self) -> list[str]:
        """The datasets of whose heads the cluster is still to be told."""
        return [str(dataset) for (dataset,) in self._file.rows("SELECT dataset FROM heads WHERE NOT told")]

    def close(self) -> None:
        self._file.close()


def _members(registry: str) -> set[str]:
    """Of the registry: a cluster gets and loses some, and stays the same one."""
    return set(registry.rpartition("://")[2].split(","))


def _sound(path: Path) -> SqliteFile | None:
    """The file; None if it was damaged and is gone: the registry tells all again, and caches of datasets the heads."""
    try:
        file = SqliteFile(path, _MIGRATIONS)
        (found,) = file.rows("PRAGMA quick_check(1)")[0]
    except (apsw.NotADBError, apsw.CorruptError) as error:
        found = str(error)
    else:
        if found == "ok":
            return file
        file.close()
    log.warning("%s is damaged (%s), and made anew", path, found)
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    return None
