"""Say how the slots of a schedule went, day by day: whether all that was to be measured was."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from mao.rule import Rule
from mao.run import RunState
from mao.schedule import DAY, LASTING, WAITING, Schedule
from mao.verdict import Day, Result, Verdict, result, verdict

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mao.local_node import LocalNode
    from mao.run import Run
    from mao.schedule import Slot

USUAL_DAYS = 60
MOST_DAYS = 400
_WEEK = 7
_MOST_JUDGED = 100
"""Schedules of which the worst are found."""


def days(node: LocalNode, schedule: Schedule, count: int = USUAL_DAYS) -> list[Day]:
    """The last `count` days of a schedule, the oldest first; the last one is today, by the clocks of its zone.

    Of a schedule of the cluster, it is that which this node has in its ledger; how runs of other nodes ended is not
    known here.
    """
    zone = Rule.parse(schedule.cron, schedule.timezone).zone
    today = node.clock().astimezone(zone).date()
    dates, bounds = _dates(today, count), _bounds(today, count, zone)
    return [
        Day(
            day=day,
            begins=begins,
            ends=ends,
            slots=counts.total(),
            results=dict(counts),
            verdict=verdict(counts),
        )
        for day, begins, ends, counts in zip(
            dates, bounds, bounds[1:], node.store.days.counts(schedule.id, bounds), strict=False
        )
    ]


def _dates(today: date, count: int) -> list[date]:
    """The last `count` days, and tomorrow."""
    return [today + timedelta(days=number) for number in range(1 - count, 2)]


@lru_cache(maxsize=64)
def _bounds(today: date, count: int, zone: ZoneInfo) -> tuple[datetime, ...]:
    """When each of these begins."""
    return tuple(datetime.combine(day, time(), zone).astimezone(UTC) for day in _dates(today, count))


def slot_result(node: LocalNode, slot: Slot) -> tuple[Result, Run | None]:
    """What became of a slot, and the last of its runs that this node knows."""
    last = slot.backfill or (slot.runs[-1] if slot.runs else None)
    run = node.store.run(last) if last else None
    state = RunState.QUEUED if run and slot.retry_at else run.state if run else None
    publication = run.publication.state if run and run.publication else None
    return result(slot.outcome or WAITING, state, publication), run


def worst(node: LocalNode, most: int) -> list[tuple[Schedule, list[Day]]]:
    """So many schedules and their days, those first in which most is missing."""
    judged = [(schedule, days(node, schedule)) for schedule in _candidates(node, max(most, _MOST_JUDGED))]
    judged.sort(key=lambda each: (badness(each[1]), each[0].tool.lower(), each[0].id))
    return judged[:most]


def _candidates(node: LocalNode, most: int) -> list[Schedule]:
    """The schedules, or where there are many, so many of them: those that have missed something before all others."""
    newest = [
        Schedule.model_validate_json(body)
        for state in LASTING
        for _, body in node.store.bodies("schedule", state=state, newest_first=True, limit=most + 1)
    ]
    if len(newest) <= most:
        return newest
    begin = node.clock()
    found: dict[str, Schedule] = {}
    for since in (begin - _WEEK * DAY, begin - USUAL_DAYS * DAY):
        for schedule_id in sorted(node.store.days.missing_since(since, most) - found.keys()):
            schedule = node.store.schedule(schedule_id)
            if schedule is not None and schedule.state in LASTING:
                found[schedule_id] = schedule
    return list((found | {each.id: each for each in newest}).values())[:most]


def badness(found: list[Day]) -> tuple[int, int, int]:
    """What puts schedules in order, the worst first: days with what is missing, of the last week before all others."""
    missing = [each for each in found if each.verdict is Verdict.MISSING]
    recent = sum(each.verdict is Verdict.MISSING for each in found[-_WEEK:])
    return -recent, -len(missing), -sum(each.verdict is Verdict.DOUBTFUL for each in found)
