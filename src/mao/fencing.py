"""Have the cluster say which run a slot of its schedules has: before the tool is started, before data is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import recording
from mao.agreeing import written
from mao.catalogue import SLOTS
from mao.document import body_of
from mao.errors import RegistryUnavailable, SlotTaken
from mao.queueing import asked_for
from mao.registry import Edit
from mao.run import Run, RunState
from mao.schedule import STARTED, Slot, slot_key
from mao.values import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mao.agreeing import Look
    from mao.local_node import LocalNode


def _key(run: Run) -> str:
    assert run.schedule is not None  # noqa: S101  # for the type checker
    assert run.slot is not None  # noqa: S101  # likewise
    return SLOTS + slot_key(run.schedule, run.slot)


def slot_of(node: LocalNode, run: Run) -> Slot | None:
    """The slot that `run` was made for, if the registry, as far as it is known here, gives it to that run."""
    try:
        entry = node.mirror.get(_key(run))
    except RegistryUnavailable:
        return None
    slot = Slot.model_validate_json(entry.value) if entry else None
    return slot if slot is not None and run.id in slot.runs else None


def waits(node: LocalNode, run: Run) -> bool:
    """Whether `run` cannot be started before the registry is asked; what others do must not wait for that."""
    if not run.anywhere or run.state is not RunState.QUEUED:
        return False
    slot = slot_of(node, run)
    return slot is None or slot.outcome is None


def begin(node: LocalNode, run: Run) -> None:
    """Record that it is `run` that is started for its slot: from then on no other one can be, on no node.

    Raises:
        SlotTaken: another node has the slot, or may have it, as the claim of this one has ended with its lease.
        RegistryUnavailable: it may have been recorded, or not; to be called again.
    """

    def begun(look: Look) -> list[Edit]:
        entry = look(_key(run))
        slot = Slot.model_validate_json(entry.value) if entry else None
        if entry is None or slot is None or run.id not in slot.runs or slot.outcome not in {None, *STARTED}:
            whose = f"node '{slot.node}' has taken its slot" if slot else "the claim to its slot was lost"
            raise SlotTaken(f"{whose}, as this one was out of touch with the registry for too long")
        if slot.outcome is not None:  # an earlier call did it
            return []
        return [Edit(entry.key, body_of(slot.started(node.clock())).encode(), entry.revision)]

    written(node, begun)


def held_back(node: LocalNode, runs: Iterable[Run]) -> set[str]:
    """The ids of those of `runs` that may not be published now, or not at all; why, is recorded."""
    found = set()
    for run in runs:
        try:
            if run.anywhere and run.publish:
                _check(node, run)
        except RegistryUnavailable as error:
            recording.failed(node, [run], error)
            found.add(run.id)
        except SlotTaken as error:
            recording.blocked(node, [run], error)
            found.add(run.id)
    return found


def _check(node: LocalNode, run: Run) -> None:
    """Refuse to publish the data of a run that does not have its slot, unless somebody wants it all the same.

    Raises:
        SlotTaken, RegistryUnavailable
    """
    if asked_for(run) and run.publication is not None and run.publication.cause == SlotTaken.code():
        return
    if not node.mirror.in_touch():
        raise RegistryUnavailable("The registry is away, which says whose data the slot has. It is asked again.")
    entry = node.mirror.get(_key(run))
    # Of a slot that is no longer in the registry, this node's ledger has what was said of it there.
    text = entry.value if entry else node.store.body("slot", _key(run).removeprefix(SLOTS))
    slot = Slot.model_validate_json(text) if text else None
    if slot is None or run.id not in slot.runs:
        other = f"run {', '.join(slot.runs)} of node '{slot.node}'" if slot and slot.runs else "no run"
        raise SlotTaken(
            f"Its slot of {rfc3339(run.slot or run.created_at)} has {other}, as the registry says. Look at both; 'mao"
            f" run publish {run.id}' publishes the data of this one, too."
        )
