"""Give every slot of the cluster's schedules one outcome: as one node of many, by what the registry holds of each.

A slot's key is made once. A node that claims a slot makes it with its lease: it is gone when the node is, and another
one takes over. Before the tool is started the key is replaced by one that stays (`fencing`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from mao import attempting, running
from mao.agreeing import written
from mao.catalogue import SLOTS
from mao.document import body_of
from mao.errors import BadArguments, CommandNotFound, NotInstalled, StaleRevision
from mao.ranking import has_tool, live_nodes, ranked
from mao.reckoning import latest, own_limit, slot_of
from mao.registry import Edit
from mao.run import FAILED, UNENDED, Run, RunState
from mao.schedule import STARTED, Outcome, Overlap, Schedule, ScheduleState, Slot, slot_key
from mao.timetable import Timetable
from mao.values import INSTANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.agreeing import Look
    from mao.local_node import LocalNode
    from mao.registry import Entry
    from mao.timetable import Firing

MOST_EDITS = 100
_MOST_SLOTS = 1000
"""Looked at in one go: after a year of outage there may be half a million."""
_STEP = timedelta(seconds=1)
"""From the moment at which the first node tries to take a slot, to that at which the next one does."""
AGAIN = timedelta(seconds=1)
"""After that it is looked again at what could not be done."""


@dataclass(slots=True)
class Remembered:
    """What a node remembers of a schedule from one look to the next; all of it is found again by looking."""

    until: datetime
    """Every slot planned up to then has its outcome in the registry, or had it there."""
    absent: dict[datetime, datetime] = field(default_factory=dict)
    """The planned moments of slots that are due and without a key, and since when they were seen to be."""
    started: set[datetime] = field(default_factory=set)
    """The planned moments of slots whose runs, on any node, were not seen to have ended."""
    unsettled: bool = True
    """Whether a slot that is due has no outcome."""
    own: set[str] = field(default_factory=set)
    """The ids of this node's runs among them, and of those that it has claimed a slot for."""


def write(node: LocalNode, edits: list[Edit]) -> None:
    """Make those of `edits` whose keys are as they were: of the others another node has taken care."""

    def unmade(look: Look) -> list[Edit]:
        return [edit for edit in edits if _revision(look(edit.key)) == edit.if_revision]

    written(node, unmade)


def _revision(entry: Entry | None) -> int:
    return entry.revision if entry else 0


