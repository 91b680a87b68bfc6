"""This node's own memory, in SQLite: its documents. What a call changed is stored when it returns."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mao import choosing
from mao.alarm import Alarm
from mao.document import Columns, Document, body_of, columns_of
from mao.installation import Clone, Installation
from mao.run import Run
from mao.schedule import Schedule, Slot, slot_key
from mao.slot_days import INDICES, SlotDays
from mao.sqlite import Row, SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from mao.alarm import AlarmKind
    from mao.schedule import ScheduleState

_GONE = "gone"  # the state of what was removed: states are counted without a look at the bodies
_MIGRATIONS = (
    """
    CREATE TABLE documents (
        kind TEXT NOT NULL,      -- run, installation, clone, alarm, schedule, slot
        key TEXT NOT NULL,       -- see document.py
        seq INTEGER NOT NULL,    -- counts the changes of this file: the id of an event
        live INTEGER NOT NULL,   -- whether something is still to be done about it
        state TEXT NOT NULL,
        tool TEXT,
        dataset TEXT,
        body TEXT,               -- the value as JSON; NULL once it was removed
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX documents_by_seq ON documents (seq);
    CREATE INDEX documents_live ON documents (kind, key) WHERE live;
    CREATE INDEX documents_by_tool ON documents (kind, tool, key);
    CREATE INDEX documents_by_state ON documents (kind, state, key);

    -- What this node published last at a path, so that its own update is told from another node's file.
    CREATE TABLE own_files (
        dataset TEXT NOT NULL, path BLOB NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (dataset, path)
    ) WITHOUT ROWID;

    CREATE TABLE idempotency_keys (
        key TEXT PRIMARY KEY, request TEXT NOT NULL, location TEXT NOT NULL, created_at TEXT DEFAULT CURRENT_TIMESTAMP
    ) WITHOUT ROWID;
    """,
    f"UPDATE documents SET state = '{_GONE}' WHERE body IS NULL;",  # noqa: S608  # no words of others
    INDICES,
    choosing.INDICES,
)


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that came with an Idempotency-Key: a digest of it, and where its answer is."""

    key: str
    request: str
    location: str


@dataclass(frozen=True, slots=True)
class Event:
    """The newest state of a document that has changed; `body` is None if it was removed."""

    seq: int
    kind: str
    key: str
    body: str | None


class Store:
    """The node's documents by kind and key, each with the number of its last change."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _MIGRATIONS)
        self.days = SlotDays(self._file)
        self._listeners: list[Callable[[], None]] = []
        self._parsed: dict[str, Run] = {}
        self._parsed_slots: dict[str, Slot] = {}

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each change, from the thread that made it."""
        self._listeners.append(changed)

    def save(self, *documents: Document, request: IdempotentRequest | None = None, flush: bool = True) -> None:
        """Store the documents in place of what they were, and `request` with them: all or none.

        Without `flush` a power loss (not a kill) may undo it: for what would be found again by looking.
        """
        if not (documents or request):
            return
        with self._file.transaction(flush=flush):
            for document in documents:
                self._write(columns_of(document), body_of(document))
            if request is not None:
                self.remember(request)
        self._notify()

    def remove(self, *documents: Document) -> None:
        """Forget documents; that they are gone stays in the feed of events."""
        with self._file.transaction():
            for document in documents:
                self._write(columns_of(document)._replace(live=False, state=_GONE), None)
        self._notify()

    def _write(self, columns: Columns, body: str | None) -> None:
        self._file.rows(
            "INSERT OR REPLACE INTO documents (kind, key, seq, live, state, tool, dataset, body)"
            " VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM documents), ?, ?, ?, ?, ?)",
            *columns,
            body,
        )

    def _notify(self) -> None:
        for changed in self._listeners:
            changed()

    def run(self, run_id: str) -> Run | None:
        body = self.body("run", run_id)
        return Run.model_validate_json(body) if body else None

    def installation(self, tool: str) -> Installation | None:
        body = self.body("installation", tool.lower())
        return _installation(body) if body else None

    def clone(self, dataset: str) -> Clone | None:
        body = self.body("clone", dataset.lower())
        return Clone.model_validate_json(body) if body else None

    def schedule(self, schedule_id: str) -> Schedule | None:
        body = self.body("schedule", schedule_id)
        return Schedule.model_validate_json(body) if body else None

    def schedules(self, *states: ScheduleState) -> list[Schedule]:
        """The schedules in these states."""
        found = (body for state in states for _, body in self.bodies("schedule", state=state))
        return [Schedule.model_validate_json(body) for body in found]

    def slot(self, schedule_id: str, planned: datetime) -> Slot | None:
        body = self.body("slot", slot_key(schedule_id, planned))
        return Slot.model_validate_json(body) if body else None

    def live_slots(self) -> list[Slot]:
        """The slots about which something is still to be done, by their schedules, oldest first."""
        known = self._parsed_slots
        bodies = self._live("slot")
        self._parsed_slots = found = {body: known.get(body) or Slot.model_validate_json(body) for body in bodies}
        return list(found.values())

    def alarm(self, key: str) -> Alarm | None:
        body = self.body("alarm", key)
        return Alarm.model_validate_json(body) if body else None

    def alarms(self, kind: AlarmKind) -> list[Alarm]:
        """The alarms of a kind that are raised now."""
        return [Alarm.model_validate_json(body) for _, body in self.bodies("alarm", state=kind)]

    def live_runs(self) -> list[Run]:
        """The runs about which something is still to be done, oldest first."""
        known = self._parsed  # those that wait, for weeks if need be, are read whenever anything is done
        self._parsed = found = {body: known.get(body) or Run.model_validate_json(body) for body in self._live("run")}
        return list(found.values())

    def live_installations(self) -> list[Installation]:
        """The installations whose attempt has not ended."""
        return [Installation.model_validate_json(body) for body in self._live("installation")]

    def live_clones(self) -> list[Clone]:
        """The clones that are being cloned or refreshed."""
        return [Clone.model_validate_json(body) for body in self._live("clone")]

    def _live(self, kind: str) -> list[str]:
        rows = self._file.rows("SELECT body FROM documents WHERE kind = ? AND live ORDER BY key", kind)
        return [str(body) for (body,) in rows]

    def body(self, kind: str, key: str) -> str | None:
        """A document as JSON."""
        rows = self._file.rows("SELECT body FROM documents WHERE kind = ? AND key = ?", kind, key)
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def bodies(
        self,
        kind: str,
        *,
        after: str | None = None,
        before: str | None = None,
        limit: int = -1,
        newest_first: bool = False,
        **filters: str | None,
    ) -> list[tuple[str, str]]:
        """Key and JSON of at most `limit` documents of a kind that come after the key `after`, and before `before`.

        `filters` name columns (`tool`, `state`, `dataset`) and the value each must have; None is no filter.
        """
        sql, values = choosing.query(kind, (after, before), limit, newest_first=newest_first, filters=filters)
        rows = self._file.rows(sql, *values)
        return [(str(key), str(body)) for key, body in rows]

    def counts(self, kind: str, *between: str) -> dict[str, int]:
        """How many documents of a kind are in each state; of those `between` two keys, if these are given."""
        where = "kind = ? AND key > ? AND key < ?" if between else "kind = ?"
        rows = self._file.rows(f"SELECT state, count(*) FROM documents WHERE {where} GROUP BY state", kind, *between)  # noqa: S608  # no words of others
        return {str(state): int(str(count)) for state, count in rows if state != _GONE}

    def events(self, after: int, limit: int = 500) -> list[Event]:
        """What has changed since the change number `after`, in order; without sightings, which concern nobody else."""
        sql = "SELECT seq, kind, key, body FROM documents WHERE seq > ? AND kind <> 'sighting' ORDER BY seq LIMIT ?"
        return [_event(row) for row in self._file.rows(sql, after, limit)]

    def last_seq(self) -> int:
        """The number of the last change."""
        ((seq,),) = self._file.rows("SELECT coalesce(max(seq), 0) FROM documents")
        return int(str(seq))

    def remember(self, request: IdempotentRequest) -> None:
        """Keep where the answer to `request` is; the first one stays."""
        with self._file.transaction():
            sql = "INSERT OR IGNORE INTO idempotency_keys (key, request, location) VALUES (?, ?, ?)"
            self._file.rows(sql, *astuple(request))

    def forget_requests(self, before: datetime) -> None:
        """Forget the requests that came before a moment."""
        with self._file.transaction(flush=False):
            self._file.rows("DELETE FROM idempotency_keys WHERE created_at < ?", f"{before:%Y-%m-%d %H:%M:%S}")

    def remembered(self, key: str) -> IdempotentRequest | None:
        """The request that came with this Idempotency-Key."""
        rows = self._file.rows("SELECT key, request, location FROM idempotency_keys WHERE key = ?", key)
        return IdempotentRequest(*map(str, rows[0])) if rows else None

    def own_blobs(self, dataset: str, paths: list[bytes]) -> dict[bytes, str]:
        """What this node published last at each of `paths`, as git's blob id, where it did."""
        found: dict[bytes, str] = {}
        for path in paths:
            for (blob,) in self._file.rows(
                "SELECT blob FROM own_files WHERE dataset = ? AND path = ?", dataset.lower(), path
            ):
                found[path] = str(blob)
        return found

    def own_below(self, dataset: str, path: bytes) -> dict[bytes, str]:
        """What this node published last at `path` and at every path below it, as git's blob ids."""
        below = (path + b"/", path + b"0")  # the character that follows "/"
        query = "SELECT path, blob FROM own_files WHERE dataset = ? AND (path = ? OR path > ? AND path < ?)"
        rows = self._file.rows(query, dataset.lower(), path, *below)
        return {bytes(found): str(blob) for found, blob in rows if isinstance(found, bytes)}

    def own(self, dataset: str, blobs: Mapping[bytes, str | None]) -> None:
        """Record what of this node is at paths of a dataset, as git's blob ids; None: nothing."""
        with self._file.transaction():
            for path, blob in blobs.items():
                self._file.rows("DELETE FROM own_files WHERE dataset = ? AND path = ?", dataset.lower(), path)
                if blob is not None:
                    self._file.rows("INSERT INTO own_files VALUES (?, ?, ?)", dataset.lower(), path, blob)

    def published(self, *runs: tuple[Run, dict[bytes, str]]) -> None:
        """Store runs, and which blobs this node published with each at which paths: all or nothing."""
        if not runs:
            return
        with self._file.transaction():
            for run, blobs in runs:
                for path, blob in blobs.items():
                    self._file.rows(
                        "INSERT OR REPLACE INTO own_files VALUES (?, ?, ?)", run.dataset.lower(), path, blob
                    )
                self._write(columns_of(run), body_of(run))
        self._notify()

    def close(self) -> None:
        self._file.close()


@lru_cache(maxsize=256)
def _installation(body: str) -> Installation:
    """Every step of a run asks for its installation, and reading a definition costs more than the step's own work."""
    return Installation.model_validate_json(body)


def _event(row: Row) -> Event:
    seq, kind, key, body = row
    return Event(int(str(seq)), str(kind), str(key), None if body is None else str(body))
