"""Schedules: when they are due next, and what became of each slot."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple
from urllib.parse import urlencode

from fastapi import Query, Response

from mao import judging, scheduling
from mao.definition_terms import Backfill
from mao.schedule import DAY, LASTING, Outcome, Overlap, Schedule, ScheduleState, Slot, SpreadKind
from mao.values import INSTANT, rfc3339
from mao.verdict import Result, Verdict, verdict
from mao.web.page import calendar
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import Last  # noqa: TC001  # likewise
from mao.web.routing import root
from mao.web.slot_routes import Ledger, newest

if TYPE_CHECKING:
    from datetime import datetime

    from mao.local_node import LocalNode
    from mao.run import Run

router = root()

_SIZE = 50
"""Rows of a page."""
_DAYS = 30
"""Squares of each schedule in the list."""
_TO_COME = 10
_SQUARES = 200
"""Slots of the last two days that have a square each."""
OVERLAPS = {
    Overlap.SKIP: "the slot is skipped",
    Overlap.QUEUE_ONE: "it waits for the end of that run; while one waits, others are skipped",
    Overlap.QUEUE_ALL: "it waits for its turn, however many wait",
    Overlap.CANCEL_OLD: "that run is cancelled",
    Overlap.ALLOW: "it starts beside it",
}
SPREADS = {
    SpreadKind.OFFSET: "as long for every slot, up to",
    SpreadKind.UNIFORM: "drawn anew for each slot, up to",
    SpreadKind.POISSON: "drawn anew for each slot from an exponential distribution, with a mean of",
}


class Listed(NamedTuple):
    """A schedule in the list."""

    row: calendar.Row
    next_at: datetime | None
    result: Result | None
    """Of its newest slot."""


class Told(NamedTuple):
    """A slot of the ledger."""

    slot: Slot
    result: Result
    run: Run | None

    @property
    def verdict(self) -> Verdict:
        return verdict({self.result: 1})

    @property
    def late(self) -> float:
        """Seconds from when it was due to its start; 0 if that is not worth a word."""
        delay = (self.slot.started_at - self.slot.due_at).total_seconds() if self.slot.started_at else 0.0
        return delay if delay >= 1 else 0.0


@router.get("/view/schedules", include_in_schema=False)
def show_all(
    view: Viewed,
    tool: str = "",
    state: ScheduleState | Literal[""] = "",
    after: str | None = None,
) -> Response:
    """The schedules of this node and of the cluster, the newest first."""
    node = view.node
    found = sorted(
        (
            known
            for each in ((state,) if state else LASTING)
            for known in node.store.bodies(
                "schedule",
                after=after,
                limit=_SIZE + 1,
                newest_first=True,
                tool=tool.strip().lower() or None,
                state=each,
            )
        ),
        reverse=True,
    )
    listed = [_listed(node, Schedule.model_validate_json(body)) for _, body in found[:_SIZE]]
    asked = {"tool": tool, "state": state, "after": found[_SIZE - 1][0]} if len(found) > _SIZE else {}
    return view.page(
        "schedules.html",
        live="schedule slot run",
        listed=listed,
        tool=tool,
        state=state,
        states=list(ScheduleState),
        legend=calendar.LEGEND,
        next_page=f"?{urlencode({name: value for name, value in asked.items() if value})}" if asked else None,
    )


def _listed(node: LocalNode, schedule: Schedule) -> Listed:
    firing = scheduling.next_firing(schedule)
    last = newest(node, schedule.id)
    result = judging.slot_result(node, Slot.model_validate_json(last))[0] if last else None
    return Listed(calendar.row(node, schedule, _DAYS), firing.due if firing else None, result)


@router.get("/view/schedules/{schedule_id}", include_in_schema=False)
def show(
    view: Viewed,
    schedule_id: str,
    outcome: Outcome | Literal["waiting", ""] = "",
    until: Annotated[Last | None, Query()] = None,
) -> Response:
    """A schedule: its rule, when it is due next, how it went, and its ledger."""
    node = view.node
    schedule = scheduling.find_schedule(node, schedule_id)
    bodies = Ledger(schedule_id, outcome or None, until=until).bodies(node, None, _SIZE + 1)
    slots = [_told(node, Slot.model_validate_json(body)) for _, body in bodies]
    older = {"outcome": outcome, "until": rfc3339(slots[_SIZE - 1].slot.planned - INSTANT)} if bodies[_SIZE:] else {}
    installation = node.store.installation(schedule.tool)
    definition = installation.definition if installation else None
    lateness = definition.lateness if definition else None
    return view.page(
        "schedule.html",
        live=f"schedule:{schedule_id} slot:{schedule_id} run:{schedule_id}",
        schedule=schedule,
        arguments=_arguments(schedule),
        to_come=scheduling.preview(schedule, _TO_COME),
        row=calendar.row(node, schedule),
        legend=calendar.LEGEND,
        squares=_squares(node, schedule),
        slots=slots[:_SIZE],
        outcome=outcome,
        outcomes=[*Outcome, "waiting"],
        older=f"?{urlencode({name: value for name, value in older.items() if value})}" if older else None,
        is_first=until is None,
        overlaps=OVERLAPS,
        spreads=SPREADS,
        second=timedelta(seconds=1),
        may_backfill=lateness is not None and lateness.backfill is Backfill.ALLOWED and not schedule.anywhere,
        as_other="?as_administrator=true" if schedule.anywhere and schedule.node != node.config.node else "",
    )


def _told(node: LocalNode, slot: Slot) -> Told:
    return Told(slot, *judging.slot_result(node, slot))


def _arguments(schedule: Schedule) -> list[tuple[str, object]]:
    """By name, or by place as they were given."""
    given = schedule.arguments
    return list(given.items()) if isinstance(given, dict) else [(str(n), value) for n, value in enumerate(given, 1)]


def _squares(node: LocalNode, schedule: Schedule) -> list[Told]:
    """The slots of the last two days, the oldest first, if there are several a day."""
    firing = scheduling.next_firing(schedule)
    if firing is None or firing.period >= DAY:
        return []
    since = node.clock() - timedelta(days=2)
    bodies = Ledger(schedule.id, since=since).bodies(node, None, _SQUARES)
    return [_told(node, Slot.model_validate_json(body)) for _, body in reversed(bodies)]
