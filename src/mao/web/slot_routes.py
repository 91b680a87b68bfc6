"""The API of the ledger: the slots of a schedule, and how many were troubled of late."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from mao import scheduling, timetable
from mao.diagnosing import Summary, summarize
from mao.schedule import PAST_ALL, Outcome, Slot, slot_key
from mao.timetable import Preview
from mao.values import INSTANT, rfc3339
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import First, Last, Order, Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.local_node import LocalNode

router = api("schedules", "/schedules")
Asked = Annotated[Wanted, Depends(wanted)]

_AT_ONCE = 500
"""Slots that are read from the store at once."""


class Ledger:
    """The part of a schedule's ledger that a request asks for."""

    def __init__(
        self,
        schedule_id: str,
        outcome: Annotated[
            Outcome | Literal["waiting"] | None, Query(description="Slots with this outcome, or without one yet.")
        ] = None,
        since: Annotated[First | None, Query(description="Slots planned from this day (in UTC) or moment on.")] = None,
        until: Annotated[Last | None, Query(description="Slots planned up to this day (in UTC) or moment.")] = None,
        order: Annotated[Order, Query(description="Which come first.")] = Order.NEWEST,
    ) -> None:
        self.schedule_id = schedule_id
        self._outcome = outcome
        self._newest_first = order is Order.NEWEST
        first = slot_key(schedule_id, since - INSTANT) if since else f"{schedule_id}/"
        last = (slot_key(schedule_id, until) if until else f"{schedule_id}/") + PAST_ALL
        self._after, self._before = (last, first) if self._newest_first else (first, last)

    def bodies(self, node: LocalNode, after: str | None, limit: int) -> list[tuple[str, str]]:
        """At most so many slots by their keys, after that of the slot `after`."""
        return node.store.bodies(
            "slot",
            after=after or self._after,
            before=self._before,
            limit=limit,
            newest_first=self._newest_first,
            state=self._outcome,
        )


Count = Annotated[int, Query(ge=1, le=1000, description="How many of them.")]


def _next(found: list[Preview], count: int) -> Response:
    return encoded(page(((rfc3339(each.planned), each.model_dump_json()) for each in found), count))


@router.get("/preview", responses={200: {"model": Page[Preview]}})
def preview_rule(
    node: Node,
    cron: Annotated[str, Query(description="As of a schedule.")],
    timezone: Annotated[str, Query(description="The IANA time zone that it goes by.")] = "UTC",
    count: Count = 10,
) -> Response:
    """When a rule would be due next that is no schedule yet, and what daylight saving time does to it."""
    return _next(timetable.preview_rule(cron, timezone, node.clock(), count), count)


@router.get("/{schedule_id}/preview", responses={200: {"model": Page[Preview]}})
def preview(node: Node, schedule_id: str, count: Count = 10) -> Response:
    """When a schedule is due next, and what daylight saving time does to it; never if it was removed."""
    return _next(scheduling.preview(scheduling.find_schedule(node, schedule_id), count), count)


@router.get("/summary")
def summary(node: Node) -> Summary:
    """How many schedules there are by state, and how many of their slots of the last day were troubled."""
    return summarize(node)


def newest(node: LocalNode, schedule_id: str) -> str | None:
    """The newest slot of a schedule, as JSON."""
    found = Ledger(schedule_id).bodies(node, None, 1)
    return found[0][1] if found else None


@router.get("/{schedule_id}/slots", responses={200: {"model": Page[Slot], "content": {"text/csv": {}}}})
def list_slots(
    request: Request,
    node: Node,
    asked: Asked,
    ledger: Annotated[Ledger, Depends()],
    form: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="In place of `Accept`, for a link.")
    ] = None,
) -> Response:
    """What became of each slot of a schedule; with `Accept: text/csv` a table of them, without pages.

    What is not known of a slot is left out.
    """
    scheduling.find_schedule(node, ledger.schedule_id)
    if form == "csv" or (form is None and "text/csv" in request.headers.get("accept", "")):
        return StreamingResponse(_csv(node, ledger), media_type="text/csv; charset=utf-8; header=present")
    return encoded(page(ledger.bodies(node, asked.after, asked.size + 1), asked.size))


def _csv(node: LocalNode, ledger: Ledger) -> Iterator[str]:
    """The slots as CSV (RFC 4180), with a line for each and one that names the columns."""
    columns = list(Slot.model_fields)
    yield _rows([columns])
    after = None
    while found := ledger.bodies(node, after, _AT_ONCE):
        after = found[-1][0]
        slots = [json.loads(body) for _, body in found]
        yield _rows([[_cell(slot.get(column)) for column in columns] for slot in slots])


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return " ".join(value)
        case _:
            return str(value)


def _rows(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
