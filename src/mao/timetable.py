"""When the slots of a schedule are planned, and when they are due: what the spread adds."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from mao.rule import Rule
from mao.schedule import Schedule, SpreadKind
from mao.values import Moment, Value, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOR_EVER = timedelta(days=50 * 366)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """A slot of a schedule before it has become anything."""

    planned: datetime
    due: datetime
    period: timedelta
    """From `planned` to the next planned moment."""


class Timetable:
    """The slots that a schedule has."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.rule = Rule.parse(schedule.cron, schedule.timezone)

    def firings(self, after: datetime, until: datetime) -> Iterator[Firing]:
        """Those planned later than `after` and due up to `until`, in order."""
        return takewhile(lambda firing: firing.due <= until, self.following(after))

    def first(self, after: datetime) -> Firing | None:
        """The first that is planned later than `after`; None if there is none for 50 years."""
        return next(self.following(after), None)

    def following(self, after: datetime) -> Iterator[Firing]:
        """Those planned later than `after`, in order; no more if there is none for 50 years."""
        moments = self.rule.following(after)
        planned = next(moments, None)
        while planned is not None:
            following = next(moments, None)
            period = _FOR_EVER if following is None else following - planned
            yield Firing(planned, planned + self._delay(planned, period), period)
            planned = following

    def _delay(self, planned: datetime, period: timedelta) -> timedelta:
        """From the planned moment to the due one, in whole milliseconds; less than the period, so the order stays.

        It is drawn by a hash: after a crash, and on every node of a schedule of the cluster, the same is drawn again.
        """
        spread = self._schedule.spread
        if spread is None:
            return timedelta(0)
        node = "" if self._schedule.anywhere else self._schedule.node.lower()
        of = [self._schedule.id, node, *([] if spread.kind is SpreadKind.OFFSET else [rfc3339(planned)])]
        longest = period.total_seconds()
        match spread.kind:
            case SpreadKind.OFFSET | SpreadKind.UNIFORM:
                seconds = _fraction(of) * min(spread.seconds, longest)
            case SpreadKind.POISSON:  # exponential, given that it is less than the period: by its inverse
                within = -math.expm1(-longest / spread.seconds)
                seconds = min(-spread.seconds * math.log1p(-_fraction(of) * within), longest)
        return timedelta(milliseconds=min(int(seconds * 1000), int(longest * 1000) - 1))


def _fraction(of: list[str]) -> float:
    """A number from 0 to less than 1 that is drawn from the whole of `of`."""
    return int.from_bytes(hashlib.sha256("\n".join(of).encode()).digest()[:6], "big") / 2**48


class Preview(Value):
    """A slot to come, for people."""

    planned: Moment
    due_at: Moment
    local: str
    """`planned` on the clocks of the schedule's zone."""
    note: str | None = None
    """What a change of daylight saving time does to it."""


def preview(timetable: Timetable, after: datetime, count: int) -> list[Preview]:
    """The next `count` slots later than `after`."""
    return [
        Preview(
            planned=firing.planned,
            due_at=firing.due,
            local=_shown(local := firing.planned.astimezone(timetable.rule.zone)),
            note=_note(timetable.rule, local),
        )
        for firing in islice(timetable.following(after), count)
    ]


def preview_rule(cron: str, timezone: str, after: datetime, count: int) -> list[Preview]:
    """The next `count` slots that a schedule with this rule would have, if it had no spread.

    Raises:
        BadSchedule
    """
    schedule = Schedule(
        id="preview",
        tool="preview",
        command="preview",
        arguments=[],
        cron=cron,
        timezone=timezone,
        node="preview",
        created_at=after,
        changed_at=after,
        reckoned_until=after,
    )
    return preview(Timetable(schedule), after, count)


def _shown(local: datetime) -> str:
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} ({offset[:3]}:{offset[3:5]})"


def _note(rule: Rule, local: datetime) -> str | None:
    """What is to be known of a slot whose local time lies in or beside a gap or a repetition."""
    local = local.replace(second=0)
    before = (local.astimezone(UTC) - _SECOND).astimezone(local.tzinfo).replace(tzinfo=None)
    left_out = before + _SECOND  # what the clock would show, had it not been changed
    shown = local.replace(tzinfo=None)
    if rule.is_fixed and left_out < shown and (asked := rule.asked_after(before)) and asked < shown:
        return f"{asked:%H:%M} does not exist on this day: the clocks go from {left_out:%H:%M} to {shown:%H:%M}"
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        return f"{shown:%H:%M} comes twice on this day: this is the {'second' if local.fold else 'first'} time"
    return None
