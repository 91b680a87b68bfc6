from __future__ import annotations

from datetime import date, timedelta

import pytest

from mao.daily import Course, Gap, course_of
from mao.growth import Added, Source

FIRST = date(2026, 11, 1)


def course(*numbers: int, today: int | None = None) -> Course:
    """Of a dataset to which something was added on these days after the first one."""
    added = [Added(day=FIRST + timedelta(days=number), commits=1, files=2, size=10) for number in numbers]
    last = FIRST + timedelta(days=max(numbers, default=0) if today is None else today)
    return course_of("probe-data", added, last, Source.HISTORY)


def gap(first: int, last: int) -> Gap:
    return Gap(first=FIRST + timedelta(days=first), last=FIRST + timedelta(days=last))


def test_what_nodes_and_tools_added_on_a_day_goes_together() -> None:
    rows = [Added(day=FIRST, tool=tool, commits=2, files=3, size=5) for tool in ("a", "b")]
    found = course_of("probe-data", rows, FIRST, Source.OWN_RUNS)

    assert [(day.commits, day.files, day.size) for day in found.days] == [(4, 6, 10)]
    assert (found.rhythm, found.gaps) == (None, ())


def test_days_without_data_between_days_with_data_are_missing() -> None:
    found = course(0, 1, 2, 4, 5, 9, 10)

    assert found.rhythm == 1
    assert found.gaps == (gap(6, 8), gap(3, 3))
    assert [each.days for each in found.gaps] == [3, 1]


@pytest.mark.parametrize(("today", "gaps"), [(3, ()), (4, (gap(3, 3),)), (9, (gap(3, 8),))])
def test_what_has_not_come_since_is_missing_when_its_day_is_over(today: int, gaps: tuple[Gap, ...]) -> None:
    assert course(0, 1, 2, today=today).gaps == gaps


def test_what_comes_every_week_is_missed_after_more_than_a_week() -> None:
    found = course(0, 7, 14, 22, 28, 42)

    assert found.rhythm == 7
    assert found.gaps == (gap(29, 41),)


@pytest.mark.parametrize("days", [(), (0,), (0, 9), (0, 200, 400, 1000)])
def test_where_no_rhythm_is_nothing_is_missing(days: tuple[int, ...]) -> None:
    assert (course(*days).rhythm, course(*days).gaps) == (None, ())
