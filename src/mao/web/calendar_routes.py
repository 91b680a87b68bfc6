"""The API of the calendar: how the slots of a schedule went, day by day."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mao import judging, scheduling
from mao.judging import MOST_DAYS, USUAL_DAYS
from mao.values import Value
from mao.verdict import Day
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import api

router = api("schedules", "/schedules")


class Calendar(Value):
    """How the last days of a schedule went."""

    schedule: str
    timezone: str
    """By whose clocks its days begin."""
    days: tuple[Day, ...]


@router.get("/{schedule_id}/calendar")
def show(
    node: Node,
    schedule_id: str,
    days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="How many days; the last one is today.")] = USUAL_DAYS,
) -> Calendar:
    """How the slots of each day went, the oldest first: by outcome, and by how their runs ended.

    Of a schedule of the cluster, how runs of other nodes ended is not known here: their slots count as `ran`.
    """
    schedule = scheduling.find_schedule(node, schedule_id)
    found = judging.days(node, schedule, days)
    return Calendar(schedule=schedule.id, timezone=schedule.timezone, days=tuple(found))
