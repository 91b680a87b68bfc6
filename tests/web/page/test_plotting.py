from __future__ import annotations

from datetime import date, timedelta

from mao.daily import Day
from mao.web.page.plotting import commits_by_day, growth_over_time

FIRST = date(2026, 11, 1)


def days(*numbers: int) -> list[Day]:
    return [Day(day=FIRST + timedelta(days=number), commits=2, files=3, size=10) for number in numbers]


def test_days_without_commits_are_drawn_too() -> None:
    assert [point.values for point in commits_by_day(days(0, 3))] == [(2,), (0,), (0,), (2,)]
    assert commits_by_day([]) == growth_over_time([]) == []
    assert len(commits_by_day(days(0, 5000))) == 90


def test_what_was_added_is_summed_up_and_thinned_to_the_newest() -> None:
    assert [point.values for point in growth_over_time(days(0, 3))] == [(3, 10), (6, 20)]
    many = growth_over_time(days(*range(1000)))
    assert len(many) == 200
    assert many[-1].values == (3000, 10000)
