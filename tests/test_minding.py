"""What the registry keeps of a cluster's schedules stays small, and nothing is lost by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import scheduling
from mao.run import RunState
from mao.schedule import Outcome, ScheduleState
from members import looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from members import Clock, Member


def test_the_oldest_slots_go_from_the_registry_and_stay_in_all_ledgers(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha", cluster__slot_limit="30"), join("beta", cluster__slot_limit="30")
    schedule = alpha.add()
    clock.passes(hours=200, minutes=5)
    looks(clock, alpha, beta)

    for each in (alpha, beta):
        ledger = [slot for slot in each.slots(schedule) if slot.outcome]
        assert len(ledger) == 199
        assert {slot.outcome for slot in ledger} == {Outcome.MISSED}
    assert len(alpha.held(schedule)) == 200, "others may not have had the time to copy the oldest"
    clock.passes(hours=1)
    looks(clock, alpha, beta)
    known = len(alpha.slots(schedule))
    held = alpha.held(schedule)
    assert 30 <= len(held) < 30 + 100
    shared = alpha.shared(schedule)
    assert shared is not None
    assert shared.reckoned_until < held[0].planned
    again = join("gamma")
    looks(clock, again, alpha, beta)
    assert len(alpha.slots(schedule)) == known, "a slot was made anew"


def test_a_removed_schedule_goes_from_the_registry_with_its_slots_and_stays_known(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha", cluster__keep_slots="2"), join("beta", cluster__keep_slots="2")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha, beta)
    for each in (alpha, beta):
        for run in each.runs(RunState.QUEUED):
            each.end(each.start(run))
    scheduling.remove(alpha.node, schedule.id)
    clock.passes(hours=47)
    looks(clock, alpha, beta)
    assert alpha.held(schedule)

    clock.passes(hours=2)
    looks(clock, alpha, beta)

    assert not alpha.node.registry.entries("/mao/v1/schedules/")[0]
    assert not alpha.held(schedule)
    for each in (alpha, beta):
        assert each.outcomes(schedule) == [Outcome.RAN]
        assert scheduling.find_schedule(each.node, schedule.id).state is ScheduleState.REMOVED


def test_a_schedule_that_went_while_a_node_was_away_is_known_there_as_removed(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha", cluster__keep_slots="1"), join("beta")
    schedule = alpha.add()
    looks(clock, beta)
    beta.minder._since = None
    scheduling.remove(alpha.node, schedule.id)
    clock.passes(days=2)
    looks(clock, alpha)

    looks(clock, beta)

    assert scheduling.find_schedule(beta.node, schedule.id).state is ScheduleState.REMOVED
