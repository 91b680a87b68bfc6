"""Make the runs of slots: when their turn has come, and again when their tool has failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mao import running, unveiling
from mao.errors import BadArguments, CommandNotFound, MaoError, NotInstalled, RunEnded
from mao.run import UNENDED, Run, RunState
from mao.schedule import Outcome, Overlap, Schedule, ScheduleState, Slot
from mao.values import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from mao.document import Document
    from mao.local_node import LocalNode

_TRIED_AGAIN = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.LOST})


@dataclass(slots=True)
class Standing:
    """How a schedule stands while its slots get their outcomes; what has changed is stored by the caller.

    The caller holds the schedule's lock. A slot whose run is queued or running is changed by that run's end alone
    (`ledger`), so none is put here.
    """

    schedule: Schedule
    live: dict[str, Slot]
    """Its slots about which something is still to be done, by their keys, which are in their order."""
    going_on: list[str] = field(default_factory=list)
    """The ids of its runs that have not ended, but for those that somebody asked for afterwards."""
    changed: dict[str, Document] = field(default_factory=dict)

    def put(self, slot: Slot, *runs: Run) -> None:
        if self.live.get(slot.key) == slot:
            return
        if slot.over:
            self.live.pop(slot.key, None)
        else:
            self.live[slot.key] = slot
        self.changed |= {slot.key: slot} | {run.id: run for run in runs}

    def waiting(self) -> list[Slot]:
        """The slots that wait for their turn, oldest first."""
        return [self.live[key] for key in sorted(self.live) if not self.live[key].runs]


def bring_on(node: LocalNode, standing: Standing, present: datetime) -> None:
    """Bring each live slot as far as it can be brought now."""
    to_retry: list[Slot] = []
    for slot in list(standing.live.values()):
        if slot.runs and not _goes_on(node, standing, slot, present):
            ended = _after_run(node, standing.schedule, slot, present)
            standing.put(ended)
            to_retry += [ended] if ended.retry_at and ended.retry_at <= present else []
    for slot in to_retry:
        attempt(node, standing, slot, present)
    for slot in standing.waiting():
        _bring_on_waiting(node, standing, slot, present)


def _goes_on(node: LocalNode, standing: Standing, slot: Slot, present: datetime) -> bool:
    """Whether the run of the slot has not ended; one that has waited for too long to be started is ended."""
    if slot.retry_at is not None:
        return False
    run = node.store.run(slot.runs[-1])
    if run is not None and run.state is RunState.QUEUED:
        if standing.schedule.state is ScheduleState.REMOVED:
            running.withdraw(node, run.id)
        elif slot.start_by is not None and present > slot.start_by:
            running.give_up(node, run.id)
        run = node.store.run(run.id)
    if run is None or run.state not in UNENDED:
        return False
    if slot.backfill is None:
        standing.going_on.append(run.id)
    return True


def _after_run(node: LocalNode, schedule: Schedule, slot: Slot, present: datetime) -> Slot:
    """The slot after its run has ended: over, or to be tried again."""
    slot = node.store.slot(slot.schedule, slot.planned) or slot  # as the run's end has left it
    run = node.store.run(slot.runs[-1])
    again = (
        run is not None
        and run.state in _TRIED_AGAIN
        and len(slot.runs) <= schedule.retries
        and schedule.state is ScheduleState.ACTIVE
        and not slot.over
    )
    if not again:
        return slot.model_copy(update={"over": True, "retry_at": None})
    pause = timedelta(seconds=schedule.retry_pause * 2 ** (len(slot.runs) - 1))
    ended = (run.finished_at if run else None) or present
    retry_at = slot.retry_at or ended + pause
    return slot.model_copy(update={"retry_at": min(retry_at, present + pause)})  # later, if the clock was put back


def _bring_on_waiting(node: LocalNode, standing: Standing, slot: Slot, present: datetime) -> None:
    if standing.schedule.state is ScheduleState.REMOVED:
        standing.put(slot.settled(Outcome.CANCELLED, present, "the schedule was removed", over=True))
    elif standing.schedule.state is ScheduleState.PAUSED:
        standing.put(slot.settled(Outcome.PAUSED, present, standing.schedule.note, over=True))
    elif slot.start_by is not None and present > slot.start_by:
        going_on = f"run {standing.going_on[0]} was still going on" if standing.going_on else None
        standing.put(slot.settled(Outcome.SKIPPED_LATE, present, going_on, over=True))
    elif not standing.going_on:
        attempt(node, standing, slot, present)
    elif standing.schedule.overlap is Overlap.CANCEL_OLD:
        for run_id in standing.going_on:
            _cancel(node, run_id)


def _cancel(node: LocalNode, run_id: str) -> None:
    if running.find_run(node, run_id).cancel_requested:
        return  # to ask again would wake the daemon, which would ask again
    try:
        running.request_cancel(node, run_id)
    except RunEnded:
        return


def attempt(node: LocalNode, standing: Standing, slot: Slot, present: datetime) -> None:
    """Queue a run for `slot`; if there can be none, that is its outcome."""
    try:
        run = run_for(node, standing.schedule, slot)
    except (NotInstalled, CommandNotFound, BadArguments) as error:
        standing.put(_impossible(slot, present, error))
        return
    standing.put(slot.model_copy(update={"runs": (*slot.runs, run.id), "retry_at": None}), run)
    if slot.backfill is None:
        standing.going_on.append(run.id)


def _impossible(slot: Slot, present: datetime, error: MaoError) -> Slot:
    if slot.outcome is None:
        return slot.settled(Outcome.TOOL_MISSING, present, error.detail, over=True)
    return slot.model_copy(update={"over": True, "retry_at": None, "detail": f"not tried again: {error.detail}"})


def run_for(node: LocalNode, schedule: Schedule, slot: Slot) -> Run:
    """A run for a slot of `schedule`, not stored yet.

    Raises:
        NotInstalled, CommandNotFound
        BadArguments: also if a schedule of the cluster needs a secret that this node does not have.
    """
    asked = schedule.asked_by or schedule.node
    wish = running.Wish(
        schedule.tool,
        schedule.command,
        schedule.arguments,
        publish=schedule.publish,
        asked_by=None if asked == node.config.node else asked,
        schedule=schedule.id,
        slot=slot.planned,
        attempt=len(slot.runs) + 1,
        anywhere=schedule.anywhere,
    )
    run = running.queued(node, wish, new_id())
    if schedule.anywhere:  # then another node may have it
        unveiling.values(node, run)
    return run
