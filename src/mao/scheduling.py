"""Add, edit, pause, resume and remove schedules; run slots of the past when asked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mao import attempting, reckoning, sharing, timetable, unveiling
from mao.building import find_installation
from mao.definition_terms import Backfill
from mao.errors import BackfillRefused, BadSchedule, ScheduleEnded, ScheduleNotFound
from mao.reckoning import slot_of
from mao.rule import Rule
from mao.run import FAILED, Run
from mao.schedule import DAY, Outcome, Overlap, Schedule, ScheduleState, Slot, Spread
from mao.timetable import Firing, Timetable
from mao.values import INSTANT, new_id, now, rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mao.document import Document
    from mao.local_node import LocalNode
    from mao.store import IdempotentRequest
    from mao.timetable import Preview

_MOST_AT_ONCE = 1000
"""Slots of the past that are run on one request."""


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
    asked_by: str | None = None


def add(node: LocalNode, plan: Plan, idempotent: IdempotentRequest | None = None) -> Schedule:
    """Start runs by a rule from now on; nothing is started for what is past.

    Args:
        node: that runs them.
        plan: what to run, and when.
        idempotent: the request it came with; its `location` ends with the id that the schedule gets.

    Raises:
        BadSchedule, NotInstalled, CommandNotFound, BadArguments: nothing was added.
    """
    present = node.clock()
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
    if schedule.anywhere:
        sharing.add(node, schedule, idempotent)
    else:
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
    moment = schedule.created_at
    run = attempting.run_for(node, schedule, slot_of(node, schedule, Firing(moment, moment, DAY)))
    unveiling.values(node, run)  # it could be run now
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
    if schedule.state is ScheduleState.REMOVED:
        return None
    return Timetable(schedule).first(now() if schedule.anywhere else schedule.reckoned_until)


def preview(schedule: Schedule, count: int) -> list[Preview]:
    """The next `count` slots of a schedule; none if it was removed."""
    first = next_firing(schedule)
    return timetable.preview(Timetable(schedule), first.planned - INSTANT, count) if first else []


def edit(node: LocalNode, schedule_id: str, changes: dict[str, object]) -> Schedule:
    """Change what is run, or when, from now on: slots up to now are those of the rule as it was.

    Args:
        node: whose schedule it is.
        schedule_id: which.
        changes: fields of a `Plan`, but for `tool` and `anywhere`.

    Raises:
        ScheduleNotFound, ScheduleEnded, BadSchedule, NotInstalled, CommandNotFound, BadArguments: nothing was changed.
    """
    if find_schedule(node, schedule_id).anywhere:  # what its slots up to now are, other nodes may still have to know
        raise BadSchedule(
            f"The schedule {schedule_id} belongs to the cluster, where none is edited. Remove it and add another one."
            " Nothing was changed."
        )

    def edited(schedule: Schedule, present: datetime) -> list[Document]:
        new = _checked(
            node, schedule.model_dump() | changes | {"reckoned_until": max(present, schedule.reckoned_until)}
        )
        return [*_undue(node, schedule, present, "the schedule was changed before it was due"), new]

    return _changed(node, schedule_id, edited)


def pause(node: LocalNode, schedule_id: str, note: str | None = None, *, as_administrator: bool = False) -> Schedule:
    """Start nothing until it is resumed; slots that are due until then are recorded as paused.

    Raises:
        ScheduleNotFound, ScheduleEnded
        Denied, NodeTaken, RegistryUnavailable, RegistryFull: of a schedule that belongs to the cluster.
    """
    if (known := find_schedule(node, schedule_id)).anywhere:
        return sharing.pause(node, known, note, as_administrator=as_administrator)
    change = {"state": ScheduleState.PAUSED, "note": note}
    return _changed(node, schedule_id, lambda schedule, _: [schedule.model_copy(update=change)])


def resume(node: LocalNode, schedule_id: str, *, as_administrator: bool = False) -> Schedule:
    """Start runs again from now on.

    Raises:
        ScheduleNotFound, ScheduleEnded
        Denied, NodeTaken, RegistryUnavailable, RegistryFull: of a schedule that belongs to the cluster.
    """
    if (known := find_schedule(node, schedule_id)).anywhere:
        return sharing.resume(node, known, as_administrator=as_administrator)
    change = {"state": ScheduleState.ACTIVE, "note": None}
    return _changed(node, schedule_id, lambda schedule, _: [schedule.model_copy(update=change)])


def remove(node: LocalNode, schedule_id: str, *, as_administrator: bool = False) -> Schedule:
    """Let it be due no more; its slots so far stay known, and a run that was started goes on.

    Raises:
        ScheduleNotFound, ScheduleEnded
        Denied, NodeTaken, RegistryUnavailable, RegistryFull: of a schedule that belongs to the cluster.
    """
    if (known := find_schedule(node, schedule_id)).anywhere:
        return sharing.remove(node, known, as_administrator=as_administrator)

    def removed(schedule: Schedule, present: datetime) -> list[Document]:
        change = {"state": ScheduleState.REMOVED, "reckoned_until": max(present, schedule.reckoned_until)}
        undue = _undue(node, schedule, present, "the schedule was removed before it was due")
        return [*undue, schedule.model_copy(update=change)]

    return _changed(node, schedule_id, removed)


def _changed(node: LocalNode, schedule_id: str, change: Callable[[Schedule, datetime], list[Document]]) -> Schedule:
    """Store what `change` makes of a schedule, which comes last.

    Before, it is reckoned up to now as it is: no slot gets its outcome by what was not true when it was due.
    """
    with _held(node, schedule_id) as (schedule, present):
        documents = change(schedule, present)
        changed = documents[-1].model_copy(update={"changed_at": present})
        assert isinstance(changed, Schedule)  # noqa: S101  # for the type checker
        node.store.save(*documents[:-1], changed)
        reckoning.note(node, changed)
        return changed


@contextmanager
def _held(node: LocalNode, schedule_id: str) -> Iterator[tuple[Schedule, datetime]]:
    """The schedule, reckoned up to the present, and the present; nobody else changes it meanwhile."""
    find_schedule(node, schedule_id)
    with node.locked("schedule", schedule_id):
        present = node.clock()
        schedule = reckoning.reckon(node, schedule_id, present)
        if schedule is None or schedule.state is ScheduleState.REMOVED:
            raise ScheduleEnded(f"The schedule {schedule_id} was removed. Add another one. Nothing was changed.")
        yield schedule, present


def _undue(node: LocalNode, schedule: Schedule, present: datetime, why: str) -> list[Document]:
    """Those slots whose planned moment is past, but which the spread has due later: nothing is started for them."""
    following = Timetable(schedule).following(schedule.reckoned_until)
    return [
        slot_of(node, schedule, firing).settled(Outcome.CANCELLED, present, why, over=True)
        for firing in takewhile(lambda firing: firing.planned <= present, following)
    ]


def backfill(node: LocalNode, schedule_id: str, first: datetime, last: datetime) -> list[Slot]:
    """Queue a run for each slot from `first` to `last` that has none that went well; the slots for which it was done.

    What became of a slot when it was due stays as it is. Slots from before the schedule was added are those that its
    present rule would have had.

    Raises:
        ScheduleNotFound, ScheduleEnded, NotInstalled, CommandNotFound, BadArguments
        BackfillRefused: the tool does not say that its runs may be made afterwards.
        BadSchedule: there are too many slots.
    """
    if find_schedule(node, schedule_id).anywhere:
        raise BackfillRefused(
            f"The schedule {schedule_id} belongs to the cluster: its slots have one run at most, and none afterwards."
            " Start runs with 'mao tool run'. Nothing was started."
        )
    with _held(node, schedule_id) as (schedule, present):
        _check_may_backfill(node, schedule.tool)
        firings = Timetable(schedule).firings(first - INSTANT, present)
        wanted = list(islice(takewhile(lambda firing: firing.planned <= last, firings), _MOST_AT_ONCE + 1))
        if len(wanted) > _MOST_AT_ONCE:
            raise BadSchedule(
                f"There are more than {_MOST_AT_ONCE} slots from {rfc3339(first)} to {rfc3339(last)}. Ask for a part of"
                " them, and then for the others. Nothing was started."
            )
        documents: list[Slot | Run] = []
        for firing in wanted:
            slot = node.store.slot(schedule.id, firing.planned)
            if slot is None or not _goes_well(node, slot):
                documents += _again(node, schedule, slot or slot_of(node, schedule, firing))
        node.store.save(*documents)
        return [document for document in documents if isinstance(document, Slot)]


def _check_may_backfill(node: LocalNode, tool: str) -> None:
    definition = find_installation(node, tool).definition
    lateness = definition.lateness if definition else None
    if lateness is None or lateness.backfill is not Backfill.ALLOWED:
        raise BackfillRefused(
            f"The definition of '{tool}' does not say 'Lateness: {{Backfill: allowed}}': what it measures now would be"
            " called the measurement of another moment. A tool that reads $MAO_SLOT can say so. Nothing was started."
        )


def _goes_well(node: LocalNode, slot: Slot) -> bool:
    """Whether the slot has a run that has not failed, or is to have one."""
    if slot.outcome is None or slot.retry_at is not None:
        return True
    runs = [node.store.run(run_id) for run_id in {*slot.runs, slot.backfill} if run_id]
    return any(run is not None and run.state not in FAILED for run in runs)


def _again(node: LocalNode, schedule: Schedule, slot: Slot) -> list[Slot | Run]:
    run = attempting.run_for(node, schedule, slot)
    changes: dict[str, object] = {"backfill": run.id}
    if slot.outcome is None:
        changes["runs"] = (run.id,)
    return [run, slot.model_copy(update=changes)]
