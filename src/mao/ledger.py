"""Keep the slot of a run true when the run is started, or ends without: stored together with the run, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import fencing
from mao.run import Run, RunState
from mao.schedule import Outcome, Slot
from mao.values import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from mao.local_node import LocalNode


def slot_of(node: LocalNode, run: Run) -> Slot | None:
    """The slot that `run` was made for."""
    if run.schedule is None or run.slot is None:
        return None
    return fencing.slot_of(node, run) if run.anywhere else node.store.slot(run.schedule, run.slot)


def started(node: LocalNode, run: Run) -> list[Slot]:
    """The slot whose outcome it is that `run` is started now; none for a retry, or a run of its own.

    A slot of the cluster has its outcome in the registry when this returns.

    Raises:
        SlotTaken: the cluster has given it to another run.
        RegistryUnavailable: the cluster cannot be asked; it is to be tried again.
    """
    if run.anywhere:
        fencing.begin(node, run)
        return []
    slot = slot_of(node, run)
    return [slot.started(node.clock())] if slot is not None and slot.outcome is None else []


def too_late(node: LocalNode, run: Run, present: datetime) -> str | None:
    """Why `run`, which is still queued, is not to be started any more; None if it is."""
    slot = slot_of(node, run)
    if slot is None or slot.start_by is None or present <= slot.start_by:
        return None
    if slot.outcome is not None:  # in the cluster it is recorded before the start, which a kill may have come before
        return None
    return f"not started: its slot of {rfc3339(slot.planned)} had to be started by {rfc3339(slot.start_by)}"


def not_started(node: LocalNode, run: Run, state: RunState, detail: str, *, late: bool) -> list[Slot]:
    """The slot whose outcome it is that `run` comes into `state` without having been started."""
    slot = None if run.anywhere else slot_of(node, run)  # what becomes of it in the cluster, `claiming` records
    if run.state is not RunState.QUEUED or slot is None or slot.outcome is not None:
        return []
    outcome = Outcome.SKIPPED_LATE if late else Outcome.TOOL_MISSING
    if state is RunState.CANCELLED and not late:
        outcome = Outcome.CANCELLED
    return [slot.settled(outcome, node.clock(), detail, over=True)]
