"""Every slot has one outcome and one run at most, whatever clocks, crashes, pauses and edits do."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mao import running, scheduling
from mao.rule import Rule
from mao.run import RunState
from mao.schedule import STARTED, Overlap, Schedule
from scheduled import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CRONS = {"* * * * *": 60, "*/7 * * * *": 420, "0 * * * *": 3600, "daily": 86400, "*/20 * * * * *": 20}
"""Rules, and about how many seconds lie between their slots."""


OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["pass", "pass", "step", "sleep"]), st.floats(0.01, 30)),  # so many periods
    st.tuples(st.just("step"), st.floats(-30, -0.01)),
    st.tuples(st.just("seconds"), st.floats(-90, 90)),
    st.tuples(
        st.sampled_from(["look", "crash", "start", "start", "end", "fail", "cancel", "pause", "resume"]), st.none()
    ),
    st.tuples(st.just("edit"), st.sampled_from(list(CRONS))),
)


class Expected:
    """Which slots there must be: those of each rule, for the time in which it went."""

    def __init__(self, schedule: Schedule) -> None:
        self.parts: list[tuple[str, datetime, datetime]] = []
        self.cron, self.since, self.seen = schedule.cron, schedule.reckoned_until, schedule.reckoned_until

    def follow(self, schedule: Schedule) -> None:
        """The schedule as it is after a step: with another rule, or set back with the clock."""
        if schedule.reckoned_until < self.seen:
            self._cut(schedule.reckoned_until)
            self.since = min(self.since, schedule.reckoned_until)
        self.seen = schedule.reckoned_until
        if schedule.cron != self.cron:
            self._cut(schedule.reckoned_until)
            self.parts.append((self.cron, self.since, schedule.reckoned_until))
            self.cron, self.since = schedule.cron, schedule.reckoned_until

    def _cut(self, until: datetime) -> None:
        self.parts = [(cron, a, min(b, until)) for cron, a, b in self.parts if a < until]

    def planned(self, until: datetime) -> Iterator[datetime]:
        for cron, first, last in [*self.parts, (self.cron, self.since, until)]:
            yield from Rule.parse(cron, "UTC").moments(first, last)


def _perform(place: Place, schedule: Schedule, name: str, value: Any) -> None:
    if name in {"pass", "step", "sleep", "seconds"}:
        period = 1 if name == "seconds" else CRONS[scheduling.find_schedule(place.node, schedule.id).cron]
        place.present += timedelta(seconds=value * period)
    acts: dict[str, Callable[[], object]] = {
        "pass": place.look,
        "sleep": place.crash,
        "look": place.look,
        "crash": place.crash,
        "start": place.start_one,
        "end": place.end_one,
        "fail": lambda: place.end_one(RunState.FAILED),
        "cancel": lambda: [running.request_cancel(place.node, run.id) for run in place.runs(RunState.QUEUED)[:1]],
        "pause": lambda: scheduling.pause(place.node, schedule.id, "a pause"),
        "resume": lambda: scheduling.resume(place.node, schedule.id),
        "edit": lambda: scheduling.edit(place.node, schedule.id, {"cron": value}),
    }
    if name in acts:
        acts[name]()


@given(
    st.sampled_from(list(CRONS)),
    st.sampled_from(list(Overlap)),
    st.integers(0, 2),
    st.lists(OPERATIONS, max_size=25),
)
@settings(max_examples=60, deadline=None)
def test_each_slot_has_one_outcome_and_one_run_at_most_whatever_happens(
    cron: str, overlap: Overlap, retries: int, operations: list[tuple[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        place = Place(Path(home) / "home")
        schedule = place.add(cron=cron, overlap=overlap, retries=retries)
        expected = Expected(schedule)
        for name, value in operations:
            _perform(place, schedule, name, value)
            expected.follow(scheduling.find_schedule(place.node, schedule.id))
        place.look()
        expected.follow(scheduling.find_schedule(place.node, schedule.id))
        scheduling.pause(place.node, schedule.id)  # what failed is not tried again
        expected.follow(scheduling.find_schedule(place.node, schedule.id))
        for _ in range(40):  # until nothing goes on any more
            place.run_all()
            place.look()

        _check(place, schedule, expected, retries)
        place.close()


def _check(place: Place, schedule: Schedule, expected: Expected, retries: int) -> None:
    slots = {slot.planned: slot for slot in place.slots(schedule)}
    until = scheduling.find_schedule(place.node, schedule.id).reckoned_until
    assert set(expected.planned(until)) - slots.keys() == set()
    made: dict[datetime | None, list[str]] = {}
    for run in place.runs():
        made.setdefault(run.slot, []).append(run.id)
        assert run.state is RunState.SUCCEEDED or run.state in {RunState.FAILED, RunState.CANCELLED}
    for planned, slot in slots.items():
        assert slot.outcome is not None, slot
        assert slot.over, slot
        assert list(slot.runs) == made.pop(planned, [])
        assert len(slot.runs) <= 1 + retries
        started = [running.find_run(place.node, run_id).started_at for run_id in slot.runs]
        assert (slot.outcome in STARTED) == any(started), slot
    assert made == {}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "home")
    yield made
    made.close()


def test_a_slot_that_is_due_is_started_with_its_moment_and_recorded_when_it_is(place: Place) -> None:
    schedule = place.add(cron="*/10 * * * *", publish=True)
    place.passes(minutes=10)
    (run,) = place.runs()
    assert (run.schedule, run.slot, run.publish, run.attempt) == (schedule.id, place.present, True, 1)
    assert place.outcomes(schedule) == [None]
    place.start_one()
    (slot,) = place.slots(schedule)
    assert (slot.outcome, slot.runs, slot.started_at, slot.over) == ("ran", (run.id,), place.present, False)
    place.end_one()
    place.look()
    assert place.slots(schedule)[0].over


def test_nothing_is_due_before_its_moment_or_for_what_is_past(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    place.passes(minutes=59, seconds=59)
    assert place.slots(schedule) == []
    scheduling.edit(place.node, schedule.id, {"cron": "59 * * * *"})
    place.look()
    assert place.slots(schedule) == []


def test_after_an_outage_the_newest_slot_runs_late_and_the_others_were_missed(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    place.close()
    place.present += timedelta(hours=4, minutes=30)
    place.crash()
    place.passes(seconds=1)
    place.run_all()
    place.look()
    assert place.outcomes(schedule) == ["missed", "missed", "missed", "ran-late"]
    assert len(place.runs()) == 1


@pytest.mark.parametrize(
    ("cron", "more", "hours", "outcome"),
    [
        ("0 12 * * *", "", 23, "ran-late"),
        ("0 12 1 * *", "", 23, "ran-late"),
        ("0 12 1 * *", "", 25, "missed"),
        ("0 12 * * *", "Lateness: {Backfill: never}", 1, "missed"),
        ("0 12 * * *", "Lateness: {Max: 2 h}", 1, "ran-late"),
        ("0 12 * * *", "Lateness: {Max: 2 h}", 3, "missed"),
        ("0 12 * * *", "Lateness: {Backfill: allowed}", 23, "ran-late"),
    ],
)
def test_how_late_a_slot_may_run_is_said_by_its_period_a_day_and_its_tool(
    tmp_path: Path, cron: str, more: str, hours: int, outcome: str
) -> None:
    place = Place(tmp_path / "home", more)
    place.present -= timedelta(hours=1)
    schedule = place.add(cron=cron)
    place.present += timedelta(hours=1 + hours)
    place.crash()
    place.look()
    place.run_all()
    assert place.outcomes(schedule) == [outcome]
    place.close()


def test_a_run_that_waits_for_too_long_is_not_started_and_its_slot_says_so(place: Place) -> None:
    schedule = place.add(cron="*/10 * * * *")
    place.passes(minutes=10)
    place.passes(minutes=11)
    (run, _) = place.runs()
    assert (run.state, place.outcomes(schedule)[0]) == ("cancelled", "skipped-late")
    assert run.reason is not None
    assert "had to be started by" in run.reason


@pytest.mark.parametrize(
    ("overlap", "during", "after"),
    [
        (Overlap.SKIP, ["ran", "skipped-overlap", "skipped-overlap"], ["ran", "skipped-overlap", "skipped-overlap"]),
        (Overlap.QUEUE_ONE, ["ran", None, "skipped-overlap"], ["ran", "ran-late", "skipped-overlap"]),
        (Overlap.QUEUE_ALL, ["ran", None, None], ["ran", "ran-late", "ran"]),
        (Overlap.CANCEL_OLD, ["ran", "skipped-overlap", None], ["ran", "skipped-overlap", "ran"]),
        (Overlap.ALLOW, ["ran", "ran", None], ["ran", "ran", "ran"]),
    ],
)
def test_what_becomes_of_a_slot_while_a_run_goes_on_is_what_the_schedule_says(
    place: Place, overlap: Overlap, during: list[str | None], after: list[str | None]
) -> None:
    schedule = place.add(cron="*/10 * * * *", overlap=overlap)
    place.passes(minutes=10)
    place.start_one()
    place.passes(minutes=10)
    place.start_one()
    place.passes(minutes=10)
    assert place.outcomes(schedule) == during
    if overlap is Overlap.CANCEL_OLD:
        assert place.runs(RunState.RUNNING)[0].cancel_requested
    for _ in range(3):
        place.run_all()
        place.look()
    assert place.outcomes(schedule) == after


def test_paused_slots_are_recorded_as_such_and_resuming_starts_nothing_for_them(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    scheduling.pause(place.node, schedule.id, "the source is being moved")
    place.passes(hours=2)
    place.present += timedelta(minutes=30)
    scheduling.resume(place.node, schedule.id)
    place.passes(minutes=29)
    assert place.outcomes(schedule) == ["paused", "paused"]
    assert place.slots(schedule)[0].detail == "the source is being moved"
    place.passes(minutes=2)
    assert len(place.runs()) == 1


def test_a_slot_of_a_tool_that_is_gone_says_so(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    installation = place.node.store.installation("probe")
    assert installation is not None
    place.node.store.remove(installation)
    place.passes(hours=1)
    assert place.outcomes(schedule) == ["tool-missing"]
    assert "not installed" in (place.slots(schedule)[0].detail or "")


def test_a_failed_run_is_tried_again_with_growing_pauses_as_often_as_asked(place: Place) -> None:
    schedule = place.add(cron="daily", retries=2, retry_pause=60)
    place.passes(hours=12)
    made = []
    for pause in (0, 60, 120, 240):
        place.passes(seconds=pause)
        made.append(len(place.runs()))
        place.run_all(RunState.FAILED)
        place.look()
        place.passes(seconds=1)
    (slot,) = place.slots(schedule)
    assert made == [1, 2, 3, 3]
    assert (slot.outcome, len(slot.runs), slot.over) == ("ran", 3, True)
    assert [run.attempt for run in place.runs()] == [1, 2, 3]


def test_a_failed_slot_is_not_tried_again_once_the_next_is_due(place: Place) -> None:
    schedule = place.add(cron="* * * * *", retries=5, retry_pause=3600)
    place.passes(minutes=1)
    place.run_all(RunState.FAILED)
    place.look()
    assert place.slots(schedule)[0].retry_at
    place.passes(minutes=1)
    assert place.slots(schedule)[0].over
    assert len(place.runs()) == 2


def test_a_clock_that_is_set_back_neither_doubles_nor_loses_a_slot(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    place.passes(hours=1)
    place.run_all()
    place.present += timedelta(days=200, minutes=30)  # a wrong clock
    place.look()
    place.run_all()
    wrong = len(place.slots(schedule))
    place.present -= timedelta(days=200, minutes=30)
    place.crash()
    place.look()
    kept = place.slots(schedule)
    assert wrong > 4_800
    assert [slot.outcome for slot in kept] == ["ran", "ran-late"]
    assert kept[1].planned - place.present > timedelta(days=199)
    for _ in range(3):
        place.passes(hours=1)
        place.run_all()
    assert place.outcomes(schedule) == ["ran"] * 4 + ["ran-late"]


def test_removing_a_schedule_starts_nothing_more_and_keeps_what_became_of_its_slots(place: Place) -> None:
    schedule = place.add(cron="* * * * *", overlap=Overlap.QUEUE_ALL)
    place.passes(minutes=1)
    place.passes(minutes=1)
    scheduling.remove(place.node, schedule.id)
    place.passes(minutes=5)
    place.run_all()
    place.look()
    assert place.outcomes(schedule) == ["cancelled", "cancelled"]
    assert [run.state for run in place.runs()] == ["cancelled"]


def test_a_run_that_starts_while_its_schedule_is_removed_goes_on(place: Place) -> None:
    schedule = place.add(cron="* * * * *")
    place.passes(minutes=1)
    [run] = place.runs(RunState.QUEUED)
    scheduling.remove(place.node, schedule.id)

    place.start_one()
    running.withdraw(place.node, run.id)  # as whoever has seen it queued just before

    place.end_one()
    place.look()
    assert place.outcomes(schedule) == ["ran"]
