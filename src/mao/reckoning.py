"""Give every slot one outcome: find what is due, start it or record why not."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from mao import attempting
from mao.attempting import Standing
from mao.definition_terms import Backfill
from mao.schedule import DAY, ON_TIME, Outcome, Overlap, Schedule, ScheduleState, Slot, slot_key
from mao.timetable import Timetable
from mao.values import INSTANT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mao.local_node import LocalNode
    from mao.timetable import Firing

log = logging.getLogger("mao.reckoning")

_MOST_SLOTS = 1000
"""Of one schedule, recorded at once: after a year of outage there may be half a million."""
_MOST_SCHEDULES = 100
"""Reckoned at once: each of their locks is held until what became of them is stored."""
_MOST_IN_A_LOOK = 10_000
_PAGE = 500
_AFTER_BUG = timedelta(seconds=10)
_LONGEST_DELAY = timedelta(days=40)
"""By which a spread may have a slot due after its planned moment, but for rules that are due less than once a month."""


def begin(node: LocalNode, present: datetime) -> None:
    """Note when each schedule is due next; a clock that was set back is found here."""
    for schedule_id in _ids(node):
        with node.locked("schedule", schedule_id):
            if current := _current(node, schedule_id, present):
                note(node, current)


def _ids(node: LocalNode) -> Iterator[str]:
    """The ids of all schedules that are due at times; not all in memory at once."""
    for state in (ScheduleState.ACTIVE, ScheduleState.PAUSED):
        after = None
        while found := node.store.bodies("schedule", after=after, limit=_PAGE, state=state):
            yield from (schedule_id for schedule_id, _ in found)
            after = found[-1][0]


def _current(node: LocalNode, schedule_id: str, present: datetime) -> Schedule | None:
    """The schedule, if it is this node's own, reckoned no further than the clock says."""
    schedule = node.store.schedule(schedule_id)
    if schedule is None or schedule.anywhere:
        return None
    if schedule.reckoned_until <= present + ON_TIME:
        return schedule
    return _set_back(node, schedule, present)


def _set_back(node: LocalNode, schedule: Schedule, present: datetime) -> Schedule:
    """Take out of the ledger what a clock that was ahead has put there: slots still to come, for which nothing ran.

    Those for which something ran stay: they will not be run again. A clock that was ahead by less than `ON_TIME` does
    no harm: its slots have their outcome, and nothing happens until it is past them again.
    """
    earliest = present - (_LONGEST_DELAY if schedule.spread else timedelta(0))
    bodies = node.store.bodies("slot", after=slot_key(schedule.id, earliest), before=f"{schedule.id}~")
    slots = [Slot.model_validate_json(body) for _, body in bodies]
    ahead = [slot for slot in slots if slot.due_at > present + ON_TIME]
    log.warning("the clock was set back: %d slots of schedule %s are still to come", len(ahead), schedule.id)
    until = min([present, *(slot.planned - INSTANT for slot in ahead)])
    schedule = schedule.model_copy(update={"reckoned_until": until})
    node.store.save(schedule)  # first: a slot that is still there when its time comes is not made again
    node.store.remove(*(slot for slot in ahead if slot.over and not slot.runs))
    return schedule


def note(node: LocalNode, schedule: Schedule) -> None:
    """Have the node look at a schedule when its next slot is due."""
    firing = None if schedule.state is ScheduleState.REMOVED else Timetable(schedule).first(schedule.reckoned_until)
    node.agenda.put(schedule.id, firing.due if firing else None)


def look(node: LocalNode, present: datetime) -> None:
    """Reckon all that is due, and bring on what is on its way; to be called again when something has changed."""
    due = node.agenda.due(present, _MOST_IN_A_LOOK)
    live = {slot.schedule for slot in node.store.live_slots()}
    ids = [*due, *live.difference(due)]
    for start in range(0, len(ids), _MOST_SCHEDULES):
        _reckon_all(node, ids[start : start + _MOST_SCHEDULES], present)


def _reckon_all(node: LocalNode, ids: Sequence[str], present: datetime) -> None:
    """Reckon several schedules, and store what became of them together: it takes as long as for one."""
    with ExitStack() as locks:
        for schedule_id in sorted(ids):
            locks.enter_context(node.locked("schedule", schedule_id))
        live = _live(node)
        reckoned = [found for each in ids if (found := _tried(node, each, live.get(each, {}), present))]
        node.store.save(*(document for standing in reckoned for document in standing.changed.values()))
        for standing in reckoned:
            note(node, standing.schedule)


def _live(node: LocalNode) -> dict[str, dict[str, Slot]]:
    live: dict[str, dict[str, Slot]] = {}
    for slot in node.store.live_slots():
        live.setdefault(slot.schedule, {})[slot.key] = slot
    return live


def _tried(node: LocalNode, schedule_id: str, live: dict[str, Slot], present: datetime) -> Standing | None:
    try:
        return _reckoned(node, schedule_id, live, present)
    except Exception:  # a boundary of the daemon: one bad schedule must not stop the others
        log.exception("reckoning schedule %s failed; it is tried again in %s", schedule_id, _AFTER_BUG)
        node.agenda.put(schedule_id, present + _AFTER_BUG)
        return None


