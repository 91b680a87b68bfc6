"""Mind the schedules of the cluster while this node serves: look when something is due, and keep the registry small."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from mao.agenda import Agenda
from mao.catalogue import SCHEDULES, SLOTS, schedule_key, slots_below
from mao.claiming import AGAIN, Looking, Remembered
from mao.document import body_of
from mao.errors import Denied, RegistryFull, RegistryUnavailable, RightMissing, StaleRevision
from mao.ranking import live_nodes, ranked
from mao.registry import Edit
from mao.schedule import Schedule, ScheduleState, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from mao.local_node import LocalNode
    from mao.run import Run

log = logging.getLogger("mao.minding")

_MOST_SCHEDULES = 1000
_BATCH = 50
"""Slots that the registry holds more than it has to: to delete each on its own would be a write more for each."""
_UNTIL_COPIED = timedelta(minutes=10)
"""Until every node that is in touch has long had an outcome in its own ledger."""
_MOST_DELETED = 99
"""In one write, with the schedule itself."""


class Minder:
    """Has the node do its part: `due` is for the daemon's loop, `advance` for its threads."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._agenda = Agenda()
        self._remembered: dict[str, Remembered] = {}
        self._wanted: set[str] = set()
        self._since: datetime | None = None
        self._position = 0

    def first(self) -> datetime | None:
        """When something is to be done, if nothing changes before."""
        return self._agenda.first() if self._since is not None else None

    def due(self, runs: Iterable[Run]) -> list[str]:
        """The schedules for which something is to be done; none while the registry is away.

        Args:
            runs: this node's, about which something is still to be done.
        """
        node = self._node
        if not node.mirror.in_touch():
            self._since = None
            return []
        present = node.clock()
        if self._since is None:  # there may be gaps: all is looked at from where all is known to be settled
            self._since, self._position = present, node.mirror.position
            self._remembered.clear()
            kept = node.store.schedules(ScheduleState.ACTIVE, ScheduleState.PAUSED)
            self._wanted |= {schedule.id for schedule in kept if schedule.anywhere}
            self._wanted |= {entry.key.removeprefix(SCHEDULES) for entry in node.mirror.entries(SCHEDULES)}
        changes, self._position = node.mirror.changed_since(self._position)
        keys = [change.key for change in changes if change.key.startswith((SLOTS, SCHEDULES))]
        self._wanted |= {key.removeprefix(SLOTS).removeprefix(SCHEDULES).partition("/")[0] for key in keys}
        for schedule_id in self._agenda.due(present, _MOST_SCHEDULES):
            self._agenda.put(schedule_id, None)
            self._wanted.add(schedule_id)
        live = {run.id for run in runs if run.ended_at is None}
        self._wanted |= {key for key, remembered in tuple(self._remembered.items()) if not remembered.own <= live}
        return sorted(self._wanted)

    def advance(self, node: LocalNode, schedule_id: str) -> None:
        """Bring a schedule on as far as this node can now."""
        self._wanted.discard(schedule_id)
        since = self._since
        if since is None:
            return
        with node.locked("schedule", schedule_id):
            try:
                again = self._advanced(schedule_id, since)
            except (RegistryUnavailable, RegistryFull, RightMissing) as error:
                log.info("schedule %s is looked at again: %s", schedule_id, error.detail)
                again = node.clock() + AGAIN
            self._agenda.put(schedule_id, again)

    def _advanced(self, schedule_id: str, since: datetime) -> datetime | None:
        """Look at a schedule; when to look at it again."""
        node = self._node
        entry = node.mirror.get(schedule_key(schedule_id))
        if entry is None:
            self._forget(schedule_id)
            return None
        schedule = Schedule.model_validate_json(entry.value)
        if node.store.body("schedule", schedule_id) != body_of(schedule):
            node.store.save(schedule)
        remembered = self._remembered.setdefault(schedule_id, Remembered(schedule.reckoned_until))
        remembered.until = max(remembered.until, schedule.reckoned_until)
        look = Looking(node, schedule, remembered, since)
        look.go()
        names = ranked(live_nodes(node), schedule_id)
        own, whose = node.config.node.lower(), schedule.node.lower()
        # A registry that asks who writes takes it from the node that added the schedule, or from an administrator.
        if own == whose or (whose not in names and (names[:1] == [own] or node.config["node.administrator"])):
            self._clear(schedule, remembered, entry.revision, names)
        if schedule.state is ScheduleState.REMOVED:
            return max(schedule.changed_at + timedelta(days=node.config["cluster.keep_slots"]), node.clock() + AGAIN)
        return look.wake_at

    def _forget(self, schedule_id: str) -> None:
        """The registry does not have the schedule any more; what is known of it here stays."""
        self._remembered.pop(schedule_id, None)
        kept = self._node.store.schedule(schedule_id)
        if kept is not None and kept.anywhere and kept.state is not ScheduleState.REMOVED:
            note = "the registry does not have it any more"
            self._node.store.save(kept.model_copy(update={"state": ScheduleState.REMOVED, "note": note}))

    def _clear(self, schedule: Schedule, remembered: Remembered, revision: int, names: list[str]) -> None:
        """Delete from the registry the oldest slots, once all nodes have had time to take them into their ledgers."""
        node = self._node
        entries = node.mirror.entries(slots_below(schedule.id))
        bound = node.clock() - timedelta(days=node.config["cluster.keep_slots"])
        surplus = len(entries) - node.config["cluster.slot_limit"]
        ended = schedule.state is ScheduleState.REMOVED and schedule.changed_at < bound
        edits: list[Edit] = []
        for number, entry in enumerate(entries[:_MOST_DELETED]):
            slot = Slot.model_validate_json(entry.value)
            if slot.planned > remembered.until or (slot.planned in remembered.started and slot.node.lower() in names):
                break
            if not ended and number >= surplus and slot.planned > bound:
                break
            if slot.recorded_at is None or slot.recorded_at > node.clock() - _UNTIL_COPIED:
                break
            edits.append(Edit(entry.key, None, entry.revision))
            schedule = schedule.model_copy(update={"reckoned_until": slot.planned})
        is_last = ended and len(edits) == len(entries) and not remembered.unsettled
        if is_last or len(edits) >= _BATCH:
            value = None if is_last else body_of(schedule).encode()
            with suppress(StaleRevision, Denied):  # somebody has changed it: it is looked at again; or others see to it
                node.mirror.catch_up(node.registry.write(*edits, Edit(schedule_key(schedule.id), value, revision)))
