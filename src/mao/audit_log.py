"""The audit log, in a SQLite file of its own: entries are appended, and never changed or removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mao.audit import AuditEntry
from mao.sqlite import Row, SqliteFile
from mao.values import rfc3339

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_ORDERS = {True: ("<", "DESC"), False: (">", "ASC")}
_KEPT = "".join(
    f"""
    CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table}
    BEGIN SELECT RAISE(ABORT, 'the audit log is only ever appended to'); END;
    """
    for table in ("asked", "answered")
    for verb in ("UPDATE", "DELETE")
)
_MIGRATIONS = (
    f"""
    CREATE TABLE asked (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        at TEXT NOT NULL,
        caller TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX asked_by_caller ON asked (caller, number);
    CREATE INDEX asked_by_time ON asked (at);
    CREATE TABLE answered (
        request_id TEXT PRIMARY KEY, status INTEGER NOT NULL, code TEXT, location TEXT
    ) WITHOUT ROWID;
    {_KEPT}
    """,
)
_APART = {"number", "request_id", "at", "caller", "status", "code", "location", "outcome"}


class AuditLog:
    """What was asked of this node, and what came of it.

    What was asked is on stable storage before it is begun: a power loss may cost what came of it, and then the entry
    says that this is unknown.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _MIGRATIONS)

    def ask(self, entry: AuditEntry) -> None:
        """Append what was asked. The number of `entry` is not its own yet.

        Raises:
            DiskFull: it was not appended, and is not to be done.
        """
        body = entry.model_dump_json(exclude=_APART)
        with self._file.transaction():
            sql = "INSERT INTO asked (request_id, at, caller, body) VALUES (?, ?, ?, ?)"
            self._file.rows(sql, entry.request_id, rfc3339(entry.at), entry.caller, body)

    def answer(self, request_id: str, status: int, code: str | None, location: str | None) -> None:
        """Append what came of what was asked."""
        with self._file.transaction(flush=False):
            self._file.rows("INSERT INTO answered VALUES (?, ?, ?, ?)", request_id, status, code, location)

    def entries(  # what can be asked for
        self,
        *,
        after: int | None = None,
        limit: int = -1,
        newest_first: bool = True,
        caller: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[AuditEntry]:
        """At most `limit` entries that come after the number `after`, of a caller, and between two moments."""
        compare, order = _ORDERS[newest_first]
        wanted: dict[str, str | int | None] = {
            f"number {compare} ?": after,
            "caller = ?": caller,
            "at >= ?": rfc3339(since) if since else None,
            "at <= ?": rfc3339(until) if until else None,
        }
        given = {clause: value for clause, value in wanted.items() if value is not None}
        where = " AND ".join(["TRUE", *given])
        sql = (
            "SELECT number, asked.request_id, at, caller, body, status, code, location"  # noqa: S608  # no words of others
            " FROM asked LEFT JOIN answered ON answered.request_id = asked.request_id"
            f" WHERE {where} ORDER BY number {order} LIMIT ?"
        )
        return [_entry(row) for row in self._file.rows(sql, *given.values(), limit)]

    def close(self) -> None:
        self._file.close()


def _entry(row: Row) -> AuditEntry:
    number, request_id, at, caller, body, status, code, location = row
    apart = {"number": number, "request_id": request_id, "at": at, "caller": caller}
    answer = {"status": status, "code": code, "location": location}
    return AuditEntry.model_validate(json.loads(str(body)) | apart | answer)
