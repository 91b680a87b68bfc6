"""How many slots of a schedule had which result, day by day; what was counted is kept until a slot of that day changes.

The index of states answers that without a look at the slots. Only of those slots whose last run has not succeeded, or
that were run afterwards, is it looked at how the run ended.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from mao.schedule import WAITING, Outcome
from mao.values import rfc3339
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
_STATES = (*Outcome, WAITING)
_IN_STATE = """(
    SELECT count(*) FROM documents WHERE kind = 'slot' AND state = '{}' AND key >= ?1 AND key < ?2
    )"""
# A count for each reads nothing but the index, and is three times as fast as one of all by groups.
_COUNTED = f"SELECT {', '.join(map(_IN_STATE.format, _STATES))}"
_LISTED = f"""
    SELECT key, state FROM documents
    WHERE kind = 'slot' AND state IN ({", ".join(f"'{state}'" for state in _STATES)}) AND key >= ? AND key < ? LIMIT ?
    """  # noqa: S608  # no words of others
_SPECIAL = """
    WITH special (key) AS (
        SELECT DISTINCT (body ->> 'schedule') || '/' || (body ->> 'slot') FROM documents
        WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL
            AND body ->> 'schedule' = ? AND body ->> 'slot' >= ? AND body ->> 'slot' < ?
        UNION
        SELECT key FROM documents INDEXED BY backfilled_slots
        WHERE kind = 'slot' AND body ->> 'backfill' IS NOT NULL AND key >= ? AND key < ?
    )
    SELECT slot.key, slot.state, iif(slot.body ->> 'retry_at' IS NULL, run.state, 'queued'),
        iif(run.state = 'publishing', run.body ->> '$.publication.state', NULL)
    FROM special CROSS JOIN documents slot ON slot.kind = 'slot' AND slot.key = special.key
    CROSS JOIN documents run
        ON run.kind = 'run' AND run.key = coalesce(slot.body ->> 'backfill', slot.body ->> '$.runs[#-1]')
    WHERE slot.body IS NOT NULL
    """
# From one schedule that has such slots to the next, each found in the index: how many there are does not matter.
_MISSING = """
    WITH RECURSIVE found (id) AS (
        SELECT (SELECT substr(key, 1, instr(key, '/') - 1) FROM documents
            WHERE kind = 'slot' AND state = ?1 ORDER BY key LIMIT 1)
        UNION ALL
        SELECT (SELECT substr(key, 1, instr(key, '/') - 1) FROM documents
            WHERE kind = 'slot' AND state = ?1 AND key > found.id || '/~' ORDER BY key LIMIT 1)
        FROM found WHERE found.id IS NOT NULL
    )
    SELECT id FROM found WHERE id IS NOT NULL AND EXISTS (
        SELECT 1 FROM documents
        WHERE kind = 'slot' AND state = ?1 AND key >= found.id || '/' || ?2 AND key < found.id || '/~'
    ) LIMIT ?3
    """
_FAILED = """
    WITH RECURSIVE found (id) AS (
        SELECT (SELECT min(body ->> 'schedule') FROM documents INDEXED BY runs_of_slots
            WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL)
        UNION ALL
        SELECT (SELECT min(body ->> 'schedule') FROM documents INDEXED BY runs_of_slots
            WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL
                AND body ->> 'schedule' > found.id)
        FROM found WHERE found.id IS NOT NULL
    )
    SELECT id FROM found WHERE id IS NOT NULL AND EXISTS (
        SELECT 1 FROM documents INDEXED BY runs_of_slots
        WHERE kind = 'run' AND state <> 'succeeded' AND body ->> 'schedule' IS NOT NULL
            AND body ->> 'schedule' = found.id AND body ->> 'slot' >= ?1
            AND state IN ('failed', 'timed-out', 'lost')
    ) LIMIT ?2
    """
_CHANGED = """
    SELECT CASE kind WHEN 'slot' THEN key ELSE (body ->> 'schedule') || '/' || (body ->> 'slot') END
    FROM documents WHERE seq > ? AND kind IN ('slot', 'run') ORDER BY seq LIMIT ?
    """
_MOST_CHANGES = 5000
"""With more of them, all is counted anew."""
_MOST_KEPT = 1000
"""Schedules."""
_FEW = 1000
"""Slots that are sorted into days one by one, which takes less time than to count those of many days."""

Span: TypeAlias = "tuple[str, str]"
"""From which moment until which, as they are written in keys."""


@lru_cache(maxsize=64)
def _spans(bounds: tuple[datetime, ...]) -> tuple[Span, ...]:
    return tuple(pairwise(map(rfc3339, bounds)))


class SlotDays:
    """The counts of days, by the table of documents in `file`. Used from any thread."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._known: dict[str, dict[Span, Counts]] = {}
        self._position = -1
        self._guard = threading.Lock()

    def counts(self, schedule_id: str, bounds: Sequence[datetime]) -> list[Counts]:
        """The results of the slots planned from each of `bounds` until the next one."""
        spans = _spans(tuple(bounds))
        with self._guard:
            self._forget_changed()
            known = self._known.setdefault(schedule_id, {})
            if new := [span for span in spans if span not in known]:
                known.update(self._counted(schedule_id, new))
            return [known[span] for span in spans]

    def missing_since(self, moment: datetime, most: int) -> set[str]:
        """The ids of schedules with slots since then that were not measured: so many by each of the reasons."""
        since = rfc3339(moment)
        outcomes = (Outcome.MISSED, Outcome.TOOL_MISSING, Outcome.SKIPPED_LATE)
        rows = [row for outcome in outcomes for row in self._file.rows(_MISSING, outcome, since, most)]
        return {str(schedule_id) for (schedule_id,) in [*rows, *self._file.rows(_FAILED, since, most)]}

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
            schedule_id, _, planned = str(key).partition("/")
            days = self._known.get(schedule_id, {})
            for span in [span for span in days if span[0] <= planned < span[1]]:
                del days[span]

    def _counted(self, schedule_id: str, spans: list[Span]) -> dict[Span, Counts]:
        """The counts of spans that follow one upon another, with gaps or without."""
        first, last = (f"{schedule_id}/{moment}" for moment in (spans[0][0], spans[-1][1]))
        found: dict[Span, Counts] = {span: Counter() for span in spans}
        listed = self._file.rows(_LISTED, first, last, _FEW + 1)
        if len(listed) <= _FEW:
            for key, state in listed:
                if (span := _span(spans, str(key))) is not None:
                    found[span][result(str(state))] += 1
        else:
            for span in spans:
                ((*numbers,),) = self._file.rows(_COUNTED, *(f"{schedule_id}/{moment}" for moment in span))
                for state, count in zip(_STATES, numbers, strict=True):
                    found[span][result(state)] += int(str(count))
        if listed:
            parts = [(spans[0][0], spans[-1][1])] if len(listed) <= _FEW else spans
            for part in parts:
                self._look_at_runs(schedule_id, part, spans, found)
        return {span: +counts for span, counts in found.items()}

    def _look_at_runs(self, schedule_id: str, part: Span, spans: list[Span], found: dict[Span, Counts]) -> None:
        """Have slots whose runs say more than their outcomes count as what these say."""
        keys = (f"{schedule_id}/{moment}" for moment in part)
        for key, state, run, publication in self._file.rows(_SPECIAL, schedule_id, *part, *keys):
            if (span := _span(spans, str(key))) is not None:
                found[span][result(str(state))] -= 1
                found[span][result(str(state), str(run), str(publication))] += 1


def _span(spans: list[Span], key: str) -> Span | None:
    """That of `spans` to which a slot belongs."""
    planned = key.partition("/")[2]
    place = bisect_right(spans, planned, key=lambda span: span[0]) - 1
    return spans[place] if place >= 0 and planned < spans[place][1] else None
