"""When a rule is due: in every change of daylight saving time, and by the fields of crontab(5)."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zones
from mao.errors import BadSchedule
from mao.rule import Rule

RULES = [
    "30 2 * * *",
    "0 2 * * *",
    "15 2 * * *",
    "15 1,2,3 * * *",
    "0,30 1-3 * * 0",
    "0 0 * * *",
    "30 0 * * *",
    "59 23 * * *",
    "0 * * * *",
    "*/15 * * * *",
    "*/20 2 * * *",
    "45 * * * *",
    "0 */2 * * *",
    "10-20/5 1-4 * * *",
    "*/25 0,23 * * *",
]
AROUND = timedelta(days=1)
NEVER = ((datetime(2000, 1, 1, tzinfo=UTC), 0), (datetime(2001, 1, 1, tzinfo=UTC), 0))


def test_what_is_golden_is_what_zdump_says() -> None:
    if shutil.which("zdump") is None or not Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        pytest.skip("zdump or its zones are missing (Debian: libc-bin, tzdata): transitions are NOT checked")
    assert zones.written({zone: zones.dumped(zone) for zone in zones.ZONES}) == zones.GOLDEN.read_text()


@pytest.mark.parametrize("cron", RULES)
@pytest.mark.parametrize("zone", zones.ZONES)  # one after the other: what its clocks show is found once for all rules
def test_a_rule_is_due_as_clocks_show_in_every_change_of_daylight_saving_time(zone: str, cron: str) -> None:
    transitions = zones.golden()[zone]
    assert len(transitions) >= 4
    for moment, _ in transitions[1:5]:
        first, last = moment - AROUND, moment + AROUND
        expected = zones.due(transitions, cron, first - AROUND, last + AROUND)
        found = list(Rule.parse(cron, zone).moments(first, last))
        assert found == [due for due in expected if first < due <= last]


@pytest.mark.parametrize("zone", zones.ZONES)
@pytest.mark.parametrize("cron", RULES)
def test_a_rule_with_seconds_is_due_at_the_minutes_of_the_one_without(zone: str, cron: str) -> None:
    moment = zones.golden()[zone][3][0]
    first, last = moment - AROUND, moment + AROUND
    minutes = Rule.parse(cron, zone).moments(first - timedelta(minutes=1), last)
    seconds = [minute + timedelta(seconds=second) for minute in minutes for second in (5, 40)]
    found = list(Rule.parse(f"5,40 {cron}", zone).moments(first, last))
    assert found == [due for due in seconds if first < due <= last]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("daily", "Europe/Berlin", "2026-06-01T00:00:00+00:00", "2026-06-01T22:00:00+00:00"),
        ("weekly", "UTC", "2026-11-28T00:00:00+00:00", "2026-11-29T00:00:00+00:00"),
        ("monthly", "UTC", "2026-11-28T00:00:00+00:00", "2026-12-01T00:00:00+00:00"),
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T20:00:00+00:00", "2026-04-23T22:00:00+00:00"),  # 00:00 is left out
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 0 * * MON#2", "UTC", "2026-11-01T00:00:00+00:00", "2026-11-09T00:00:00+00:00"),
    ],
)
def test_a_rule_is_due_next_at_the_moment_that_people_expect(cron: str, zone: str, after: str, expected: str) -> None:
    found = Rule.parse(cron, zone).after(datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        ("hourly", "UTC", "'daily', 'weekly', 'monthly' or a crontab line"),
        ("", "UTC", "is no rule"),
        ("* * * *", "UTC", "five fields"),
        ("60 * * * *", "UTC", "its minute is '60'. It takes 0 to 59"),
        ("60 * * * * *", "UTC", "its second is '60'. It takes 0 to 59"),
        ("* * * 13 *", "UTC", "its month is '13'. It takes 1 to 12"),
        ("0 0 1 1 MON#6", "UTC", "its day of week is 'MON#6'. It takes 0 to 7"),
        (f"*/{'9' * 5000} * * * *", "UTC", "its minute is '[*]/999"),
        ("0 0 30 2 *", "UTC", "is never due"),
        ("0 0 */31 * MON#5", "UTC", "is never due"),
        ("daily", "Europe/Zürich", "did you mean 'Europe/Zurich'"),
        ("daily", "../etc/passwd", "no time zone"),
        ("daily", "Europe", "no time zone"),
        ("daily", "", "no time zone"),
        ("daily", "localtime", "no time zone"),
        ("daily", "right/UTC", "no time zone"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_is_wrong(cron: str, zone: str, words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        Rule.parse(cron, zone)


def _field(lowest: int, highest: int) -> st.SearchStrategy[str]:
    value = st.integers(lowest, highest)
    span = st.sets(value, min_size=2, max_size=2).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 7)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.one_of(
        st.just("*"), value.map(str), st.lists(st.one_of(value.map(str), span), min_size=1).map(",".join), step
    )


CRONTABS = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 7)).map(" ".join)


@given(CRONTABS, st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)))  # noqa: DTZ001  # hypothesis wants them naive
@settings(max_examples=50, deadline=None)
def test_the_fields_of_a_rule_are_read_as_crontab_has_them(cron: str, near: datetime) -> None:
    first = near.replace(second=0, microsecond=0, tzinfo=UTC)
    last = first + timedelta(days=3)
    found = list(islice(Rule.parse(cron, "UTC").moments(first, last), 5000))
    assert found == [due for due in zones.due(NEVER, cron, first, last) if due > first]


@given(st.sampled_from(RULES), st.sampled_from(list(zones.ZONES)), st.integers(1, 3), st.integers(-14_400, 14_400))
@settings(max_examples=60, deadline=None)
def test_what_is_due_next_does_not_depend_on_when_it_is_asked(cron: str, zone: str, change: int, seconds: int) -> None:
    at = zones.golden()[zone][change][0]
    asked = at + timedelta(seconds=seconds)
    rule = Rule.parse(cron, zone)
    assert rule.after(asked) == next(due for due in rule.moments(at - AROUND, at + 9 * AROUND) if due > asked)


def test_a_rule_is_not_due_after_the_last_year() -> None:
    rule = Rule.parse("0 0 1 1 *", "Asia/Tokyo")
    assert rule.after(datetime(9999, 6, 1, tzinfo=UTC)) is None


def test_the_moments_of_many_years_are_found_one_by_one() -> None:
    moments = Rule.parse("* * * * *", "Europe/Berlin").moments(
        datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
    )
    assert next(moments) == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


@given(CRONTABS, st.sampled_from(["UTC", *zones.ZONES, "Asia/Kolkata"]))
@settings(max_examples=60, deadline=None)
def test_moments_come_in_order_and_each_once(cron: str, zone: str) -> None:
    rule = Rule.parse(cron, zone)
    moments = list(islice(rule.moments(datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)), 400))
    assert all(earlier < later for earlier, later in pairwise(moments))
    for moment in moments[:20]:
        assert rule.after(moment - timedelta(milliseconds=1)) == moment
