"""Schedules that belong to the cluster, in its registry: add, pause, resume and remove them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from mao import claiming
from mao.agreeing import check_may, check_owner, written
from mao.catalogue import SLOTS, schedule_key
from mao.document import body_of
from mao.errors import BadSchedule, ScheduleEnded
from mao.reckoning import slot_of
from mao.registry import Edit
from mao.schedule import Outcome, Overlap, Schedule, ScheduleState, slot_key
from mao.timetable import Timetable

if TYPE_CHECKING:
    from datetime import datetime

    from mao.agreeing import Look
    from mao.local_node import LocalNode
    from mao.registry import Entry
    from mao.store import IdempotentRequest


def check_shareable(schedule: Schedule) -> None:
    """Refuse what nodes could only do together if each waited for what the others do.

    Raises:
        BadSchedule
    """
    if schedule.overlap not in {Overlap.SKIP, Overlap.ALLOW}:
        raise BadSchedule(
            f"A schedule of the cluster cannot have the overlap '{schedule.overlap}': runs of it are on several nodes,"
            " and none waits for another. It can be 'skip' or 'allow'. Nothing was added."
        )
    if schedule.retries:
        raise BadSchedule(
            "A schedule of the cluster does not try a failed slot again: the next slot may be on another node."
            " Leave out the retries, or give each node a schedule of its own. Nothing was added."
        )


def add(node: LocalNode, schedule: Schedule, request: IdempotentRequest | None = None) -> None:
    """Have the cluster run `schedule` from now on; `request` is the one that it came with.

    Raises:
        BadSchedule, NodeTaken, RegistryUnavailable, RegistryFull
    """
    check_shareable(schedule)
    check_may(node, asked=False)
    key = schedule_key(schedule.id)
    written(node, lambda look: [] if look(key) else [Edit(key, body_of(schedule).encode(), 0)])
    node.store.save(schedule, request=request)


def pause(node: LocalNode, schedule: Schedule, note: str | None, *, as_administrator: bool = False) -> Schedule:
    """Have no node start anything until it is resumed.

    Raises:
        ScheduleEnded, Denied, NodeTaken, RegistryUnavailable, RegistryFull
    """
    return _changed(node, schedule, as_administrator=as_administrator, state=ScheduleState.PAUSED, note=note)


def resume(node: LocalNode, schedule: Schedule, *, as_administrator: bool = False) -> Schedule:
    """Have it run again from now on.

    Raises:
        ScheduleEnded, Denied, NodeTaken, RegistryUnavailable, RegistryFull
    """
    return _changed(node, schedule, as_administrator=as_administrator, state=ScheduleState.ACTIVE, note=None)


def remove(node: LocalNode, schedule: Schedule, *, as_administrator: bool = False) -> Schedule:
    """Let it be due no more. It stays in the registry until its slots have been there for as long as others do.

    Raises:
        ScheduleEnded, Denied, NodeTaken, RegistryUnavailable, RegistryFull
    """
    return _changed(node, schedule, as_administrator=as_administrator, state=ScheduleState.REMOVED)


def _changed(node: LocalNode, known: Schedule, *, as_administrator: bool, **changes: object) -> Schedule:
    """The schedule with `changes` from now on; slots up to now are those of the schedule as it was."""
    check_may(node, asked=as_administrator)
    what = f"The schedule {known.id}"
    present = node.clock()

    def current(entry: Entry | None) -> Schedule:
        schedule = Schedule.model_validate_json(entry.value) if entry else None
        if schedule is None or schedule.state is ScheduleState.REMOVED:
            raise ScheduleEnded(f"{what} was removed. Add another one. Nothing was changed.")
        check_owner(node, what, schedule.node, as_administrator=as_administrator)
        return schedule

    schedule = current(node.registry.get(schedule_key(known.id)))
    if schedule.state is ScheduleState.PAUSED:
        _record_paused(node, schedule, present)

    def changed(look: Look) -> list[Edit]:
        nonlocal schedule
        entry = look(schedule_key(known.id))
        schedule = current(entry).model_copy(update={**changes, "changed_at": present})
        return [Edit(schedule_key(known.id), body_of(schedule).encode(), entry.revision if entry else 0)]

    written(node, changed)
    node.store.save(schedule)
    return schedule


def _record_paused(node: LocalNode, schedule: Schedule, present: datetime) -> None:
    """Record which slots of a paused schedule were due up to now, before it is changed: later that cannot be told."""
    firings = Timetable(schedule).firings(schedule.reckoned_until, present)
    missing = (
        slot_of(node, schedule, firing).settled(Outcome.PAUSED, present, schedule.note, over=True)
        for firing in firings
        if firing.due > schedule.changed_at and node.mirror.get(SLOTS + slot_key(schedule.id, firing.planned)) is None
    )
    while batch := list(islice(missing, claiming.MOST_EDITS)):
        claiming.write(node, [Edit(SLOTS + slot.key, body_of(slot).encode(), 0) for slot in batch])
