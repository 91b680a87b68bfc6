"""What another commit of a tool would change here, shown before it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from fastapi import Query, Response  # FastAPI reads the annotations

from mao import updating
from mao.web.access import patient
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root

if TYPE_CHECKING:
    from collections.abc import Iterator

router = root()

_MOST_LINES = 3000
"""Lines of one diff that are shown; the command line shows all."""
_MOST_FILES = 500
_KINDS = {"+": "added", "-": "gone", "@": "place"}
MODES = {"100755": "program", "120000": "symbolic link", "160000": "submodule"}


class Line(NamedTuple):
    """A line of a diff."""

    kind: str
    text: str


class Diff(NamedTuple):
    """A diff, as much of it as is shown."""

    title: str
    lines: list[Line]
    left: int
    """How many lines there are besides."""


@router.get("/view/tools/{name}/update", include_in_schema=False)
@patient
def show(
    view: Viewed,
    name: str,
    commit: Annotated[str | None, Query(pattern=r"^[0-9a-f]{40,64}$")] = None,
    *,
    text: bool = False,
) -> Response:
    """What would change if the tool were installed at `commit`, or at the one that its ref names now."""
    update = updating.describe_update(view.node, name, commit, text=text)
    diffs = (("Definition", update.definition_diff), ("Installer", update.installer_diff), ("Files", update.text))
    return view.page(
        "tool_update.html",
        update=update,
        has_text=text,
        diffs=[_diff(title, diff) for title, diff in diffs if diff],
        files=update.files[:_MOST_FILES],
        modes=MODES,
    )


def _diff(title: str, text: str) -> Diff:
    rows = text.split("\n")[:-1]
    return Diff(title, [*_lines(rows[:_MOST_LINES])], max(0, len(rows) - _MOST_LINES))


def _lines(rows: list[str]) -> Iterator[Line]:
    for row in rows:
        heading = row.startswith(("diff --git", "index ", "--- ", "+++ "))
        yield Line("place" if heading else _KINDS.get(row[:1], ""), row)
