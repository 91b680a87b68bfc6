from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from mao.run import PublicationState, RunState
from mao.schedule import Outcome
from mao.verdict import Day, Result, Verdict, result, verdict

NIGHT = datetime(2026, 11, 27, tzinfo=UTC)


def day(**results: int) -> Day:
    found = {Result(name.replace("_", "-")): count for name, count in results.items()}
    return Day(
        day=date(2026, 11, 27),
        begins=NIGHT,
        ends=NIGHT,
        slots=sum(found.values()),
        results=found,
        verdict=verdict(found),
    )


@pytest.mark.parametrize(
    ("outcome", "run", "publication", "expected"),
    [
        ("waiting", None, None, Result.GOING_ON),
        (Outcome.RAN, None, None, Result.RAN),
        (Outcome.RAN, RunState.SUCCEEDED, PublicationState.KEPT, Result.RAN),
        (Outcome.RAN_LATE, RunState.SUCCEEDED, PublicationState.PUBLISHED, Result.RAN_LATE),
        (Outcome.RAN, RunState.RUNNING, None, Result.GOING_ON),
        (Outcome.RAN, RunState.PUBLISHING, PublicationState.PENDING, Result.GOING_ON),
        (Outcome.RAN, RunState.PUBLISHING, PublicationState.WAITING, Result.UNPUBLISHED),
        (Outcome.RAN, RunState.UNPUBLISHED, PublicationState.BLOCKED, Result.UNPUBLISHED),
        (Outcome.RAN, RunState.FAILED, None, Result.FAILED),
        (Outcome.RAN_LATE, RunState.TIMED_OUT, None, Result.FAILED),
        (Outcome.RAN, RunState.LOST, None, Result.FAILED),
        (Outcome.RAN, RunState.CANCELLED, None, Result.CANCELLED),
        (Outcome.MISSED, None, None, Result.MISSED),
        (Outcome.MISSED, RunState.SUCCEEDED, PublicationState.PUBLISHED, Result.BACKFILLED),
        (Outcome.MISSED, RunState.FAILED, None, Result.MISSED),
        (Outcome.SKIPPED_LATE, RunState.CANCELLED, None, Result.SKIPPED_LATE),
    ],
)
def test_a_slot_whose_run_failed_has_measured_nothing(
    outcome: str, run: RunState | None, publication: PublicationState | None, expected: Result
) -> None:
    assert result(outcome, run, publication) is expected


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_a_result_and_has_a_verdict(outcome: Outcome) -> None:
    assert verdict({result(outcome): 1}) in Verdict


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (day(), Verdict.NONE),
        (day(ran=24), Verdict.COMPLETE),
        (day(ran=12, paused=12), Verdict.COMPLETE),
        (day(paused=24), Verdict.PAUSED),
        (day(ran=23, going_on=1), Verdict.GOING_ON),
        (day(ran=23, skipped_overlap=1), Verdict.DOUBTFUL),
        (day(ran=22, unpublished=1, missed=1), Verdict.MISSING),
        (day(ran=23, failed=1), Verdict.MISSING),
    ],
)
def test_a_day_is_as_its_worst_slot(found: Day, expected: Verdict) -> None:
    assert found.verdict is expected


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (day(), "no slot"),
        (day(missed=1), "missed"),
        (day(ran=2), "both ran"),
        (day(ran=24), "all 24 ran"),
        (day(ran=21, failed=1, missed=2), "2 missed, 1 failed, 21 ran of 24"),
    ],
)
def test_a_day_says_what_became_of_its_slots_the_worst_first(found: Day, words: str) -> None:
    assert found.words == words
