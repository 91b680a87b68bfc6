from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from mao import judging, scheduling
from mao.run import RunState
from mao.schedule import DAY, Outcome, Schedule, Slot
from mao.verdict import Result, Verdict
from scheduled import START, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    opened = Place(tmp_path / "home")
    yield opened
    opened.close()


def put(place: Place, schedule: Schedule, planned: datetime, outcome: Outcome, **more: Any) -> None:
    slot = Slot(schedule=schedule.id, planned=planned, due_at=planned, tool="probe", node="alpha", outcome=outcome)
    place.node.store.save(slot.model_copy(update=more))


def test_the_last_day_is_today_by_the_clocks_of_the_zone(place: Place) -> None:
    place.present = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert [str(day.day) for day in judging.days(place.node, place.add(), 2)] == ["2026-02-28", "2026-03-01"]
    in_zurich = judging.days(place.node, place.add(timezone="Europe/Zurich"), 2)
    assert [str(day.day) for day in in_zurich] == ["2026-03-01", "2026-03-02"]
    assert in_zurich[1].begins == datetime(2026, 3, 1, 23, tzinfo=UTC)
    in_honolulu = judging.days(place.node, place.add(timezone="Pacific/Honolulu"), 1)
    assert str(in_honolulu[0].day) == "2026-03-01"


def test_days_are_as_long_as_the_clocks_of_the_zone_make_them(place: Place) -> None:
    place.present = datetime(2026, 4, 1, 12, tzinfo=UTC)
    found = judging.days(place.node, place.add(timezone="Europe/Zurich"), 5)
    assert [(str(day.day), day.ends - day.begins) for day in found][:3] == [
        ("2026-03-28", DAY),
        ("2026-03-29", timedelta(hours=23)),
        ("2026-03-30", DAY),
    ]
    assert all(day.ends == following.begins for day, following in pairwise(found))


def test_slots_about_midnight_are_of_the_day_that_the_zone_says(place: Place) -> None:
    schedule = place.add(timezone="Europe/Zurich")
    put(place, schedule, datetime(2026, 2, 27, 22, 59, tzinfo=UTC), Outcome.MISSED)
    put(place, schedule, datetime(2026, 2, 27, 23, 0, tzinfo=UTC), Outcome.RAN)
    assert [(str(day.day), day.results) for day in judging.days(place.node, schedule, 3)] == [
        ("2026-02-27", {Result.MISSED: 1}),
        ("2026-02-28", {Result.RAN: 1}),
        ("2026-03-01", {}),
    ]


def test_what_was_missed_while_the_node_was_down_stands_out_and_so_does_a_run_that_failed(place: Place) -> None:
    schedule = place.add(cron="0 0 * * *")
    place.passes(days=1)
    place.run_all()
    place.passes(days=1)
    place.run_all(RunState.FAILED)
    place.close()
    place.present += 2 * DAY
    place.crash()
    place.look()
    place.run_all()
    assert [(day.day.day, day.verdict) for day in judging.days(place.node, schedule, 5)] == [
        (1, Verdict.NONE),
        (2, Verdict.COMPLETE),
        (3, Verdict.MISSING),
        (4, Verdict.MISSING),
        (5, Verdict.COMPLETE),  # it was started late
    ]


def test_a_slot_is_judged_like_its_day(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    for state in (RunState.SUCCEEDED, RunState.FAILED):
        place.passes(hours=1)
        place.run_all(state)
    place.passes(hours=1)
    found = [judging.slot_result(place.node, slot) for slot in place.slots(schedule)]
    assert [result for result, _ in found] == [Result.RAN, Result.FAILED, Result.GOING_ON]
    assert all(run is not None for _, run in found)
    (today,) = judging.days(place.node, schedule, 1)
    assert today.results == {Result.RAN: 1, Result.FAILED: 1, Result.GOING_ON: 1}


def test_schedules_that_miss_something_of_late_come_first(place: Place) -> None:
    schedules = [place.add(cron="daily") for _ in range(3)]
    put(place, schedules[0], START - 20 * DAY, Outcome.MISSED)
    put(place, schedules[0], START - 21 * DAY, Outcome.MISSED)
    put(place, schedules[1], START - DAY, Outcome.MISSED)
    assert [schedules.index(each) for each, _ in judging.worst(place.node, 3)] == [1, 0, 2]


def test_what_is_missing_is_found_among_many_schedules(place: Place) -> None:
    old, failing, late, removed = (place.add(cron="0 0 * * *") for _ in range(4))
    put(place, late, START - DAY, Outcome.SKIPPED_LATE)
    put(place, old, START - 30 * DAY, Outcome.MISSED)
    put(place, removed, START - DAY, Outcome.MISSED)
    scheduling.remove(place.node, removed.id)
    place.passes(days=1)
    while place.runs(RunState.QUEUED, RunState.RUNNING):
        place.start_one()
        (run,) = place.runs(RunState.RUNNING)
        place.end_one(RunState.FAILED if run.schedule == failing.id else RunState.SUCCEEDED)
    many = [old.model_copy(update={"id": f"{removed.id}{number:03}"}) for number in range(300)]
    place.node.store.save(*many)
    for schedule in many[:200]:
        put(place, schedule, START - DAY, Outcome.RAN)
    found = [schedule.id for schedule, _ in judging.worst(place.node, 4)]
    assert set(found[:2]) == {failing.id, late.id}
    assert found[2] == old.id
    assert len(found) == 4
