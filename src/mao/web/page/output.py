"""What runs and installers print, in parts that a browser can show, whatever is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Response

from mao import log_file
from mao.web.log_routes import Log, log_of_installation, log_of_run
from mao.web.page import ansi
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root

if TYPE_CHECKING:
    from markupsafe import Markup

    from mao.local_node import LocalNode
    from mao.log_file import Window

router = root()

_Offset = Annotated[int | None, Query(ge=0, le=2**53)]


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the output is looked at: the last one, if nothing is said."""

    at: int | None = None
    """Where something is that is to be in it."""
    start: int | None = None
    """Where it begins."""
    before: int | None = None
    """Where it ends."""
    find: str = ""
    """What is marked in it; if nothing else is said, the part where that comes first."""
    after: int | None = None
    """From where on it is looked for."""


async def _place(
    at: _Offset = None,
    start: Annotated[int | None, Query(ge=0, le=2**53, alias="from")] = None,
    before: _Offset = None,
    find: Annotated[str, Query(max_length=log_file.LONGEST_TEXT)] = "",
    after: _Offset = None,
) -> Place:
    return Place(at, start, before, find, after)


Placed = Annotated[Place, Depends(_place)]
"""Which part of the output a request asks for: a page that shows output takes it as a parameter."""


@dataclass(frozen=True, slots=True)
class Output:
    """A part of what was printed, as `output.html` shows it."""

    key: str
    """What printed it: what comes with another key is another output."""
    parts: str
    """Where parts of it are."""
    log: str
    """Where the API has it."""
    over: bool
    """Whether nothing more will come."""
    window: Window
    lines: Markup
    find: str
    sought: str
    """What became of the search for `find`, if there was one."""
    next: str
    """The query that goes on with the search."""


def of_run(node: LocalNode, run_id: str, place: Place) -> Output:
    """A part of what a run printed.

    Raises:
        RunNotFound
    """
    return _output(log_of_run(node, run_id), f"/view/runs/{run_id}/output", place)


def of_installation(node: LocalNode, tool: str, place: Place) -> Output:
    """A part of what the last installer of `tool` printed.

    Raises:
        NotInstalled
    """
    return _output(log_of_installation(node, tool), f"/view/installations/{tool}/output", place)


def _output(log: Log, parts: str, place: Place) -> Output:
    over = log.over()  # asked before reading: what was written before the end is then all there
    window, sought, going_on = _window(log, place, over=over)
    lines = ansi.html(
        window.content,
        window.start,
        ansi.style_after(window.before),
        begins_line=window.begins_line,
        find=place.find,
    )
    return Output(log.key, parts, log.url, over, window, lines, place.find, sought, going_on)


def _window(log: Log, place: Place, *, over: bool) -> tuple[Window, str, str]:
    if place.at is not None:
        return log_file.window_around(log.path, place.at, over=over), "", ""
    if place.start is not None:
        return log_file.window_from(log.path, place.start, over=over), "", ""
    if place.find and place.before is None:
        found = log_file.search(log.path, place.find, place.after or 0)
        going_on = urlencode({"find": place.find, "after": found.scanned_to})
        if found.offset is not None:
            window = log_file.window_around(log.path, found.offset, over=over)
            return window, f"found at byte {found.offset}", going_on
        is_all = found.scanned_to >= found.size
        sought = "not found" if is_all else f"not found up to byte {found.scanned_to}"
        return log_file.window_before(log.path, over=over), sought, "" if is_all else going_on
    return log_file.window_before(log.path, place.before, over=over), "", ""


@router.get("/view/runs/{run_id}/output", include_in_schema=False)
def run_part(view: Viewed, run_id: str, place: Placed) -> Response:
    """A part of what a run printed."""
    return view.page("output_part.html", printed=of_run(view.node, run_id, place))


@router.get("/view/installations/{tool}/output", include_in_schema=False)
def installation_part(view: Viewed, tool: str, place: Placed) -> Response:
    """A part of what an installer printed."""
    return view.page("output_part.html", printed=of_installation(view.node, tool, place))