class Looking:
    """One look at the slots of a schedule; the caller holds its lock, so it is the only one on this node.

    Args:
        node: that looks.
        schedule: as the registry has it.
        remembered: as the look before has left it.
        since: when the node was seen to be in touch with the registry, and has been since.
    """

    def __init__(self, node: LocalNode, schedule: Schedule, remembered: Remembered, since: datetime) -> None:
        self._node, self._schedule, self._remembered, self._since = node, schedule, remembered, since
        self._present = node.clock()
        self._name = node.config.node.lower()
        self._nodes = live_nodes(node)
        self._names = {known.name.lower() for known in self._nodes}
        self._limit = own_limit(node, schedule.tool)
        self._ledger: list[Slot] = []
        self._edits: list[Edit] = []
        self._going_on = False
        self.wake_at: datetime | None = None
        """When to look again, if nothing changes before."""

    def go(self) -> None:
        """Bring all slots that are due as far as this node can now.

        Raises:
            RegistryUnavailable, RegistryFull: to be called again.
        """
        remembered, settled = self._remembered, True
        remembered.own.clear()
        for planned in sorted(remembered.started):
            self._see_started(planned)
        firings = list(islice(self._due(), _MOST_SLOTS))
        absent, remembered.absent = remembered.absent, {}
        for firing in firings:
            entry, slot = self._found(firing.planned)
            if slot is None:
                since = remembered.absent[firing.planned] = absent.get(firing.planned, self._present)
                self._see_absent(firing, since)
            elif slot.outcome is None:
                self._see_claimed(firing, slot, _revision(entry))
            else:
                self._see_settled(slot)
            settled = settled and slot is not None and slot.outcome is not None
            if settled:
                remembered.until = firing.planned
        remembered.unsettled = not settled or len(firings) == _MOST_SLOTS
        self._store()
        self._wake_for_next(firings)

    def _store(self) -> None:
        if self._ledger:
            self._node.store.save(*self._ledger)
        for start in range(0, len(self._edits), MOST_EDITS):
            write(self._node, self._edits[start : start + MOST_EDITS])

    def _due(self) -> Iterator[Firing]:
        """The slots that are due and not known to have their outcome."""
        table = Timetable(self._schedule)
        if self._schedule.state is not ScheduleState.REMOVED:
            return table.firings(self._remembered.until, self._present)
        following = table.following(self._remembered.until)
        return takewhile(lambda firing: firing.planned <= self._schedule.changed_at, following)

    def _wake_for_next(self, firings: list[Firing]) -> None:
        if len(firings) == _MOST_SLOTS:
            self._wake(self._present)
        elif self._schedule.state is not ScheduleState.REMOVED:
            following = Timetable(self._schedule).first(firings[-1].planned if firings else self._remembered.until)
            if following is not None:
                self._wake(following.due)

    def _wake(self, at: datetime) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def _key(self, planned: datetime) -> str:
        return SLOTS + slot_key(self._schedule.id, planned)

    def _found(self, planned: datetime) -> tuple[Entry | None, Slot | None]:
        entry = self._node.mirror.get(self._key(planned))
        return entry, Slot.model_validate_json(entry.value) if entry else None

    def _see_settled(self, slot: Slot) -> None:
        """Have this node's own ledger hold what became of the slot: there it stays."""
        kept = slot.model_copy(update={"over": True})  # nothing is to be done about it by what reckons this node's own
        if self._node.store.body("slot", slot.key) != body_of(kept):
            self._ledger.append(kept)
        if slot.outcome in STARTED and not slot.over and slot.planned not in self._remembered.started:
            self._remembered.started.add(slot.planned)
            self._see_started(slot.planned)

    def _see_started(self, planned: datetime) -> None:
        """Whether the run of a slot goes on: its node says so, and says when it has ended."""
        entry, slot = self._found(planned)
        if entry is None or slot is None or slot.over:
            self._remembered.started.discard(planned)
        elif slot.node.lower() != self._name:
            self._going_on = self._going_on or slot.node.lower() in self._names
        elif (run := self._run_of(slot)) is not None and run.state in UNENDED:
            self._remembered.own.add(run.id)
            self._going_on = True
        else:
            self._put(slot.model_copy(update={"over": True}), entry.revision)

    def _see_claimed(self, firing: Firing, slot: Slot, revision: int) -> None:
        own = slot.node.lower() == self._name
        run = self._run_of(slot) if own else None
        if run is not None and run.state is RunState.QUEUED:
            run = self._see_queued(slot, run)
        if own and run is None:  # claimed just before a kill, or it was not known whether it was
            self._bring_on(firing, revision)
        elif run is not None and run.started_at is None and run.state in FAILED:
            outcome = Outcome.CANCELLED if run.cancel_requested else Outcome.SKIPPED_LATE
            outcome = Outcome.TOOL_MISSING if run.state is RunState.FAILED else outcome
            self._put(slot.settled(outcome, self._present, run.reason, over=True), revision)
        else:
            self._going_on = True
            self._remembered.own |= {run.id} if run else set()

    def _run_of(self, slot: Slot) -> Run | None:
        return self._node.store.run(slot.runs[-1]) if slot.runs else None

    def _see_queued(self, slot: Slot, run: Run) -> Run | None:
        """The run of a slot that this node has claimed, ended if it is not to be started any more."""
        if self._schedule.state is ScheduleState.REMOVED:
            running.withdraw(self._node, run.id)
        elif slot.start_by is not None and self._present > slot.start_by:
            running.give_up(self._node, run.id)
        elif slot.start_by is not None:
            self._wake(slot.start_by + INSTANT)
        return self._node.store.run(run.id)

    def _see_absent(self, firing: Firing, since: datetime) -> None:
        """Take the slot, or record why nobody does, when it is this node's turn: all have theirs, one after another."""
        too_late = firing.due + latest(firing, self._limit)
        base = max(since, firing.due if self._present <= too_late else too_late)
        names = ranked(self._nodes, slot_key(self._schedule.id, firing.planned), self._schedule.tool)
        rank = names.index(self._name) if self._name in names else len(names)
        if self._is_full():
            rank += len(names)
        turn = base + rank * min(_STEP, latest(firing, self._limit) / (len(names) + 1))
        if self._present >= turn:
            self._bring_on(firing, 0)
        else:
            self._wake(turn)

    def _is_full(self) -> bool:
        """Whether a run would have to wait here, while it could be started on another node."""
        most: int = self._node.config["runs.limit"]
        return sum(run.state in UNENDED for run in self._node.store.live_runs()) >= most

    def _bring_on(self, firing: Firing, revision: int) -> None:
        """Claim the slot, or record its outcome, if its key is still of this revision."""
        slot = self._without_run(firing)
        if slot is not None:
            self._put(slot, revision)
            return
        too_late = firing.due + latest(firing, self._limit)
        self._wake(too_late + INSTANT)
        slot = slot_of(self._node, self._schedule, firing).model_copy(update={"start_by": too_late})
        try:
            run = attempting.run_for(self._node, self._schedule, slot)
        except (NotInstalled, CommandNotFound, BadArguments):  # then another node may, until it is too late
            return
        at = self._claim(slot.model_copy(update={"runs": (run.id,)}), revision)
        if at is not None:
            self._node.store.save(run)
            self._going_on = True
            self._remembered.own.add(run.id)
            self._node.mirror.catch_up(at)

    def _without_run(self, firing: Firing) -> Slot | None:
        """The slot with its outcome, if nothing is started for it."""
        schedule, present = self._schedule, self._present
        slot = slot_of(self._node, schedule, firing)
        known = self._node.store.slot(schedule.id, firing.planned)
        if known is not None and known.outcome is not None:  # the registry was set back, and does not have it any more
            return known
        too_late = firing.due + latest(firing, self._limit)
        if schedule.state is ScheduleState.REMOVED and too_late > schedule.changed_at:
            return slot.settled(Outcome.CANCELLED, present, "the schedule was removed", over=True)
        if schedule.state is ScheduleState.PAUSED and firing.due > schedule.changed_at:
            return slot.settled(Outcome.PAUSED, present, schedule.note, over=True)
        if present > too_late:
            return self._late(slot)
        if schedule.overlap is Overlap.SKIP and self._going_on:
            return slot.settled(Outcome.SKIPPED_OVERLAP, present, "a run of the schedule was still going on", over=True)
        return None

    def _late(self, slot: Slot) -> Slot:
        able = [known for known in self._nodes if has_tool(known, slot.tool)]
        if not able:
            detail = f"no node that is up has the tool '{slot.tool}' installed"
            return slot.settled(Outcome.TOOL_MISSING, self._present, detail, over=True)
        try:
            if self._name in {known.name.lower() for known in able}:
                attempting.run_for(self._node, self._schedule, slot)
        except (NotInstalled, CommandNotFound, BadArguments) as error:
            return slot.settled(Outcome.TOOL_MISSING, self._present, error.detail, over=True)
        if self._since <= slot.due_at and any(known.since <= slot.due_at for known in able):
            return slot.settled(Outcome.SKIPPED_LATE, self._present, "no node started it in time", over=True)
        detail = "no node that has the tool was up, or the registry was away"
        return slot.settled(Outcome.MISSED, self._present, detail, over=True)

    def _put(self, slot: Slot, revision: int) -> None:
        self._edits.append(Edit(self._key(slot.planned), body_of(slot).encode(), revision))

    def _claim(self, slot: Slot, revision: int) -> int | None:
        """Have the slot's key say that this node starts its run, for as long as the node lives; the revision then."""
        if self._node.lease is not None and self._name in self._names:
            edit = Edit(self._key(slot.planned), body_of(slot).encode(), revision)
            with suppress(StaleRevision):  # another node was quicker, of which the mirror tells; or the lease has ended
                return self._node.registry.write(edit, lease=self._node.lease)
        self._wake(self._present + AGAIN)
        return None
