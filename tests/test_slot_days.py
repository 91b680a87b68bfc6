from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mao.run import Publication, PublicationState, Run, RunState
from mao.schedule import DAY, Outcome, Slot
from mao.store import Store
from mao.verdict import Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NIGHT = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = [NIGHT, NIGHT + DAY, NIGHT + 2 * DAY]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.sqlite")
    yield opened
    opened.close()


def slot(planned: datetime, outcome: Outcome | None = Outcome.RAN, schedule: str = "s", **more: Any) -> Slot:
    return Slot(schedule=schedule, planned=planned, due_at=planned, tool="probe", node="alpha", outcome=outcome, **more)


def run(name: str, planned: datetime, state: RunState, **more: Any) -> Run:
    return Run(
        id=name,
        tool="probe",
        tool_commit="c" * 40,
        command="Write",
        arguments={},
        dataset="probe-data",
        node="alpha",
        schedule="s",
        slot=planned,
        publish=True,
        fresh=True,
        state=state,
        created_at=planned,
        **more,
    )


def days(store: Store) -> list[dict[Result, int]]:
    return [dict(day) for day in store.days.counts("s", BOUNDS)]


def test_a_slot_belongs_to_the_day_in_which_it_was_planned(store: Store) -> None:
    millisecond = timedelta(milliseconds=1)
    store.save(slot(NIGHT - millisecond), slot(NIGHT), slot(NIGHT + DAY - millisecond), slot(NIGHT + DAY))
    store.save(slot(NIGHT + 2 * DAY), slot(NIGHT, schedule="s2"), slot(NIGHT, schedule="r"))
    assert days(store) == [{Result.RAN: 2}, {Result.RAN: 1}]


def test_slots_are_counted_by_outcome(store: Store) -> None:
    outcomes = [*Outcome, None]
    store.save(*(slot(NIGHT + timedelta(hours=hour), outcome) for hour, outcome in enumerate(outcomes)))
    assert days(store)[0] == {Result(outcome or "going-on"): 1 for outcome in outcomes}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RunState.QUEUED, Result.GOING_ON),
        (RunState.RUNNING, Result.GOING_ON),
        (RunState.PUBLISHING, Result.GOING_ON),
        (RunState.SUCCEEDED, Result.RAN),
        (RunState.FAILED, Result.FAILED),
        (RunState.TIMED_OUT, Result.FAILED),
        (RunState.LOST, Result.FAILED),
        (RunState.CANCELLED, Result.CANCELLED),
        (RunState.UNPUBLISHED, Result.UNPUBLISHED),
    ],
)
def test_how_the_run_of_a_slot_ended_counts(store: Store, state: RunState, expected: Result) -> None:
    store.save(slot(NIGHT, runs=("1",)), run("1", NIGHT, state), slot(NIGHT + timedelta(hours=1)))
    assert days(store)[0] == ({Result.RAN: 2} if expected is Result.RAN else {Result.RAN: 1, expected: 1})


def test_data_that_the_remote_does_not_take_is_not_there_yet(store: Store) -> None:
    waiting = Publication(dataset="probe-data", remote="x", state=PublicationState.WAITING)
    store.save(slot(NIGHT, runs=("1",)), run("1", NIGHT, RunState.PUBLISHING, publication=waiting))
    assert days(store)[0] == {Result.UNPUBLISHED: 1}


def test_a_slot_that_was_tried_again_is_as_its_last_run(store: Store) -> None:
    store.save(slot(NIGHT, runs=("1",), retry_at=NIGHT), run("1", NIGHT, RunState.FAILED))
    assert days(store)[0] == {Result.GOING_ON: 1}
    store.save(slot(NIGHT, runs=("1", "2"), over=True), run("2", NIGHT, RunState.SUCCEEDED, attempt=2))
    assert days(store)[0] == {Result.RAN: 1}
    store.save(slot(NIGHT, runs=("1", "2", "3")), run("3", NIGHT, RunState.FAILED, attempt=3))
    assert days(store)[0] == {Result.FAILED: 1}


def test_a_missed_slot_that_was_run_afterwards_is_told_apart(store: Store) -> None:
    store.save(slot(NIGHT, Outcome.MISSED, backfill="1"), run("1", NIGHT, RunState.RUNNING))
    assert days(store)[0] == {Result.GOING_ON: 1}
    store.save(run("1", NIGHT, RunState.FAILED))
    assert days(store)[0] == {Result.MISSED: 1}
    store.save(slot(NIGHT, Outcome.MISSED, backfill="2"), run("2", NIGHT, RunState.SUCCEEDED))
    assert days(store)[0] == {Result.BACKFILLED: 1}


def test_what_changes_later_is_counted_anew_and_the_rest_is_not(store: Store) -> None:
    first, second = slot(NIGHT, runs=("1",)), slot(NIGHT + DAY, Outcome.MISSED)
    store.save(first, second, run("1", NIGHT, RunState.RUNNING))
    before = store.days.counts("s", BOUNDS)
    store.save(run("1", NIGHT, RunState.FAILED), run("other", NIGHT, RunState.FAILED).model_copy(update={"slot": None}))
    after = store.days.counts("s", BOUNDS)
    assert [dict(day) for day in after] == [{Result.FAILED: 1}, {Result.MISSED: 1}]
    assert after[1] is before[1]
    store.remove(second)
    assert days(store) == [{Result.FAILED: 1}, {}]
    store.save(*(slot(NIGHT + timedelta(seconds=number), schedule="other") for number in range(6000)))
    store.save(slot(NIGHT + DAY))
    assert days(store) == [{Result.FAILED: 1}, {Result.RAN: 1}]
