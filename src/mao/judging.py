"""Say how the slots of a schedule went, day by day: whether all that was to be measured was."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from mao.document import WAITING
from mao.rule import Rule
from mao.run import RunState
from mao.verdict import Day, Result, Verdict, result, verdict

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mao.local_node import LocalNode
    from mao.run import Run
    from mao.schedule import Schedule, Slot

USUAL_DAYS = 60
MOST_DAYS = 400
_WEEK = 7


def days(node: LocalNode, schedule: Schedule, count: int = USUAL_DAYS) -> list[Day]:
    """The last `count` days of a schedule, the oldest first; the last one is today, by the clocks of its zone.

    Of a schedule of the cluster, it is that which this node has in its ledger; how runs of other nodes ended is not
    known here.
    """
    zone = Rule.parse(schedule.cron, schedule.timezone).zone
    today = node.clock().astimezone(zone).date()
    dates = [today + timedelta(days=number) for number in range(1 - count, 2)]
    bounds = [_midnight(day, zone) for day in dates]
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


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def slot_result(node: LocalNode, slot: Slot) -> tuple[Result, Run | None]:
    """What became of a slot, and the last of its runs that this node knows."""
    last = slot.backfill or (slot.runs[-1] if slot.runs else None)
    run = node.store.run(last) if last else None
    state = RunState.QUEUED if run and slot.retry_at else run.state if run else None
    publication = run.publication.state if run and run.publication else None
    return result(slot.outcome or WAITING, state, publication), run


def badness(found: list[Day]) -> tuple[int, int, int]:
    """What puts schedules in order, the worst first: days with what is missing, of the last week before all others."""
    missing = [each for each in found if each.verdict is Verdict.MISSING]
    recent = sum(each.verdict is Verdict.MISSING for each in found[-_WEEK:])
    return -recent, -len(missing), -sum(each.verdict is Verdict.DOUBTFUL for each in found)
