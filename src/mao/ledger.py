"""Keep the slot of a run true when the run is started, or ends without: stored together with the run, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.run import Run, RunState
from mao.schedule import ON_TIME, Outcome, Slot
from mao.values import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from mao.local_node import LocalNode


def slot_of(node: LocalNode, run: Run) -> Slot | None:
    """The slot that `run` was made for."""
    return node.store.slot(run.schedule, run.slot) if run.schedule and run.slot else None


def started(node: LocalNode, run: Run) -> list[Slot]:
    """The slot whose outcome it is that `run` is started now; none for a retry, or a run of its own."""
    slot = slot_of(node, run)
    if slot is None or slot.outcome is not None:
        return []
    at = node.clock()
    late = at - slot.due_at > ON_TIME or slot.backfill is not None
    return [slot.settled(Outcome.RAN_LATE if late else Outcome.RAN, at, started_at=at)]


def too_late(node: LocalNode, run: Run, present: datetime) -> str | None:
    """Why `run`, which is still queued, is not to be started any more; None if it is."""
    slot = slot_of(node, run)
    if slot is None or slot.outcome is not None or slot.start_by is None or present <= slot.start_by:
        return None
    return f"not started: its slot of {rfc3339(slot.planned)} had to be started by {rfc3339(slot.start_by)}"


def not_started(node: LocalNode, run: Run, state: RunState, detail: str, *, late: bool) -> list[Slot]:
    """The slot whose outcome it is that `run` comes into `state` without having been started."""
    slot = slot_of(node, run)
    if run.state is not RunState.QUEUED or slot is None or slot.outcome is not None:
        return []
    outcome = Outcome.SKIPPED_LATE if late else Outcome.TOOL_MISSING
    if state is RunState.CANCELLED and not late:
        outcome = Outcome.CANCELLED
    return [slot.settled(outcome, node.clock(), detail, over=True)]
