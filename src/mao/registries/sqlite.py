"""The embedded registry: keys with revisions in an SQLite file, for a cluster of one node."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from mao.errors import StaleRevision
from mao.registry import Change, Edit, Entry, Progress, check_size
from mao.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MIGRATIONS = (
    """
    CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE changes (revision INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value BLOB);
    """,
    """
    ALTER TABLE entries ADD COLUMN lease INTEGER;
    CREATE TABLE leases (lease INTEGER PRIMARY KEY AUTOINCREMENT);
    """,
)
_IN_TOUCH = 1.0
"""Seconds after which a watch says that nothing has changed."""


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
        # Leases of an earlier life are over: who held them was in that process.
        self._leases: dict[int, tuple[int, float]] = {}  # how long each lasts, and when it ends
        with self._file.transaction():
            for (lease,) in self._file.rows("SELECT lease FROM leases"):
                self._forget(int(str(lease)))

    def get(self, key: str) -> Entry | None:
        self._end_leases()
        rows = self._file.rows("SELECT key, value, revision FROM entries WHERE key = ?", key)
        return Entry(*rows[0]) if rows else None  # type: ignore[arg-type]  # the schema says what the columns hold

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        self._end_leases()
        with self._file.transaction():
            rows = self._file.rows(
                "SELECT key, value, revision FROM entries WHERE key > ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
                after,
                prefix,
                prefix + "\U0010ffff",
                limit,
            )
            return [Entry(*row) for row in rows], self._revision()  # type: ignore[arg-type]  # as above

    def write(self, *edits: Edit, lease: int | None = None) -> int:
        check_size(edits)
        self._end_leases()
        with self._file.transaction():
            if lease is not None and lease not in self._leases:
                raise StaleRevision("The lease was not renewed in time, and is over.")
            for edit in edits:
                rows = self._file.rows("SELECT revision FROM entries WHERE key = ?", edit.key)
                if (rows[0][0] if rows else 0) != edit.if_revision or (edit.value is None and not rows):
                    raise StaleRevision(f"'{edit.key}' has changed since it was read. Look at it again.")
            for edit in edits:
                self._make(edit.key, edit.value, lease)
            revision = self._revision()
            self._file.rows("DELETE FROM changes WHERE revision <= ?", revision - self._kept_changes)
        self._tell()
        return revision

    def _make(self, key: str, value: bytes | None, lease: int | None = None) -> None:
        self._file.rows("INSERT INTO changes (key, value) VALUES (?, ?)", key, value)
        if value is None:
            self._file.rows("DELETE FROM entries WHERE key = ?", key)
        else:
            self._file.rows(
                "INSERT OR REPLACE INTO entries (key, value, revision, lease) VALUES (?, ?, ?, ?)",
                key,
                value,
                self._revision(),
                lease,
            )

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _revision(self) -> int:
        ((revision,),) = self._file.rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'changes'")
        assert isinstance(revision, int)  # noqa: S101  # for the type checker: the query has no other answer
        return revision

    def watch(self, prefix: str, *, after: int) -> Iterator[Progress]:
        while not self._closed:
            self._end_leases()
            with self._changed:
                if self._closed:
                    return
                rows = self._file.rows(
                    "SELECT key, value, revision FROM changes WHERE revision > ? ORDER BY revision LIMIT 1000",
                    after,
                )
                if not rows and self._changed.wait(self._longest_wait()):
                    continue
            changes = [Change(*row) for row in rows]  # type: ignore[arg-type]  # the schema says what the columns hold
            if changes and changes[0].revision > after + 1:
                raise StaleRevision(f"The changes that followed revision {after} are no longer kept.")
            after = changes[-1].revision if changes else after
            yield Progress(after, tuple(change for change in changes if change.key.startswith(prefix)))

    def _longest_wait(self) -> float:
        ends = min((end for _, end in tuple(self._leases.values())), default=float("inf"))
        return max(0.0, min(_IN_TOUCH, ends - time.monotonic()))

    def grant(self, seconds: int) -> int:
        with self._file.transaction():
            self._file.rows("INSERT INTO leases DEFAULT VALUES")
            ((lease,),) = self._file.rows("SELECT seq FROM sqlite_sequence WHERE name = 'leases'")
            assert isinstance(lease, int)  # noqa: S101  # for the type checker
            self._leases[lease] = (seconds, time.monotonic() + seconds)
        self._tell()  # a watch may have to end it earlier than it meant to wait
        return lease

    def renew(self, lease: int) -> bool:
        self._end_leases()
        with self._file.transaction():
            if lease not in self._leases:
                return False
            seconds, _ = self._leases[lease]
            self._leases[lease] = (seconds, time.monotonic() + seconds)
            return True

    def revoke(self, lease: int) -> None:
        with self._file.transaction():
            self._forget(lease)
        self._tell()

    def _end_leases(self) -> None:
        """End those that were not renewed in time: whoever looks next does it."""
        present = time.monotonic()
        if all(end > present for _, end in tuple(self._leases.values())):
            return
        with self._file.transaction():
            for lease in [lease for lease, (_, end) in self._leases.items() if end <= present]:
                self._forget(lease)
        self._tell()

    def _forget(self, lease: int) -> None:
        for (key,) in self._file.rows("SELECT key FROM entries WHERE lease = ?", lease):
            self._make(str(key), None)
        self._file.rows("DELETE FROM leases WHERE lease = ?", lease)
        self._leases.pop(lease, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._file.close()
