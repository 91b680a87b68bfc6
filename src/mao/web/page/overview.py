"""The first page: whether all that should have been measured is there, what runs, what broke, how old the data is."""

from __future__ import annotations

import json
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from fastapi import Response  # noqa: TC002  # FastAPI reads the annotations

from mao.catalogue import DATASETS, HEADS, NODES, Dataset, Node, dataset_in
from mao.diagnosing import waiting
from mao.errors import RegistryUnavailable
from mao.run import UNENDED, Run, RunState
from mao.schedule import LASTING
from mao.web.page import calendar
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root
from mao.wording import seconds

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = root()

_SHOWN = 8
"""Rows of each part of the page; the rest is on pages of their own."""
_ROWS = 30
"""Schedules in the calendar."""
_TROUBLED = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST, RunState.UNPUBLISHED)


@router.get("/", include_in_schema=False)
def show(view: Viewed) -> Response:
    """How the observatory stands."""
    node = view.node
    return view.page(
        "overview.html",
        live="run slot schedule dataset node installation alarm",
        here=node.workspace.id(),
        waiting=waiting(node).total,
        going_on=[run for run in node.store.live_runs() if run.state in UNENDED],
        troubled=_troubled(node),
        **_registered(node),
        shown=_SHOWN,
        calendar=calendar.worst(node, _ROWS),
        legend=calendar.LEGEND,
        schedules=sum(node.store.counts("schedule").get(state, 0) for state in LASTING),
    )


def _registered(node: LocalNode) -> dict[str, Any]:
    """What the registry holds, and how old that is if it is away; what this node does itself is shown anyway."""
    try:
        entries = node.mirror.entries(NODES, limit=100)
    except RegistryUnavailable as error:
        return {"nodes": [], "datasets": [], "away": error.detail}
    words = f"The registry has been out of reach for {seconds(node.mirror.age())}"
    return {
        "nodes": [Node.model_validate_json(entry.value) for entry in entries],
        "datasets": _datasets(node),
        "away": "" if node.mirror.in_touch() else f"{words}: what other nodes do is shown as it was then.",
    }


def _troubled(node: LocalNode) -> list[Run]:
    """The last runs that did not do what was wanted of them, newest first."""
    found = [
        Run.model_validate_json(body)
        for state in _TROUBLED
        for _, body in node.store.bodies("run", state=state, newest_first=True, limit=_SHOWN)
    ]
    return sorted(found, key=lambda run: run.id, reverse=True)[:_SHOWN]


def _datasets(node: LocalNode) -> list[Dataset]:
    """Registered datasets, those with the newest data first."""
    told = node.mirror.each("newest data", HEADS, lambda entry: json.loads(entry.value).get("updated_at") or "")
    newest = nlargest(_SHOWN, told.items(), key=lambda item: item[1][1])
    keys = [key.removeprefix(HEADS) for key, _ in newest]
    others = (entry.key.removeprefix(DATASETS) for entry in node.mirror.entries(DATASETS, limit=2 * _SHOWN))
    keys += [key for key in others if key not in keys]
    found = (dataset_in(node.mirror.get, key) for key in keys)
    return [dataset for dataset in found if dataset is not None][:_SHOWN]
