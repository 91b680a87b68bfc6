"""What a dataset's charts are drawn of: few points, however long it has been there."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.daily import Day

_DAYS = 90
_POINTS = 200


class Point(NamedTuple):
    """What is drawn at a day."""

    day: date
    at: float
    """In seconds since 1970."""
    values: tuple[int, ...]


def _point(day: date, *values: int) -> Point:
    return Point(day, datetime.combine(day, time(), UTC).timestamp(), values)


def commits_by_day(days: Sequence[Day]) -> list[Point]:
    """The commits of each of the last days up to the newest data, also of those without any."""
    if not days:
        return []
    commits = {day.day: day.commits for day in days}
    last = days[-1].day
    number = min(_DAYS, (last - days[0].day).days + 1)
    shown = [last - timedelta(days=back) for back in range(number)][::-1]
    return [_point(day, commits.get(day, 0)) for day in shown]


def growth_over_time(days: Sequence[Day]) -> list[Point]:
    """The files and bytes that a dataset had been given in all, by day."""
    files = accumulate(day.files for day in days)
    sizes = accumulate(day.size for day in days)
    points = [_point(day.day, number, size) for day, number, size in zip(days, files, sizes, strict=True)]
    every = -(-len(points) // _POINTS) or 1
    return points[::-1][::every][::-1]  # the newest one is among them