def _reckoned(node: LocalNode, schedule_id: str, live: dict[str, Slot], present: datetime) -> Standing | None:
    schedule = _current(node, schedule_id, present)
    if schedule is None:
        node.agenda.put(schedule_id, None)
        return None
    standing = Standing(schedule, live)
    attempting.bring_on(node, standing, present)
    if schedule.state is not ScheduleState.REMOVED:
        _reckon_due(node, standing, present)
    return standing


def reckon(node: LocalNode, schedule_id: str, present: datetime) -> Schedule | None:
    """Reckon a schedule up to the present, before it is changed; the schedule then. The caller holds its lock."""
    while True:
        standing = _reckoned(node, schedule_id, _live(node).get(schedule_id, {}), present)
        if standing is None:
            return None
        node.store.save(*standing.changed.values())
        if not any(Timetable(standing.schedule).firings(standing.schedule.reckoned_until, present)):
            return standing.schedule


def _reckon_due(node: LocalNode, standing: Standing, present: datetime) -> None:
    """Give an outcome to each slot that is due, or bring it on its way: only the newest is started."""
    schedule = standing.schedule
    due = list(islice(Timetable(schedule).firings(schedule.reckoned_until, present), _MOST_SLOTS + 1))
    if not due:
        return
    batch = due[:_MOST_SLOTS]
    known = dict(
        node.store.bodies(
            "slot",
            after=slot_key(schedule.id, schedule.reckoned_until),
            before=f"{slot_key(schedule.id, batch[-1].planned)}~",
        )
    )
    for firing in batch:
        if slot_key(schedule.id, firing.planned) not in known:
            _reckon_one(node, standing, firing, present, is_newest=firing is due[-1])
    standing.schedule = schedule.model_copy(update={"reckoned_until": batch[-1].planned})
    standing.changed[schedule.id] = standing.schedule


def _reckon_one(node: LocalNode, standing: Standing, firing: Firing, present: datetime, *, is_newest: bool) -> None:
    schedule = standing.schedule
    own = own_limit(node, schedule.tool) if is_newest else None
    slot = slot_of(node, schedule, firing)
    if schedule.state is ScheduleState.PAUSED:
        standing.put(slot.settled(Outcome.PAUSED, present, schedule.note, over=True))
    elif not is_newest or present - firing.due > latest(firing, own):
        was_down = firing.due < node.up_since
        detail = None if was_down else "the node was stopped or too busy, or its clock was set forward"
        standing.put(slot.settled(Outcome.MISSED if was_down else Outcome.SKIPPED_LATE, present, detail, over=True))
    elif schedule.overlap is Overlap.ALLOW or not (standing.going_on or standing.waiting()):
        _supersede(standing)
        slot = slot.model_copy(update={"start_by": firing.due + latest(firing, own)})
        attempting.attempt(node, standing, slot, present)
    else:
        _overlap(standing, slot.model_copy(update={"start_by": None if own is None else firing.due + own}), present)


def slot_of(node: LocalNode, schedule: Schedule, firing: Firing) -> Slot:
    """The slot of a schedule at a moment, without an outcome."""
    return Slot(
        schedule=schedule.id, planned=firing.planned, due_at=firing.due, tool=schedule.tool, node=node.config.node
    )


def _supersede(standing: Standing) -> None:
    """A failed slot is not tried again once the next one is started."""
    for slot in list(standing.live.values()):
        if slot.retry_at is not None:
            detail = "not tried again: the next slot was due"
            standing.put(slot.model_copy(update={"over": True, "retry_at": None, "detail": detail}))


def _overlap(standing: Standing, slot: Slot, present: datetime) -> None:
    """What becomes of `slot`, as a run of the schedule is still going on, or another slot is waiting for its end."""
    waiting = standing.waiting()
    first = standing.going_on[0] if standing.going_on else None
    detail = f"run {first} was still going on" if first else "another slot was waiting"
    match standing.schedule.overlap:
        case Overlap.QUEUE_ALL:
            standing.put(slot)
        case Overlap.QUEUE_ONE if not waiting:
            standing.put(slot)
        case Overlap.CANCEL_OLD:
            for older in waiting:
                standing.put(older.settled(Outcome.SKIPPED_OVERLAP, present, "a later one was due", over=True))
            standing.put(slot)
        case Overlap.SKIP | Overlap.QUEUE_ONE | Overlap.ALLOW:
            standing.put(slot.settled(Outcome.SKIPPED_OVERLAP, present, detail, over=True))


def latest(firing: Firing, own: timedelta | None) -> timedelta:
    """How long after it was due a slot may be started: for its period, for a day, and as long as its tool says."""
    return min(firing.period, DAY, *([] if own is None else [own]))


def own_limit(node: LocalNode, tool: str) -> timedelta | None:
    """How late a tool itself says that its runs may be started (`Lateness`); None if it does not say."""
    installation = node.store.installation(tool)
    lateness = installation.definition.lateness if installation and installation.definition else None
    if lateness is None:
        return None
    if lateness.max is not None:
        return timedelta(seconds=lateness.max)
    return None if lateness.backfill is Backfill.ALLOWED else ON_TIME
