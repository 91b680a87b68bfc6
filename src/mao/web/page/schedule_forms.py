"""Add and edit schedules, and see what a rule means while it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Response  # noqa: TC002  # FastAPI reads the annotations

from mao import scheduling, timetable
from mao.errors import BadSchedule
from mao.installation import Installation
from mao.rule import WORDS, zones
from mao.schedule import MOST_RETRIES, Overlap, Schedule
from mao.web.page.frame import View, Viewed  # noqa: TC001  # likewise
from mao.web.page.schedules import OVERLAPS, SPREADS
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.definition import Command
    from mao.local_node import LocalNode

router = root()

_TO_COME = 5
_USUAL = "0 6 * * *"


@router.get("/view/schedules/preview", include_in_schema=False)
def preview(view: Viewed, cron: str = "", timezone: str = "UTC") -> Response:
    """When a rule would be due next, or what is wrong with it: a part of a page."""
    return view.page("schedule_preview.html", **_previewed(view.node, cron, timezone))


def _previewed(node: LocalNode, cron: str, timezone: str) -> dict[str, Any]:
    try:
        to_come = timetable.preview_rule(cron.strip(), timezone.strip(), node.clock(), _TO_COME)
    except BadSchedule as error:
        return {"to_come": [], "fault": error.detail.removesuffix(" Nothing was changed.")}
    return {"to_come": to_come, "fault": None}


@router.get("/view/schedules/new", include_in_schema=False)
def new(view: Viewed, tool: str = "", command: str = "", of: str = "") -> Response:
    """The form for a new schedule of a command of a tool that is installed here."""
    if of:
        tool, _, command = of.partition("/")
    installed = _installed(view.node)
    known = next((each for each in installed if each.tool.lower() == tool.lower()), None)
    commands = known.definition.commands if known and known.definition else ()
    chosen = next((each for each in commands if each.name.lower() == command.lower() or len(commands) == 1), None)
    return _form(view, chosen, known.tool if known else tool, None, installed=installed)


@router.get("/view/schedules/{schedule_id}/edit", include_in_schema=False)
def edit(view: Viewed, schedule_id: str) -> Response:
    """The form for what can be changed of a schedule."""
    schedule = scheduling.find_schedule(view.node, schedule_id)
    installation = view.node.store.installation(schedule.tool)
    commands = installation.definition.commands if installation and installation.definition else ()
    command = next((each for each in commands if each.name.lower() == schedule.command.lower()), None)
    return _form(view, command, schedule.tool, schedule, installed=[])


def _form(
    view: View, command: Command | None, tool: str, schedule: Schedule | None, *, installed: list[Installation]
) -> Response:
    cron, timezone = (schedule.cron, schedule.timezone) if schedule else (_USUAL, "UTC")
    return view.page(
        "schedule_form.html",
        schedule=schedule,
        tool=tool,
        command=command,
        given=_given(command, schedule),
        installed=installed,
        cron=cron,
        timezone=timezone,
        zones=sorted(zones()),
        words=list(WORDS),
        overlaps=OVERLAPS,
        spreads=SPREADS,
        usual=Overlap.SKIP,
        most_retries=MOST_RETRIES,
        in_cluster=view.node.config["registry.url"] != "sqlite",
        **_previewed(view.node, cron, timezone),
    )


def _given(command: Command | None, schedule: Schedule | None) -> dict[str, object]:
    """The arguments that a schedule has, by name."""
    if command is None or schedule is None:
        return {}
    if isinstance(schedule.arguments, dict):
        return schedule.arguments
    return {argument.name: value for argument, value in zip(command.arguments, schedule.arguments, strict=False)}


def _installed(node: LocalNode) -> list[Installation]:
    """What is installed here, as far as it can be run."""
    found = [Installation.model_validate_json(body) for _, body in node.store.bodies("installation")]
    return [each for each in found if each.definition is not None]
