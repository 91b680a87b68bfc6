"""How many slots of a schedule had which result, day by day; what was counted is kept until a slot of that day changes.

The index of states answers that without a look at the slots. Only of those slots whose last run has not succeeded, or
that were run afterwards, is it looked at how the run ended.
"""

from __future__ import annotations

import threading
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from mao.schedule import Outcome, slot_key
from mao.verdict import Result, result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mao.sqlite import SqliteFile

Counts: TypeAlias = "Counter[Result]"

INDICES = """
    -- By which the slots are found whose runs have not succeeded, or that were run afterwards.
    CREATE INDEX runs_of_slots ON documents (body ->> 'schedule', body ->> 'slot')
        WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL;
    CREATE INDEX backfilled_slots ON documents (key) WHERE kind = 'slot' AND body ->> 'backfill' IS NOT NULL;
    """
_STATES = (*Outcome, "waiting")
_IN_STATE = """(
    SELECT count(*) FROM documents WHERE kind = 'slot' AND state = '{}' AND key >= ?1 AND key < ?2
    )"""
# A count for each reads nothing but the index, and is three times as fast as one of all by groups.
_COUNTED = f"SELECT {', '.join(map(_IN_STATE.format, _STATES))}"
_SPECIAL = """
    WITH special (key) AS (
        SELECT DISTINCT (body ->> 'schedule') || '/' || (body ->> 'slot') FROM documents
        WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL
            AND body ->> 'schedule' = ? AND body ->> 'slot' >= ? AND body ->> 'slot' < ?
        UNION
        SELECT key FROM documents INDEXED BY backfilled_slots
        WHERE kind = 'slot' AND body ->> 'backfill' IS NOT NULL AND key >= ? AND key < ?
    )
    SELECT slot.state, iif(slot.body ->> 'retry_at' IS NULL, run.state, 'queued'),
        run.body ->> '$.publication.state', count(*)
    FROM special CROSS JOIN documents slot ON slot.kind = 'slot' AND slot.key = special.key
    CROSS JOIN documents run
        ON run.kind = 'run' AND run.key = coalesce(slot.body ->> 'backfill', slot.body ->> '$.runs[#-1]')
    GROUP BY 1, 2, 3
    """
_CHANGED = """
    SELECT CASE kind WHEN 'slot' THEN key ELSE (body ->> 'schedule') || '/' || (body ->> 'slot') END
    FROM documents WHERE seq > ? AND kind IN ('slot', 'run') ORDER BY seq LIMIT ?
    """
_MOST_CHANGES = 5000
"""With more of them, all is counted anew."""
_MOST_KEPT = 1000
"""Schedules."""


class SlotDays:
    """The counts of days, by the table of documents in `file`. Used from any thread."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._known: dict[str, dict[tuple[str, str], Counts]] = {}
        self._position = -1
        self._guard = threading.Lock()

    def counts(self, schedule_id: str, bounds: Sequence[datetime]) -> list[Counts]:
        """The results of the slots planned from each of `bounds` until the next one."""
        keys = [slot_key(schedule_id, bound) for bound in bounds]
        with self._guard:
            self._forget_changed()
            known = self._known.setdefault(schedule_id, {})
            for day in pairwise(keys):
                if day not in known:
                    known[day] = self._counted(schedule_id, *day)
            return [known[day] for day in pairwise(keys)]

    def _forget_changed(self) -> None:
        """Forget the days of whatever has changed since the last look."""
        ((last,),) = self._file.rows("SELECT coalesce(max(seq), 0) FROM documents")
        if last == self._position:
            return
        changed = self._file.rows(_CHANGED, self._position, _MOST_CHANGES + 1) if self._known else []
        self._position = int(str(last))
        if len(changed) > _MOST_CHANGES or len(self._known) > _MOST_KEPT:
            self._known.clear()
        for (key,) in changed:
            days = self._known.get(str(key).partition("/")[0])
            for day in [day for day in days or () if day[0] <= str(key) < day[1]]:
                del self._known[str(key).partition("/")[0]][day]

    def _counted(self, schedule_id: str, first: str, last: str) -> Counts:
        found: Counts = Counter()
        ((*numbers,),) = self._file.rows(_COUNTED, first, last)
        for state, count in zip(_STATES, numbers, strict=True):
            found[result(state)] += int(str(count))
        if not found.total():
            return Counter()
        planned = (first.partition("/")[2], last.partition("/")[2])
        for state, run, publication, count in self._file.rows(_SPECIAL, schedule_id, *planned, first, last):
            found[result(str(state))] -= int(str(count))
            found[result(str(state), str(run), str(publication))] += int(str(count))
        return +found
