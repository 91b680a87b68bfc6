"""The API of schedules: add, look, edit, pause, resume, remove; run slots of the past."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mao import scheduling
from mao.errors import BadBody, StaleRevision
from mao.schedule import LASTING, Overlap, Schedule, ScheduleState, Slot, Spread
from mao.store import IdempotentRequest
from mao.values import Moment, new_id, rfc3339
from mao.web.access import AsAdministrator, IfMatch, Key, Node, alone
from mao.web.pages import First, Last, Page, Wanted, encoded, page, wanted
from mao.web.routing import api
from mao.web.slot_routes import newest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.local_node import LocalNode

router = api("schedules", "/schedules")
Asked = Annotated[Wanted, Depends(wanted)]


class NewSchedule(BaseModel):
    """What is needed to start runs on a rule: arguments in the order of the definition, or by name."""

    model_config = ConfigDict(extra="forbid")

    tool: str
    command: str
    arguments: list[Any] | dict[str, Any] = []
    cron: str
    timezone: str = "UTC"
    publish: bool = False
    overlap: Overlap = Overlap.SKIP
    spread: Spread | None = None
    retries: int = 0
    retry_pause: float = 60.0
    anywhere: bool = False


class Changes(BaseModel):
    """What is to be changed of a schedule; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    command: str | None = None
    arguments: list[Any] | dict[str, Any] | None = None
    cron: str | None = None
    timezone: str | None = None
    publish: bool | None = None
    overlap: Overlap | None = None
    spread: Spread | None = None
    retries: int | None = None
    retry_pause: float | None = None


class Pause(BaseModel):
    """Why a schedule is paused."""

    model_config = ConfigDict(extra="forbid")

    note: Annotated[str, Field(max_length=500)] | None = None


_FOR_NO_REASON = Pause()


class Span(BaseModel):
    """The first and the last moment for which there are to be runs."""

    model_config = ConfigDict(extra="forbid")

    first: First = Field(alias="from")
    last: Last = Field(alias="to")


class ShownSchedule(Schedule):
    """A schedule, when its next slot is due (null if that is never), and the newest slot of its ledger."""

    next_at: Moment | None
    last_slot: Slot | None


def _shown(node: LocalNode, schedule: Schedule) -> bytes:
    firing = scheduling.next_firing(schedule)
    next_at = json.dumps(rfc3339(firing.due) if firing else None)
    last_slot = newest(node, schedule.id) or "null"
    return f'{schedule.model_dump_json()[:-1]},"next_at":{next_at},"last_slot":{last_slot}}}'.encode()


def _revision(schedule: Schedule) -> int:
    """Changes whenever somebody changes the schedule, and not with its slots."""
    return round(schedule.changed_at.timestamp() * 1000)


def _one(node: LocalNode, schedule: Schedule, status: int = 200, **headers: str) -> Response:
    return encoded(_shown(node, schedule), status, ETag=f'"{_revision(schedule)}"', **headers)


@contextlib.contextmanager
def _unchanged(node: LocalNode, schedule_id: str, revision: int | None) -> Iterator[None]:
    """Have nobody else change a schedule, which must still have this revision.

    Raises:
        ScheduleNotFound, StaleRevision
    """
    scheduling.find_schedule(node, schedule_id)  # a lock is made for what there is alone
    with node.locked("schedule", schedule_id):
        if revision not in {None, _revision(scheduling.find_schedule(node, schedule_id))}:
            raise StaleRevision(
                f"The schedule {schedule_id} has changed since you read it. Look at it again. Nothing was changed."
            )
        yield


@router.post("", status_code=201, responses={201: {"model": ShownSchedule}})
def add(request: Request, node: Node, new: NewSchedule, key: Key) -> Response:
    """Start runs on a rule from now on: `daily`, `weekly` (Sunday) or `monthly` at midnight, or a crontab rule."""
    with alone(node, key) as known:
        location = known or f"/api/v1/schedules/{new_id()}"
        if known is None:
            idempotent = IdempotentRequest(*key, location) if key else None
            plan = scheduling.Plan(**dict(new), asked_by=getattr(request.state, "peer", None))
            location = f"/api/v1/schedules/{scheduling.add(node, plan, idempotent).id}"
    schedule = scheduling.find_schedule(node, location.rpartition("/")[2])
    return _one(node, schedule, 201, Location=location)


