"""What was added to a dataset on each day, how often there is something, and the days that are missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from mao.growth import Source
from mao.names import Name
from mao.values import Moment, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mao.growth import Added

_DAY = timedelta(days=1)
_FEW = 3
"""Days with data from which on it is told how often there is some."""
_LATE = 1.5
"""How many times as long as usual there is nothing until days are missing."""
_RARE = 60
"""Days between data from which on nothing is missed."""


class Day(Value):
    """What was added to a dataset on one day (UTC)."""

    day: date
    commits: int
    files: int
    size: int


class Gap(Value):
    """Days, from the first to the last, on which nothing was added though there usually is something."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


class Course(Value):
    """What was added to a dataset day by day."""

    dataset: Name
    source: Source
    counted_at: Moment | None = None
    """When the remote's history was last seen; None if never."""
    days: tuple[Day, ...]
    """Those on which something was added."""
    rhythm: int | None
    """On every how many-th day there usually is something; None if that cannot be told, or is seldom."""
    gaps: tuple[Gap, ...]
    """The newest first."""


def course_of(dataset: str, added: Iterable[Added], today: date, source: Source) -> Course:
    """The course of a dataset to which `added` was added."""
    by_day: dict[date, Counter[str]] = defaultdict(Counter)
    for row in added:
        by_day[row.day].update(commits=row.commits, files=row.files, size=row.size)
    days = [
        Day(day=day, commits=counts["commits"], files=counts["files"], size=counts["size"])
        for day, counts in sorted(by_day.items())
    ]
    rhythm = _rhythm([day.day for day in days])
    gaps = _gaps([*(day.day for day in days), today], rhythm) if rhythm else ()
    return Course(dataset=dataset, source=source, days=tuple(days), rhythm=rhythm, gaps=tuple(gaps)[::-1])


def _rhythm(days: Sequence[date]) -> int | None:
    if len(days) < _FEW:
        return None
    usual = round(median((after - before).days for before, after in pairwise(days)))
    return usual if usual < _RARE else None


def _gaps(days: Sequence[date], rhythm: int) -> Iterator[Gap]:
    for before, after in pairwise(days):
        if (after - before).days > _LATE * rhythm:
            yield Gap(first=before + _DAY, last=after - _DAY)
