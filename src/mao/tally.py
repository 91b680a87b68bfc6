"""What this node's own runs have published, counted by file, folder and day.

It follows from the store's runs and takes up where it left off, so that it costs what is new. It can be thrown away.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Self

from mao.growth import FILE_LIMIT, MANY_FILES, OFTEN, Added, Repeated
from mao.run import PublicationState
from mao.sqlite import SqliteFile

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from mao.store import Store

_MIGRATIONS = (
    """
    CREATE TABLE progress (seq INTEGER NOT NULL);  -- the store's last change that is counted here
    INSERT INTO progress VALUES (0);
    CREATE TABLE runs (id TEXT PRIMARY KEY) WITHOUT ROWID;  -- that are counted: a run may change again
    CREATE TABLE files (
        dataset TEXT NOT NULL, path TEXT NOT NULL, times INTEGER NOT NULL, total INTEGER NOT NULL,
        size INTEGER NOT NULL, first_size INTEGER NOT NULL, grew INTEGER NOT NULL, shrank INTEGER NOT NULL,
        first_at TEXT NOT NULL, last_at TEXT NOT NULL,
        PRIMARY KEY (dataset, path)
    ) WITHOUT ROWID;
    CREATE INDEX files_repeated ON files (dataset, total) WHERE times > 1;
    CREATE INDEX files_large ON files (dataset, size) WHERE size >= 1000000;
    CREATE TABLE folders (
        dataset TEXT NOT NULL, path TEXT NOT NULL, entries INTEGER NOT NULL, PRIMARY KEY (dataset, path)
    ) WITHOUT ROWID;
    CREATE TABLE days (
        dataset TEXT NOT NULL, day TEXT NOT NULL, tool TEXT NOT NULL, runs INTEGER NOT NULL, files INTEGER NOT NULL,
        size INTEGER NOT NULL, PRIMARY KEY (dataset, day, tool)
    ) WITHOUT ROWID;
    """,
)
# Each takes a page of them as JSON: a statement for each would cost more than all else.
_RUNS = "INSERT OR IGNORE INTO runs SELECT value FROM json_each(?) RETURNING id"
_PUBLISHED = """
    INSERT INTO files
    SELECT value ->> 0, value ->> 1, 1, value ->> 2, value ->> 2, value ->> 2, 0, 0, value ->> 3, value ->> 3
    FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET
        times = times + 1, total = total + excluded.size, grew = grew + (excluded.size > size),
        shrank = shrank + (excluded.size < size), size = excluded.size,
        first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)
    RETURNING dataset, path, times
    """
_ENTERED = """
    INSERT INTO folders SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET entries = entries + excluded.entries
    RETURNING dataset, path, entries
    """
_DAYS = """
    INSERT INTO days SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET runs = runs + excluded.runs, files = files + excluded.files, size = size + excluded.size
    """
_FILES = (
    "SELECT path, times, total, size, first_size, grew, shrank, first_at, last_at FROM files WHERE dataset = ? AND "
)
_PAGE = 1000
_LARGE = FILE_LIMIT // 2
"""From which size on a file is near the limit."""
_MOST = 1000
"""How many files or folders are looked at."""


class Tally:
    """The counts of all datasets, in a file of their own; a context that closes it. One thread uses it at a time."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _MIGRATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def follow(self, store: Store) -> None:
        """Count what the store's runs have published since the last time."""
        last = store.last_seq()
        if self._seq() > last:  # the store is an older one, from a backup
            self._forget()
        while events := store.events(self._seq(), _PAGE):
            runs = [json.loads(event.body) for event in events if event.kind == "run" and event.body]
            with self._file.transaction(flush=False):
                self._count(
                    [run for run in runs if (run["publication"] or {}).get("state") == PublicationState.PUBLISHED]
                )
                self._file.rows("UPDATE progress SET seq = ?", events[-1].seq)

    def _seq(self) -> int:
        ((seq,),) = self._file.rows("SELECT seq FROM progress")
        return int(str(seq))

    def _forget(self) -> None:
        with self._file.transaction():
            for table in ("runs", "files", "folders", "days"):
                self._file.rows(f"DELETE FROM {table}")  # noqa: S608  # a name of ours
            self._file.rows("UPDATE progress SET seq = 0")

    def _count(self, runs: list[Any]) -> None:
        new = {row[0] for row in self._file.rows(_RUNS, json.dumps([run["id"] for run in runs]))}
        days: dict[tuple[str, str, str], Counter[str]] = {}
        published = []
        for run in runs:
            if run["id"] in new:
                dataset, ended_at = run["dataset"].lower(), run["ended_at"] or run["created_at"]
                files = run["publication"]["files"]
                published += [[dataset, file["published_as"] or file["path"], file["size"], ended_at] for file in files]
                size = sum(file["size"] for file in files)
                day = days.setdefault((dataset, ended_at[:10], run["tool"]), Counter())
                day.update({"runs": 1, "files": len(files), "size": size})
        counted = [[*origin, day["runs"], day["files"], day["size"]] for origin, day in days.items()]
        self._file.rows(_DAYS, json.dumps(counted))
        rows = self._file.rows(_PUBLISHED, json.dumps(published))
        self._enter([(str(dataset), str(path)) for dataset, path, times in rows if times == 1])

    def _enter(self, paths: list[tuple[str, str]]) -> None:
        """Count new names in their folders, and new folders in those above them."""
        while paths:
            folders = Counter((dataset, path.rpartition("/")[0]) for dataset, path in paths)
            rows = self._file.rows(_ENTERED, json.dumps([[*folder, count] for folder, count in folders.items()]))
            new = [(str(dataset), str(path), entries) for dataset, path, entries in rows if path]
            paths = [(dataset, path) for dataset, path, entries in new if entries == folders[dataset, path]]

    def days(self, dataset: str, node: str) -> list[Added]:
        """What the runs have added to a dataset; `node` is this one's name."""
        rows = self._file.rows("SELECT day, tool, runs, files, size FROM days WHERE dataset = ?", dataset.lower())
        return [
            Added(
                day=date.fromisoformat(str(day)),
                tool=str(tool),
                node=node,
                commits=int(str(runs)),
                files=int(str(files)),
                size=int(str(size)),
            )
            for day, tool, runs, files, size in rows
        ]

    def repeated(self, dataset: str) -> list[Repeated]:
        """The files that were published often, those whose history is largest first."""
        return self._files(dataset, f"times > 1 AND times >= {OFTEN} ORDER BY total DESC")

    def older_versions(self, dataset: str) -> tuple[int, int]:
        """How many files were published often, and the size of all that was published of them before the last time."""
        ((count, size),) = self._file.rows(
            "SELECT count(*), coalesce(sum(total - size), 0) FROM files WHERE dataset = ? AND times > 1 AND times >= ?",
            dataset.lower(),
            OFTEN,
        )
        return int(str(count)), int(str(size))

    def large(self, dataset: str) -> list[Repeated]:
        """The files that are near what the usual hosts take, the largest first."""
        return self._files(dataset, f"size >= 1000000 AND size >= {_LARGE} ORDER BY size DESC")

    def _files(self, dataset: str, condition: str) -> list[Repeated]:
        rows = self._file.rows(f"{_FILES} {condition} LIMIT {_MOST}", dataset.lower())
        return [
            Repeated(
                path=str(row[0]),
                times=int(str(row[1])),
                total=int(str(row[2])),
                size=int(str(row[3])),
                first_size=int(str(row[4])),
                grew=int(str(row[5])),
                shrank=int(str(row[6])),
                first_at=datetime.fromisoformat(str(row[7])),
                last_at=datetime.fromisoformat(str(row[8])),
            )
            for row in rows
        ]

    def folders(self, dataset: str) -> list[tuple[str, int]]:
        """The folders with many names that this node has published, with their number, the largest first."""
        rows = self._file.rows(
            "SELECT path, entries FROM folders WHERE dataset = ? AND entries >= ? ORDER BY entries DESC LIMIT ?",
            dataset.lower(),
            MANY_FILES,
            _MOST,
        )
        return [(str(path), int(str(entries))) for path, entries in rows]
