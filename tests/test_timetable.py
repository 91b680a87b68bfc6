"""When slots are due: what the spread adds to their planned moments, and what people are shown of it."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from mao.schedule import Schedule, Spread, SpreadKind
from mao.timetable import Timetable, preview

START = datetime(2026, 3, 1, tzinfo=UTC)


def schedule(**more: Any) -> Schedule:
    given = {"id": "one", "tool": "probe", "command": "Write", "arguments": [], "cron": "0 * * * *", "node": "alpha"}
    moments = dict.fromkeys(("created_at", "changed_at", "reckoned_until"), START)
    return Schedule.model_validate(given | moments | more)


def delays(count: int, kind: SpreadKind, seconds: float, **more: Any) -> list[float]:
    timetable = Timetable(schedule(spread=Spread(kind=kind, seconds=seconds), **more))
    firings = islice(timetable.firings(START, START + timedelta(days=4000)), count)
    return [(firing.due - firing.planned).total_seconds() for firing in firings]


def test_without_a_spread_a_slot_is_due_when_it_is_planned() -> None:
    first = Timetable(schedule()).first(START)
    assert first is not None
    assert (first.planned, first.due, first.period) == (
        START + timedelta(hours=1),
        START + timedelta(hours=1),
        timedelta(hours=1),
    )


def test_an_offset_is_the_same_for_all_slots_and_differs_between_schedules_and_nodes() -> None:
    assert len(set(delays(50, SpreadKind.OFFSET, 600))) == 1
    found = {delays(1, SpreadKind.OFFSET, 600, id=f"{n}", node=node)[0] for n in range(50) for node in ("a", "b")}
    assert len(found) > 95
    assert all(0 <= delay < 600 for delay in found)


def test_uniform_delays_fill_the_spread_evenly() -> None:
    drawn = delays(4000, SpreadKind.UNIFORM, 600)
    tenths = [sum(n <= delay / 60 < n + 1 for delay in drawn) for n in range(10)]
    assert sum(tenths) == 4000
    assert all(330 < count < 470 for count in tenths)  # 400, and 3.5 of its standard deviations


def test_poisson_delays_have_their_mean_and_no_memory() -> None:
    drawn = delays(4000, SpreadKind.POISSON, 60)
    beyond = [delay for delay in drawn if delay >= 60]
    assert 56 < sum(drawn) / 4000 < 64
    assert 1350 < len(beyond) < 1590  # 4000 / e
    assert 54 < sum(delay - 60 for delay in beyond) / len(beyond) < 66


@pytest.mark.parametrize(("kind", "seconds"), [(SpreadKind.UNIFORM, 5000), (SpreadKind.POISSON, 5000)])
def test_a_spread_longer_than_the_period_is_fitted_into_it(kind: SpreadKind, seconds: float) -> None:
    drawn = sorted(delays(4000, kind, seconds))
    within = -math.expm1(-3600 / seconds)
    for number, delay in enumerate(drawn):
        share = delay / 3600 if kind is SpreadKind.UNIFORM else -math.expm1(-delay / seconds) / within
        assert abs(number / 4000 - share) < 0.026  # Kolmogorov-Smirnov: 1.63 / sqrt(4000) for one in a hundred


@pytest.mark.parametrize("kind", list(SpreadKind))
def test_no_slot_is_due_after_the_next_one_is_planned_however_long_the_spread(kind: SpreadKind) -> None:
    timetable = Timetable(schedule(cron="*/7 * * * *", spread=Spread(kind=kind, seconds=7 * 86_400)))
    firings = list(islice(timetable.firings(START, START + timedelta(days=5)), 800))
    assert len(firings) == 800
    assert all(earlier.due < later.planned <= later.due for earlier, later in pairwise(firings))


def test_a_schedule_of_the_cluster_is_due_at_the_same_moment_on_every_node() -> None:
    here, there = (delays(5, SpreadKind.UNIFORM, 600, node=node, anywhere=True) for node in ("alpha", "beta"))
    assert here == there
    assert here != delays(5, SpreadKind.UNIFORM, 600)


def test_another_process_draws_the_same() -> None:
    program = "from test_timetable import *; print(delays(3, SpreadKind.POISSON, 60))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent, check=True, capture_output=True, text=True
    )
    assert told.stdout.strip() == str(delays(3, SpreadKind.POISSON, 60))


@pytest.mark.parametrize(
    ("cron", "zone", "after", "local", "note"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00+00:00",
            "2026-03-29 03:00:00 CEST (+02:00)",
            "02:30 does not exist on this day: the clocks go from 02:00 to 03:00",
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00+00:00",
            "2026-10-25 02:30:00 CEST (+02:00)",
            "02:30 comes twice on this day: this is the first time",
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:30:00+00:00",
            "2026-10-25 02:00:00 CET (+01:00)",
            "02:00 comes twice on this day: this is the second time",
        ),
        (
            "40 30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00+00:00",
            "2026-03-29 03:00:40 CEST (+02:00)",
            "02:30 does not exist on this day: the clocks go from 02:00 to 03:00",
        ),
        ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00+00:00", "2026-03-29 03:00:00 CEST (+02:00)", None),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T20:00:00+00:00",
            "2026-04-24 01:00:00 EEST (+03:00)",
            "00:00 does not exist on this day: the clocks go from 00:00 to 01:00",
        ),
        ("30 2 * * *", "Europe/Berlin", "2026-05-01T12:00:00+00:00", "2026-05-02 02:30:00 CEST (+02:00)", None),
    ],
)
def test_a_preview_tells_local_times_and_what_daylight_saving_does(
    cron: str, zone: str, after: str, local: str, note: str | None
) -> None:
    (shown,) = preview(Timetable(schedule(cron=cron, timezone=zone)), datetime.fromisoformat(after), 1)
    assert (shown.local, shown.note) == (local, note)
