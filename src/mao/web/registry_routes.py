"""The API of what the cluster shares: tools and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict

from mao import finding, registering, surveying
from mao.catalogue import DATASETS, TOOLS, Dataset, Tool, dataset_key, tool_key
from mao.daily import Course
from mao.growth import Growth
from mao.web.access import AsAdministrator, IfMatch, Key, Node, once, patient, registry_age
from mao.web.pages import USUAL_SIZE, Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.local_node import LocalNode

router = api("registry")
Asked = Annotated[Wanted, Depends(wanted)]
Search = Annotated[str | None, Query(max_length=200, description="Part of the name or description.")]


class NewTool(BaseModel):
    """What is needed to register a tool."""

    model_config = ConfigDict(extra="forbid")

    url: str
    ref: str | None = None
    name: str | None = None


class NewDataset(BaseModel):
    """What is needed to register a dataset."""

    model_config = ConfigDict(extra="forbid")

    name: str
    url: str
    description: str = ""


def _listed(node: LocalNode, prefix: str, asked: Wanted, search: str | None) -> Response:
    if asked.after is None and search is None and asked.size <= USUAL_SIZE:
        body = node.mirror.cached(f"page {prefix} {asked.size}", lambda: _page(node, prefix, asked, search))
    else:
        body = _page(node, prefix, asked, search)
    return encoded(body, 200, **registry_age(node))


def _page(node: LocalNode, prefix: str, asked: Wanted, search: str | None) -> bytes:
    listed = finding.listed(node, prefix, after=asked.after or "", limit=asked.size + 1, search=search)
    return page(((entry.key.removeprefix(prefix), finding.shown(node, entry)) for entry in listed), asked.size)


def _one(
    node: LocalNode, key: str, find: Callable[[LocalNode, str], object], status: int = 200, **headers: str
) -> Response:
    while (entry := node.mirror.get(key)) is None:
        find(node, key.rpartition("/")[2])  # says what is near
    return encoded(finding.shown(node, entry), status, ETag=f'"{entry.revision}"', **registry_age(node), **headers)


async def _shown(node: LocalNode, key: str, find: Callable[[LocalNode, str], object]) -> Response:
    if node.mirror.get(key) is None:  # all names are compared with this one, to say what is near
        await run_in_threadpool(find, node, key.rpartition("/")[2])
    return _one(node, key, find)


# The lists are answered from memory, on the event loop: a thread would cost more than the answer.
@router.get("/tools", responses={200: {"model": Page[Tool]}})
async def list_tools(node: Node, asked: Asked, search: Search = None) -> Response:
    """Tools registered in the cluster."""
    return _listed(node, TOOLS, asked, search)


@router.get("/tools/{name}", responses={200: {"model": Tool}})
async def show_tool(node: Node, name: str) -> Response:
    """A registered tool; its `ETag` goes into `If-Match` to replace it."""
    return await _shown(node, tool_key(name), finding.find_tool)


@router.post("/tools", status_code=201, responses={200: {"model": Tool}, 201: {"model": Tool}})
@patient
def register_tool(node: Node, new: NewTool, if_match: IfMatch, key: Key, as_administrator: AsAdministrator) -> Response:
    """Register a tool: its definition is read from the repository and checked. With `If-Match`, replace it (200)."""

    def register() -> str:
        tool = registering.register_tool(
            node,
            new.url,
            ref=new.ref,
            name=new.name,
            if_revision=if_match,
            as_administrator=as_administrator,
        )
        return f"/api/v1/tools/{tool.name}"

    location = once(node, key, register)
    status = 201 if if_match is None else 200
    return _one(node, tool_key(location.rpartition("/")[2]), finding.find_tool, status, Location=location)


@router.delete("/tools/{name}", status_code=204)
@patient
def withdraw_tool(node: Node, name: str, if_match: IfMatch, as_administrator: AsAdministrator) -> None:
    """Withdraw a tool from the registry; where it is installed it stays."""
    registering.withdraw_tool(node, name, if_revision=if_match, as_administrator=as_administrator)


@router.get("/datasets", responses={200: {"model": Page[Dataset]}})
async def list_datasets(node: Node, asked: Asked, search: Search = None) -> Response:
    """Datasets registered in the cluster."""
    return _listed(node, DATASETS, asked, search)


@router.get("/datasets/{name}", responses={200: {"model": Dataset}})
async def show_dataset(node: Node, name: str) -> Response:
    """A registered dataset; its `ETag` goes into `If-Match` to replace it."""
    return await _shown(node, dataset_key(name), finding.find_dataset)


@router.get("/datasets/{name}/growth", responses={200: {"model": Growth}})
@patient
def show_growth(node: Node, name: str) -> Response:
    """How large a dataset is, how fast it grows, and what will make it slow or too large; the remote is asked."""
    return encoded(surveying.survey(node, name).model_dump_json().encode())


@router.get("/datasets/{name}/course", responses={200: {"model": Course}})
def show_course(node: Node, name: str) -> Response:
    """What was added to a dataset on each day, and missing days, as this node knows them; no remote is asked."""
    return encoded(surveying.course(node, name).model_dump_json().encode())


@router.post("/datasets", status_code=201, responses={200: {"model": Dataset}, 201: {"model": Dataset}})
@patient
def register_dataset(
    node: Node, new: NewDataset, if_match: IfMatch, key: Key, as_administrator: AsAdministrator
) -> Response:
    """Register a git remote as a dataset. With `If-Match`, replace the url and description of one (200)."""

    def register() -> str:
        dataset = registering.register_dataset(
            node, new.name, new.url, new.description, if_revision=if_match, as_administrator=as_administrator
        )
        return f"/api/v1/datasets/{dataset.name}"

    location = once(node, key, register)
    status = 201 if if_match is None else 200
    return _one(node, dataset_key(location.rpartition("/")[2]), finding.find_dataset, status, Location=location)


@router.delete("/datasets/{name}", status_code=204)
@patient
def withdraw_dataset(node: Node, name: str, if_match: IfMatch, as_administrator: AsAdministrator) -> None:
    """Withdraw a dataset from the registry; its remote and its clones stay."""
    registering.withdraw_dataset(node, name, if_revision=if_match, as_administrator=as_administrator)
