"""Schedules of a cluster: every slot has one outcome, and one run at most, whatever becomes of its nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from anywhere import NOTE, break_in_turn, shared
from clusters import Cluster
from crashing import STEPS_OF_SHARED_SLOTS
from etcd_cluster import need_etcd
from mao import running, scheduling, sharing
from mao.errors import SlotTaken
from mao.registry import Edit
from mao.run import RunState
from mao.schedule import Outcome, Overlap
from members import looks
from namespaces import Loopback
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from members import Clock, Member

ONE_HOUR = timedelta(hours=1)


@pytest.mark.long
def test_no_slot_is_lost_or_run_twice_while_nodes_and_leaders_fail_in_turn(tmp_path: Path) -> None:
    need_etcd()
    cluster = Cluster(tmp_path, Loopback(), inbox=True, scripts={"Note": NOTE})
    try:
        cluster.start()
        with shared(cluster) as schedule:
            break_in_turn(cluster, seconds=20, pause=3.5)
            cluster.mend()
            last = max((started.slot for started in schedule.started()), default=schedule.schedule.created_at)
            eventually(lambda: any(started.slot > last for started in schedule.started()), "slots are run again")
            until = sharing.remove(schedule.desk, schedule.schedule).changed_at
            outcomes = schedule.check(until)
            assert outcomes.total() >= 15
            assert schedule.check_published() == outcomes[Outcome.RAN] + outcomes[Outcome.RAN_LATE]
    finally:
        cluster.close()


def test_a_node_killed_at_any_step_of_a_slot_gives_it_one_outcome(tmp_path: Path) -> None:
    need_etcd()
    cluster = Cluster(tmp_path, Loopback(), scripts={"Note": NOTE})
    try:
        cluster.start()
        with shared(cluster) as schedule:
            steps = list(STEPS_OF_SHARED_SLOTS)
            for first in range(0, len(steps), len(cluster.nodes)):  # the last one left comes to its step by itself
                dying = list(zip(cluster.nodes, steps[first:], strict=False))
                for node, step in dying:
                    node.stop()
                    node.start(crash_at=step)
                for node, step in dying:
                    eventually(node.dead, f"the node dies at '{step}'")
                for node, _ in dying:
                    node.start()
            outcomes = schedule.check(sharing.remove(schedule.desk, schedule.schedule).changed_at)
            assert outcomes[Outcome.RAN]
            schedule.check_published()
    finally:
        cluster.close()


def test_of_several_nodes_one_takes_a_slot(join: Callable[..., Member], clock: Clock) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add()

    for _ in range(10):
        clock.next_hour()
        looks(clock, alpha, beta)
        for each in (alpha, beta):
            for run in each.runs(RunState.QUEUED):
                each.end(each.start(run))
        looks(clock, alpha, beta)

    assert alpha.outcomes(schedule) == beta.outcomes(schedule) == [Outcome.RAN] * 10
    assert len(alpha.runs()) + len(beta.runs()) == 10
    assert alpha.runs(), "one node has taken all"
    assert beta.runs(), "one node has taken all"
    assert all(slot.over for slot in alpha.held(schedule))


def test_what_a_dead_node_had_claimed_is_taken_by_another_and_never_started_by_it(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (claimed,) = alpha.runs(RunState.QUEUED)
    looks(clock, beta)
    assert not beta.runs()

    assert alpha.node.lease is not None
    alpha.node.registry.revoke(
        alpha.node.lease
    )  # as it ends by itself when a node is dead, or cut off, for long enough
    eventually(lambda: not alpha.held(schedule))
    looks(clock, beta)
    (run,) = beta.runs(RunState.QUEUED)
    beta.start(run)
    running.start(alpha.node, claimed.id)

    ended = running.find_run(alpha.node, claimed.id)
    assert ended.state is RunState.CANCELLED
    assert "node 'beta' has taken its slot" in (ended.reason or "")
    looks(clock, alpha, beta)
    assert [(slot.outcome, slot.node, slot.runs) for slot in alpha.slots(schedule)] == [
        (Outcome.RAN, "beta", (run.id,))
    ]


def test_a_claim_that_was_lost_is_not_started_though_nobody_else_has_the_slot(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (claimed,) = alpha.runs(RunState.QUEUED)
    lost = alpha.node.lease
    assert lost is not None
    alpha.node.registry.revoke(lost)
    eventually(lambda: not alpha.held(schedule))

    with pytest.raises(SlotTaken, match="was lost"):
        alpha.start(claimed)

    eventually(lambda: alpha.node.lease not in {None, lost}, "the node is announced again")
    looks(clock, alpha)
    newest = alpha.runs(RunState.QUEUED)[-1]
    assert newest.id != claimed.id
    alpha.start(newest)
    assert alpha.held(schedule)[0].runs == (newest.id,)


def test_a_start_of_which_no_answer_came_is_found_by_looking(join: Callable[..., Member], clock: Clock) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (claimed,) = alpha.runs(RunState.QUEUED)
    alpha.start(claimed)
    first = alpha.node.registry.get(alpha.key(schedule, clock.present.replace(second=0, microsecond=0)))

    alpha.start(claimed)  # as after a kill before it was recorded here

    assert alpha.held(schedule)[0].outcome is Outcome.RAN
    again = alpha.node.registry.get(alpha.key(schedule, clock.present.replace(second=0, microsecond=0)))
    assert first == again


def test_a_claim_whose_run_was_not_stored_before_a_kill_is_made_anew(join: Callable[..., Member], clock: Clock) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (slot,) = alpha.held(schedule)
    entry = alpha.node.registry.get(alpha.key(schedule, slot.planned))
    assert entry is not None
    unknown = slot.model_copy(update={"runs": ("unknown",)}).model_dump_json(exclude_none=True).encode()
    alpha.node.registry.write(Edit(entry.key, unknown, entry.revision), lease=alpha.node.lease)

    looks(clock, alpha)

    assert alpha.held(schedule)[0].runs == (alpha.runs(RunState.QUEUED)[-1].id,)


def test_after_an_outage_of_all_nodes_every_slot_has_an_outcome_and_only_the_newest_runs(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add()
    clock.passes(hours=250, minutes=10)

    looks(clock, alpha, beta)

    held = alpha.held(schedule)
    assert [slot.planned for slot in held] == [schedule.created_at + number * ONE_HOUR for number in range(1, 251)]
    assert [slot.outcome for slot in held[:-1]] == [Outcome.MISSED] * 249
    assert held[-1].outcome is None
    assert len(alpha.runs()) + len(beta.runs()) == 1
    runner = alpha if alpha.runs() else beta
    runner.start(runner.runs()[0])
    looks(clock, alpha, beta)
    assert alpha.outcomes(schedule) == beta.outcomes(schedule) == [*[Outcome.MISSED] * 249, Outcome.RAN_LATE]


def test_slots_of_a_time_in_which_no_node_was_up_were_missed(join: Callable[..., Member], clock: Clock) -> None:
    with_tool = join("alpha")
    schedule = with_tool.add()
    clock.passes(hours=3, minutes=50)
    with_tool.minder._since = None
    late = join("beta")  # sees them when they are too late

    late.look()
    clock.passes(seconds=3)
    late.look()

    missed = late.held(schedule)[0]
    assert missed.outcome is Outcome.MISSED
    assert missed.detail == "no node that has the tool was up, or the registry was away"


def test_what_could_not_be_started_in_time_is_skipped_and_its_run_ended(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (claimed,) = alpha.runs(RunState.QUEUED)

    clock.next_hour()
    looks(clock, alpha)

    assert running.find_run(alpha.node, claimed.id).state is RunState.CANCELLED
    assert alpha.outcomes(schedule)[0] == Outcome.SKIPPED_LATE
    assert "had to be started by" in (alpha.slots(schedule)[0].detail or "")


def test_a_slot_for_which_no_node_has_the_tool_says_so_once_it_is_too_late(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    installation = alpha.node.store.installation("probe")
    assert installation is not None
    alpha.node.store.remove(installation)
    eventually(lambda: b'"tools":{}' in alpha.node.mirror.entries("/mao/v1/nodes/")[0].value)

    clock.next_hour()
    looks(clock, alpha)
    assert not alpha.held(schedule)  # a node that has it may still come
    clock.next_hour()
    looks(clock, alpha)

    (slot,) = alpha.held(schedule)
    assert slot.outcome is Outcome.TOOL_MISSING
    assert slot.detail == "no node that is up has the tool 'probe' installed"


@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.ALLOW])
def test_a_slot_is_skipped_while_a_run_on_another_node_goes_on_unless_that_is_allowed(
    join: Callable[..., Member], clock: Clock, overlap: Overlap
) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add(overlap=overlap)
    clock.next_hour()
    looks(clock, alpha)
    going_on = alpha.start(alpha.runs()[0])

    clock.next_hour()
    looks(clock, beta)
    skips = overlap is Overlap.SKIP
    assert alpha.held(schedule)[1].outcome == (Outcome.SKIPPED_OVERLAP if skips else None)
    assert bool(beta.runs()) is not skips

    alpha.end(going_on)
    looks(clock, alpha, beta)
    clock.next_hour()
    looks(clock, beta)
    assert beta.runs(RunState.QUEUED)


def test_slots_that_the_registry_has_lost_are_put_back_from_the_ledger(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add()
    for _ in range(3):
        clock.next_hour()
        looks(clock, alpha, beta)
        for each in (alpha, beta):
            for run in each.runs(RunState.QUEUED):
                each.end(each.start(run))
        looks(clock, alpha, beta)
    before = beta.held(schedule)
    for entry in beta.node.registry.entries(f"/mao/v1/slots/{schedule.id}/")[0][1:]:
        beta.node.registry.write(Edit(entry.key, None, entry.revision))

    beta.minder._since = None  # as after it was out of touch
    looks(clock, beta)

    assert beta.held(schedule) == before
    assert len(alpha.runs()) + len(beta.runs()) == 3


def test_what_is_due_while_it_is_paused_is_recorded_as_paused_also_if_no_node_was_up(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha = join("alpha")
    schedule = alpha.add()
    clock.passes(minutes=30)
    scheduling.pause(alpha.node, schedule.id, "the sensor is being mended")
    clock.next_hour()
    looks(clock, alpha)
    clock.passes(hours=119)

    scheduling.resume(alpha.node, schedule.id)
    clock.next_hour()
    looks(clock, alpha)

    held = alpha.held(schedule)
    assert [slot.outcome for slot in held] == [*[Outcome.PAUSED] * 120, None]
    assert {slot.detail for slot in held[:-1]} == {"the sensor is being mended"}


def test_a_removed_schedule_starts_nothing_more(join: Callable[..., Member], clock: Clock) -> None:
    alpha, beta = join("alpha"), join("beta")
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)
    (claimed,) = alpha.runs(RunState.QUEUED)

    scheduling.remove(alpha.node, schedule.id)
    clock.passes(hours=5)
    looks(clock, alpha, beta)

    assert running.find_run(alpha.node, claimed.id).state is RunState.CANCELLED
    assert beta.outcomes(schedule) == [Outcome.CANCELLED]
    assert not beta.runs()
