"""Opening SQLite files so that what was said to be stored is stored: the store and the embedded registry use it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import apsw

from mao.errors import DiskFull, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Row: TypeAlias = "tuple[apsw.SQLiteValue, ...]"


class SqliteFile:
    """One connection to one file, shared by the threads of this process.

    Args:
        path: of the file; it is made if it is not there.
        migrations: one script for each version of the schema, in order (`PRAGMA user_version` counts them).
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        self._lock = threading.RLock()
        self._connection = apsw.Connection(str(path), statementcachesize=100)
        try:
            with _disk_errors(path):
                self._connection.set_busy_timeout(10_000)
                self._connection.pragma("journal_mode", "wal")
                # In WAL mode only FULL keeps the last transactions through a power loss (sqlite.org/pragma.html).
                self._connection.pragma("synchronous", "full")
            path.chmod(0o600)
            self._migrate(migrations)
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self, migrations: Sequence[str]) -> None:
        with self.transaction():
            version = self._connection.pragma("user_version")
            if not isinstance(version, int) or version > len(migrations):
                raise Unavailable(
                    f"{self._connection.filename} was written by a newer MAO (its schema is {version},"
                    f" this one knows {len(migrations)}). Install that version again."
                )
            for script in migrations[version:]:
                self._connection.execute(script)
            self._connection.pragma("user_version", len(migrations))

    @contextmanager
    def transaction(self, *, flush: bool = True) -> Iterator[None]:
        """All that is written inside is stored when this ends, or none of it; one inside another is part of it.

        Without `flush` a power loss (not a kill) may undo it, until the next transaction that flushes.

        It takes the writer's lock at once: a transaction that reads first and then writes would fail with "locked".

        Raises:
            DiskFull: nothing was stored.
        """
        with self._lock, _disk_errors(self._connection.filename):
            if self._connection.in_transaction:
                yield
                return
            self._connection.pragma("synchronous", "full" if flush else "normal")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite has ended it itself after some errors
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, *values: apsw.SQLiteValue) -> list[Row]:
        """What `sql` answers."""
        with self._lock:
            return list(self._connection.execute(sql, values))

    def close(self) -> None:
        with self._lock:
            self._connection.close()


@contextmanager
def _disk_errors(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (apsw.FullError, apsw.IOError) as error:
        raise DiskFull(f"{path} could not be written ({error}). Make room on the disk; nothing was changed.") from error
