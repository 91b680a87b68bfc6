"""Runs: those of this node, and one of them with all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Response
from pydantic import BeforeValidator

from mao import running
from mao.catalogue import DATASETS
from mao.errors import RegistryUnavailable, SecretInData
from mao.failures import FAILURES
from mao.run import UNENDED, PublicationState, Run, RunState
from mao.web import pages
from mao.web.page import output
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.output import Placed  # noqa: TC001  # likewise
from mao.web.routing import root
from mao.web.run_routes import Asked, Filter, listed

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = root()

_NAMES = 200
"""Names that are offered to choose from."""
_FILES = 200
"""Files that are shown; a run may add any number."""
_HELD = frozenset({PublicationState.KEPT, PublicationState.WAITING, PublicationState.BLOCKED})
"""What goes out when somebody asks for it."""


async def _only(
    tool: str = "",
    # A form sends what nobody has chosen, too.
    state: Annotated[RunState | None, BeforeValidator(lambda text: text or None), Query()] = None,
    dataset: str = "",
) -> Filter:
    return Filter(tool.strip() or None, state, dataset.strip() or None)


@router.get("/view/runs", include_in_schema=False)
def show_all(view: Viewed, asked: Asked, only: Annotated[Filter, Depends(_only)]) -> Response:
    """Runs of this node, the newest first."""
    bodies, token = pages.cut(listed(view.node, asked, only), asked.size)
    filters = {"tool": only.tool, "state": only.state, "dataset": only.dataset}
    query = {name: str(value) for name, value in filters.items() if value}
    return view.page(
        "runs.html",
        live="run",
        runs=[Run.model_validate_json(body) for _, body in bodies],
        only=only,
        states=list(RunState),
        tools=[name for name, _ in view.node.store.bodies("installation", limit=_NAMES)],
        datasets=_datasets(view.node),
        later=asked.after is not None,
        newest=f"/view/runs?{urlencode(query)}",
        older=f"/view/runs?{urlencode(query | {'page_token': token})}" if token else "",
    )


def _datasets(node: LocalNode) -> list[str]:
    try:
        return [entry.key.removeprefix(DATASETS) for entry in node.mirror.entries(DATASETS, limit=_NAMES)]
    except RegistryUnavailable:
        return []


@router.get("/view/runs/{run_id}", include_in_schema=False)
def show(view: Viewed, run_id: str, place: Placed) -> Response:
    """A run."""
    run = running.find_run(view.node, run_id)
    publication = run.publication
    cause = publication.cause if publication else None
    installation = view.node.store.installation(run.tool)
    return view.page(
        "run.html",
        live=f"run:{run.id}",
        run=run,
        publication=publication,
        files=publication.files[:_FILES] if publication else (),
        printed=output.of_run(view.node, run.id, place),
        unended=run.state in UNENDED,
        tool_url=(installation.url if installation else None) or "",
        explained=next((known for known in FAILURES if known.cause == cause), None) if cause else None,
        repeatable=None not in run.arguments.values(),
        publishable=publication is not None and publication.state in _HELD and run.state not in UNENDED,
        has_secret=cause == SecretInData.code(),
    )
