from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.run import ENDED, TRANSITIONS, Publication, PublicationState, Run, RunState
from mao.values import new_id, now

if TYPE_CHECKING:
    from collections.abc import Callable

STATES = st.sampled_from(RunState)


def a_run(state: RunState = RunState.QUEUED) -> Run:
    return Run(
        id=new_id(),
        tool="probe",
        tool_commit="0" * 40,
        command="Write",
        arguments={},
        dataset="probe-data",
        node="alpha",
        publish=True,
        fresh=True,
        state=state,
        created_at=now(),
    )


@given(st.lists(STATES, max_size=12))
def test_a_run_makes_only_the_moves_of_the_table(wanted: list[RunState]) -> None:
    run = a_run()
    for state in wanted:
        if state in TRANSITIONS[run.state]:
            before, run = run, run.moved(state)
            assert run == before.model_copy(update={"state": state})
        else:
            with pytest.raises(AssertionError, match=f"from {run.state} to {state}"):
                run.moved(state)


def reached(start: RunState) -> set[RunState]:
    found = {start}
    while more := {after for state in found for after in TRANSITIONS[state]} - found:
        found |= more
    return found


def test_the_table_has_every_state_and_every_state_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert reached(RunState.QUEUED) == set(RunState)


@pytest.mark.parametrize("state", RunState)
def test_from_every_state_an_end_can_be_reached(state: RunState) -> None:
    assert reached(state) & ENDED


def test_a_run_without_data_to_publish_ends_for_good() -> None:
    for state in (RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT, RunState.LOST):
        assert state in ENDED
        assert TRANSITIONS[state] == frozenset()


def test_what_has_ended_can_at_most_be_published() -> None:
    for state in ENDED:
        assert TRANSITIONS[state] <= {RunState.PUBLISHING, RunState.SUCCEEDED}
    assert ENDED.isdisjoint({RunState.QUEUED, RunState.RUNNING, RunState.PUBLISHING})


def test_nothing_ends_twice_without_going_on_in_between() -> None:
    assert not any(state in after for state, after in TRANSITIONS.items())


def test_a_move_takes_its_changes_along() -> None:
    run = a_run().moved(RunState.FAILED, reason="it could not be started")
    assert (run.state, run.reason) == (RunState.FAILED, "it could not be started")


def test_a_publication_is_changed_only_where_there_is_one() -> None:
    run = a_run()
    with pytest.raises(AssertionError, match="no publication"):
        run.with_publication(state=PublicationState.WAITING)
    run = run.model_copy(update={"publication": Publication(dataset="d", remote="/r")})
    changed = run.with_publication(state=PublicationState.WAITING, cause="unreachable")
    assert changed.publication == Publication(
        dataset="d", remote="/r", state=PublicationState.WAITING, cause="unreachable"
    )


@pytest.mark.parametrize("change", [lambda run: run, lambda run: run.moved(RunState.RUNNING, started_at=now())])
def test_a_run_survives_being_written_and_read(change: Callable[[Run], Run]) -> None:
    run = change(a_run())
    assert Run.model_validate_json(run.model_dump_json()) == run
