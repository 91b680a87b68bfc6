"""The first page: whether all that should have been measured is there, what runs, what broke, how old the data is."""

from __future__ import annotations

import json
from heapq import nlargest
from typing import TYPE_CHECKING

from fastapi import Response  # noqa: TC002  # FastAPI reads the annotations

from mao.catalogue import DATASETS, HEADS, NODES, Dataset, Node, dataset_in
from mao.run import Run, RunState
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = root()

_SHOWN = 8
"""Rows of each part of the page; the rest is on pages of their own."""
_TROUBLED = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST, RunState.UNPUBLISHED)


@router.get("/", include_in_schema=False)
def show(view: Viewed) -> Response:
    """How the observatory stands."""
    node = view.node
    entries = node.mirror.entries(NODES, limit=100)
    return view.page(
        "overview.html",
        live="run slot schedule dataset node installation alarm",
        nodes=[Node.model_validate_json(entry.value) for entry in entries],
        here=node.workspace.id(),
        registry_age=None if node.mirror.in_touch() else node.mirror.age(),
        going_on=[run for run in node.store.live_runs() if run.state in {RunState.QUEUED, RunState.RUNNING}],
        publishing=node.store.counts("run").get(RunState.PUBLISHING, 0),
        troubled=_troubled(node),
        datasets=_datasets(node),
        shown=_SHOWN,
    )


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
