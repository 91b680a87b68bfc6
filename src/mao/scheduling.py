"""Add, edit, pause, resume and remove schedules; run slots of the past when asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mao import attempting, reckoning, running
from mao.building import find_installation
from mao.definition import Backfill
from mao.errors import BackfillRefused, BadSchedule, NothingToBackfill, RunEnded, ScheduleEnded, ScheduleNotFound
from mao.rule import Rule
from mao.run import RunState
from mao.schedule import Outcome, Overlap, Schedule, ScheduleState, Slot, Spread
from mao.timetable import Timetable
from mao.values import new_id, now, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from mao.local_node import LocalNode
    from mao.run import Run
    from mao.store import IdempotentRequest
    from mao.timetable import Firing

_MOST_AT_ONCE = 1000
"""Slots of the past that are run on one request."""
_GOES_WELL = frozenset({RunState.QUEUED, RunState.RUNNING, RunState.PUBLISHING, RunState.SUCCEEDED, RunState.UNPUBLISHED})


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule that somebody asks for; see `Schedule`."""

    tool: str
    command: str
    arguments: Sequence[object] | Mapping[str, object] = ()
    cron: str = "daily"
    timezone: str = "UTC"
    publish: bool = False
    overlap: Overlap = Overlap.SKIP
    spread: Spread | None = None
    retries: int = 0
    retry_pause: float = 60.0
    anywhere: bool = False


def add(node: LocalNode, plan: Plan, idempotent: IdempotentRequest | None = None) -> Schedule:
    """Start runs by a rule from now on; nothing is started for what is past.

    Args:
        node: that runs them.
        plan: what to run, and when.
        idempotent: the request it came with; its `location` ends with the id that the schedule gets.

    Raises:
        BadSchedule, NotInstalled, CommandNotFound, BadArguments: nothing was added.
    """
    present = now()
    schedule = _checked(
        node,
        {
            **asdict(plan),
            "arguments": _as_given(plan.arguments),
            "id": idempotent.location.rpartition("/")[2] if idempotent else new_id(),
            "tool": find_installation(node, plan.tool).tool,
            "node": node.config.node,
            "created_at": present,
            "changed_at": present,
            "reckoned_until": present,
        },
    )
    node.store.save(schedule, request=idempotent)
    reckoning.note(node, schedule)
    return schedule


def _as_given(arguments: Sequence[object] | Mapping[str, object]) -> list[object] | dict[str, object]:
    return dict(arguments) if isinstance(arguments, dict) else list(arguments)


def _checked(node: LocalNode, fields: dict[str, Any]) -> Schedule:
    """The schedule with these fields, if it can be.

    Raises:
        BadSchedule, NotInstalled, CommandNotFound, BadArguments
    """
    try:
        schedule = Schedule.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadSchedule(f"The schedule's {where}: {first['msg']}. Nothing was changed.") from error
    Rule.parse(schedule.cron, schedule.timezone)
    attempting.run_for(node, schedule, Slot(
        schedule=schedule.id,
        planned=schedule.created_at,
        due_at=schedule.created_at,
        tool=schedule.tool,
        node=schedule.node,
    ))  # fmt: skip
    return schedule


def find_schedule(node: LocalNode, schedule_id: str) -> Schedule:
    """The schedule with this id.

    Raises:
        ScheduleNotFound
    """
    schedule = node.store.schedule(schedule_id)
    if schedule is None:
        known = "'mao schedule list' shows those there are."
        raise ScheduleNotFound(f"No schedule '{schedule_id}' is known on this node. {known}")
    return schedule


def next_firing(schedule: Schedule) -> Firing | None:
    """When it is due next; None if that is never."""
    return None if schedule.state is ScheduleState.REMOVED else Timetable(schedule).first(schedule.reckoned_until)


