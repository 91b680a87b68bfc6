"""The embedded registry: keys with revisions in an SQLite file, for a cluster of one node."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mao.errors import StaleRevision
from mao.registry import Change, Entry
from mao.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MIGRATIONS = (
    """
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE changes (revision INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value BLOB);
    """,
)


class SqliteRegistry:
    """See `mao.registry.Registry`. One process has it open at a time (the node's lock sees to that).

    Args:
        path: of the file.
        kept_changes: how many a watch can be behind.
    """

    def __init__(self, path: Path, kept_changes: int = 10_000) -> None:
        self._file = SqliteFile(path, _MIGRATIONS)
        self._kept_changes = kept_changes
        self._changed = threading.Condition()
        self._closed = False

    def get(self, key: str) -> Entry | None:
        rows = self._file.rows("SELECT key, value, revision FROM entries WHERE key = ?", key)
        return Entry(*rows[0]) if rows else None  # type: ignore[arg-type]  # the schema says what the columns hold

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        with self._file.transaction():
            rows = self._file.rows(
                "SELECT key, value, revision FROM entries WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
                after,
                prefix,
                prefix + "\U0010ffff",
                limit,
            )
            return [Entry(*row) for row in rows], self._revision()  # type: ignore[arg-type]  # as above

    def put(self, key: str, value: bytes, *, if_revision: int) -> int:
        return self._change(key, value, if_revision)

    def delete(self, key: str, *, if_revision: int) -> int:
        return self._change(key, None, if_revision)

    def _change(self, key: str, value: bytes | None, if_revision: int) -> int:
        with self._file.transaction():
            present = self.get(key)
            if (present.revision if present else 0) != if_revision or (value is None and present is None):
                raise StaleRevision(f"'{key}' has changed since it was read. Look at it again.")
            self._file.rows("INSERT INTO changes (key, value) VALUES (?, ?)", key, value)
            revision = self._revision()
            if value is None:
                self._file.rows("DELETE FROM entries WHERE key = ?", key)
            else:
                self._file.rows("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", key, value, revision)
            self._file.rows("DELETE FROM changes WHERE revision <= ?", revision - self._kept_changes)
        with self._changed:
            self._changed.notify_all()
        return revision

    def _revision(self) -> int:
        ((revision,),) = self._file.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'")
        assert isinstance(revision, int)  # noqa: S101  # for the type checker: the query has no other answer
        return revision

    def watch(self, prefix: str, *, after: int) -> Iterator[Change]:
        while True:
            with self._changed:
                if self._closed:
                    return
                rows = self._file.rows(
                    "SELECT key, value, revision FROM changes WHERE revision > ? ORDER BY revision LIMIT 1000",
                    after,
                )
                if not rows:
                    self._changed.wait()
                    continue
            for row in rows:
                change = Change(*row)  # type: ignore[arg-type]  # the schema says what the columns hold
                if change.revision > after + 1:
                    raise StaleRevision(f"The changes that followed revision {after} are no longer kept.")
                after = change.revision
                if change.key.startswith(prefix):
                    yield change

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._file.close()
