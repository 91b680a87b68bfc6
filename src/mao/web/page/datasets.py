"""Datasets: how they grow, what they were filled by, and a look at what is newest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, Header, Query, Response

from mao import finding, inspecting, surveying
from mao.catalogue import DATASETS, Dataset
from mao.errors import MaoError, RunNotFound
from mao.run import Run
from mao.web.access import patient
from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.page.links import commit_url
from mao.web.page.looking import Glimpse, look, visible
from mao.web.page.plotting import commits_by_day, growth_over_time
from mao.web.pages import Wanted, token_of, wanted
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.inspecting import FileHere, Found
    from mao.installation import Clone
    from mao.local_node import LocalNode

router = root()

_RUNS = 10
_FILES = 50
_GAPS = 10
_WAIT = 20.0
"""Seconds that a page waits for what a dataset's remote says; it is counted on all the same."""
_waiting: set[asyncio.Task[Any]] = set()


@router.get("/view/datasets", include_in_schema=False)
def show_all(
    view: Viewed, asked: Annotated[Wanted, Depends(wanted)], search: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The registered datasets."""
    node = view.node
    entries = finding.listed(node, DATASETS, after=asked.after or "", limit=asked.size + 1, search=search or None)
    more = len(entries) > asked.size
    entries = entries[: asked.size]
    token = token_of(entries[-1].key.removeprefix(DATASETS)) if more else None
    return view.page(
        "datasets.html",
        live="dataset clone",
        datasets=[Dataset.model_validate_json(finding.shown(node, entry)) for entry in entries],
        cloned={name for name, _ in node.store.bodies("clone")},
        search=search,
        next=f"/view/datasets?{urlencode({'search': search, 'page_token': token})}" if token else None,
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """A file that can be looked at."""

    name: str
    size: int
    target: str
    chosen: bool


@router.get("/view/datasets/{name}", include_in_schema=False)
def show(view: Viewed, name: str, file: Annotated[str, Query(max_length=4096)] = "") -> Response:
    """All that is known of a dataset, without asking its remote."""
    node = view.node
    dataset = finding.find_dataset(node, name)
    bodies = node.store.bodies("run", newest_first=True, limit=_RUNS, dataset=dataset.name.lower())
    runs = [Run.model_validate_json(body) for _, body in bodies]
    clone = node.store.clone(dataset.name)
    return view.page(
        "dataset.html",
        live=f"dataset:{dataset.name} run:{dataset.name} clone:{dataset.name}",
        dataset=dataset,
        link=dataset.url if dataset.url.startswith(("https://", "http://")) else None,
        commit_link=commit_url(dataset.url, dataset.head) if dataset.head else None,
        runs=runs,
        clone=clone,
        **_growth(node, dataset.name, ask=False),
        **_newest(node, dataset.name, runs, clone, file),
    )


@router.get("/view/datasets/{name}/growth", include_in_schema=False)
async def show_growth(view: Viewed, name: str, hx_request: Annotated[str, Header()] = "") -> Response:
    """What the remote says now of how a dataset has grown: part of its page, or alone for who has no scripts."""
    dataset = finding.find_dataset(view.node, name)
    task = asyncio.ensure_future(_asked(view.node, name))
    _waiting.add(task)
    task.add_done_callback(_waiting.discard)
    done, _ = await asyncio.wait({task}, timeout=_WAIT)
    values, problem = None, None
    try:
        values = task.result() if done else None
    except MaoError as error:
        problem = error.detail
    template = "dataset_asked.html" if hx_request else "dataset_growth.html"
    return view.page(template, name=dataset.name, problem=problem, values=values, **(values or {}))


@patient
def _asked(node: LocalNode, name: str) -> dict[str, Any]:
    return _growth(node, name, ask=True)


def _growth(node: LocalNode, name: str, *, ask: bool) -> dict[str, Any]:
    grown = surveying.survey(node, name, ask=ask)
    course = surveying.course(node, name)
    return {
        "growth": grown,
        "course": course,
        "gaps": course.gaps[:_GAPS],
        "by_day": commits_by_day(course.days),
        "over_time": growth_over_time(course.days),
    }


def _newest(node: LocalNode, name: str, runs: list[Run], clone: Clone | None, wanted_file: str) -> dict[str, Any]:
    """The newest files that this node has of a dataset, and the look at the one that is chosen."""
    origin, files, base, run = _files(node, runs, clone)
    paths = [file.path for file in files]
    chosen = wanted_file if wanted_file in paths else paths[0] if paths else None
    glimpse, problem, found = None, None, None
    if chosen is not None:
        try:
            found = _found(node, run, clone, chosen)
            glimpse = look(chosen, found.media_type, found.size, found.part)
        except (MaoError, OSError) as error:
            problem = error.detail if isinstance(error, MaoError) else str(error)
    return {
        "origin": origin,
        "from_run": run,
        "choices": [
            _Choice(
                visible(file.path, lines=True),
                file.size,
                f"/view/datasets/{name}?{urlencode({'file': file.path})}#newest",
                file.path == chosen,
            )
            for file in files
        ],
        "chosen": visible(chosen, lines=True) if chosen is not None else None,
        "content": f"{base}?path={quote(chosen, safe='')}" if chosen is not None else None,
        "glimpse": glimpse or Glimpse(),
        "file_problem": problem,
        "file_size": found.size if found else 0,
    }


def _files(node: LocalNode, runs: list[Run], clone: Clone | None) -> tuple[str, list[FileHere], str, Run | None]:
    """Where the newest files are from that are here, these, where the API has them, and their run."""
    for run in runs:
        files = [file for _, file in zip(range(_FILES), inspecting.run_files(node, run), strict=False) if file.here]
        if files:
            return "run", files, f"/api/v1/runs/{run.id}/content", run
    if clone is not None and clone.path is not None:
        try:
            files = inspecting.clone_files(node, clone)
        except MaoError:
            files = []
        if files:
            return "clone", files, f"/api/v1/clones/{clone.dataset}/content", None
    return "nothing", [], "", None


def _found(node: LocalNode, run: Run | None, clone: Clone | None, path: str) -> Found:
    if run is not None:
        return inspecting.run_file(node, run, path)
    if clone is None:
        raise RunNotFound("There is no run, and no clone.")
    return inspecting.clone_file(node, clone, path)