def edit(node: LocalNode, schedule_id: str, changes: dict[str, object]) -> Schedule:
    """Change what is run, or when, from now on: slots up to now are those of the rule as it was.

    Args:
        node: whose schedule it is.
        schedule_id: which.
        changes: fields of a `Plan`, but for `tool` and `anywhere`.

    Raises:
        ScheduleNotFound, ScheduleEnded, BadSchedule, NotInstalled, CommandNotFound, BadArguments: nothing was changed.
    """
    _checked(node, find_schedule(node, schedule_id).model_dump() | changes)

    def edited(schedule: Schedule, present: datetime) -> Schedule:
        _drop_undue(node, schedule, present, "the schedule was changed before it was due")
        return _checked(node, schedule.model_dump() | changes | {"reckoned_until": present})

    return _changed(node, schedule_id, edited)


def pause(node: LocalNode, schedule_id: str, note: str | None = None) -> Schedule:
    """Start nothing until it is resumed; slots that are due until then are recorded as paused.

    Raises:
        ScheduleNotFound, ScheduleEnded
    """
    change = {"state": ScheduleState.PAUSED, "note": note}
    return _changed(node, schedule_id, lambda schedule, _: schedule.model_copy(update=change))


def resume(node: LocalNode, schedule_id: str) -> Schedule:
    """Start runs again from now on.

    Raises:
        ScheduleNotFound, ScheduleEnded
    """
    change = {"state": ScheduleState.ACTIVE, "note": None}
    return _changed(node, schedule_id, lambda schedule, _: schedule.model_copy(update=change))


def remove(node: LocalNode, schedule_id: str) -> Schedule:
    """Let it be due no more; its slots so far stay known, and a run that was started goes on.

    Raises:
        ScheduleNotFound, ScheduleEnded
    """

    def removed(schedule: Schedule, present: datetime) -> Schedule:
        _drop_undue(node, schedule, present, "the schedule was removed before it was due")
        for slot in node.store.live_slots():
            if slot.schedule == schedule.id:
                _let_go(node, slot, present)
        return schedule.model_copy(update={"state": ScheduleState.REMOVED, "reckoned_until": present})

    return _changed(node, schedule_id, removed)


def _let_go(node: LocalNode, slot: Slot, present: datetime) -> None:
    """Start nothing more for a slot."""
    if not slot.runs:
        node.store.save(slot.settled(Outcome.CANCELLED, present, "the schedule was removed", over=True))
    elif slot.outcome is None:
        with node.locked("run", slot.runs[-1]):
            if running.find_run(node, slot.runs[-1]).state is RunState.QUEUED:
                running.request_cancel(node, slot.runs[-1])


def _changed(node: LocalNode, schedule_id: str, change: Callable[[Schedule, datetime], Schedule]) -> Schedule:
    """Reckon a schedule up to now as it is, then change it: no slot is reckoned by what was not true when it was due."""
    find_schedule(node, schedule_id)
    with node.locked("schedule", schedule_id):
        present = now()
        schedule = reckoning.reckon(node, schedule_id, present)
        if schedule is None or schedule.state is ScheduleState.REMOVED:
            raise ScheduleEnded(f"The schedule {schedule_id} was removed. Add another one. Nothing was changed.")
        schedule = change(schedule, present).model_copy(update={"changed_at": present})
        node.store.save(schedule)
        reckoning.note(node, schedule)
        return schedule


def _drop_undue(node: LocalNode, schedule: Schedule, present: datetime, why: str) -> None:
    """Record that nothing is started for slots whose planned moment is past, but which the spread has due later."""
    undue: list[Slot] = []
    after = schedule.reckoned_until
    while (firing := Timetable(schedule).first(after)) is not None and firing.planned <= present:
        slot = _slot(node, schedule, firing)
        undue.append(slot.settled(Outcome.CANCELLED, present, why, over=True))
        after = firing.planned
    node.store.save(*undue)


def _slot(node: LocalNode, schedule: Schedule, firing: Firing) -> Slot:
    return Slot(
        schedule=schedule.id, planned=firing.planned, due_at=firing.due, tool=schedule.tool, node=node.config.node
    )