@router.get("", responses={200: {"model": Page[ShownSchedule]}})
def list_schedules(
    node: Node,
    asked: Asked,
    tool: Annotated[str | None, Query(description="Schedules of this tool.")] = None,
    state: Annotated[ScheduleState | None, Query(description="Schedules in this state.")] = None,
) -> Response:
    """Schedules of this node, the oldest first; those that were removed only if their state is asked for."""
    found = sorted(
        known
        for each in ((state,) if state else LASTING)
        for known in node.store.bodies(
            "schedule",
            after=asked.after,
            limit=asked.size + 1,
            tool=tool.lower() if tool else None,
            state=each.value,
        )
    )
    listed = ((key, _shown(node, Schedule.model_validate_json(body))) for key, body in found[: asked.size + 1])
    return encoded(page(listed, asked.size))


@router.get("/{schedule_id}", responses={200: {"model": ShownSchedule}})
def show(node: Node, schedule_id: str) -> Response:
    """A schedule; its `ETag` goes into `If-Match` to change it: slots do not change that."""
    return _one(node, scheduling.find_schedule(node, schedule_id))


@router.patch("/{schedule_id}", responses={200: {"model": ShownSchedule}})
def edit(request: Request, node: Node, schedule_id: str, changes: Changes, if_match: IfMatch) -> Response:
    """Change what is run, or when, from now on; a `spread` of null takes that away."""
    given = changes.model_dump(exclude_unset=True)
    if not given:
        raise BadBody("The body names nothing to change. Nothing was changed.")
    peer = getattr(request.state, "peer", None)
    if peer or "arguments" in given:  # whoever gives the arguments decides which secrets they may name
        given["asked_by"] = peer
    with _unchanged(node, schedule_id, if_match):
        return _one(node, scheduling.edit(node, schedule_id, given))


@router.delete("/{schedule_id}", status_code=204)
def remove(node: Node, schedule_id: str, if_match: IfMatch, as_administrator: AsAdministrator) -> None:
    """Let it be due no more: its slots so far stay known, and a run that was started goes on."""
    with _unchanged(node, schedule_id, if_match):
        scheduling.remove(node, schedule_id, as_administrator=as_administrator)


@router.post("/{schedule_id}/pause", responses={200: {"model": ShownSchedule}})
def pause(
    node: Node,
    schedule_id: str,
    if_match: IfMatch,
    as_administrator: AsAdministrator,
    why: Pause = _FOR_NO_REASON,
) -> Response:
    """Start nothing until it is resumed: slots that are due meanwhile are recorded as `paused`, with the note."""
    with _unchanged(node, schedule_id, if_match):
        return _one(node, scheduling.pause(node, schedule_id, why.note, as_administrator=as_administrator))


@router.post("/{schedule_id}/resume", responses={200: {"model": ShownSchedule}})
def resume(node: Node, schedule_id: str, if_match: IfMatch, as_administrator: AsAdministrator) -> Response:
    """Start runs again from now on."""
    with _unchanged(node, schedule_id, if_match):
        return _one(node, scheduling.resume(node, schedule_id, as_administrator=as_administrator))


@router.post("/{schedule_id}/backfill", status_code=202, responses={202: {"model": Page[Slot]}})
def backfill(node: Node, schedule_id: str, span: Span) -> Response:
    """Queue a run for each slot from one moment to another that has none that went well; those slots, on one page.

    What became of a slot when it was due stays. Asked again, it does again only what has failed since.
    """
    slots = scheduling.backfill(node, schedule_id, span.first, span.last)
    listed = [(slot.key, slot.model_dump_json(exclude_none=True)) for slot in slots]
    return encoded(page(listed, len(listed)), 202, Location=f"/api/v1/schedules/{schedule_id}/slots")
