"""The eight endpoints of the prototype, at the root, for its clients: the same paths and fields, honest statuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import Response  # noqa: TC002  # FastAPI reads the annotations
from pydantic import BaseModel

from mao import cloning, finding, installing, registering, running, scheduling, usage
from mao.catalogue import DATASETS, TOOLS
from mao.errors import BadBody
from mao.rule import WORDS
from mao.run import Run
from mao.web.access import Node, patient, registry_age
from mao.web.installation_routes import help_of
from mao.web.pages import encoded
from mao.web.routing import root

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.schedule import Schedule

router = root("founding")


class Registration(BaseModel):
    name: str
    url: str


class Named(BaseModel):
    name: str


class FoundingRun(BaseModel):
    name: str
    command: str
    arguments: list[Any] | dict[str, Any] | None = None
    cron: bool = False
    frequency: str | None = None


def _names(node: LocalNode, prefix: str) -> Response:
    body = node.mirror.cached(f"encoded {prefix}", lambda: json.dumps(finding.names(node, prefix)).encode())
    return encoded(body, 200, **registry_age(node))


@router.get("/regtools", response_model=list[str])
async def regtools(node: Node) -> Response:
    """Names of the registered tools."""
    return _names(node, TOOLS)


@router.get("/datasets", response_model=list[str])
async def datasets(node: Node) -> Response:
    """Names of the registered datasets."""
    return _names(node, DATASETS)


@router.get("/installed")
def installed(node: Node) -> list[str]:
    """Names of the tools that are installed here."""
    return [json.loads(body)["tool"] for _, body in node.store.bodies("installation", state="installed")]


@router.post("/register", status_code=201)
@patient
def register(node: Node, new: Registration) -> dict[str, str]:
    """Register a tool under the name in its definition."""
    tool = registering.register_tool(node, new.url, name=new.name)
    return {"name": tool.name, "url": tool.url, "commit": tool.commit}


@router.post("/install", status_code=202)
@patient
def install(node: Node, wanted: Named, response: Response) -> dict[str, str]:
    """Begin to install a tool; `Location` tells how it goes."""
    installation = installing.request_install(node, wanted.name)
    response.headers["Location"] = f"/api/v1/installations/{installation.tool}"
    return {"name": installation.tool, "state": installation.state, "location": response.headers["Location"]}


@router.post("/help", response_model=usage.Help)
async def show_help(node: Node, wanted: Named) -> Response:
    """Commands of an installed tool and their arguments."""
    return help_of(node, wanted.name)


@router.post("/run", status_code=202)
def run(node: Node, wanted: FoundingRun, response: Response) -> dict[str, str]:
    """Start a run; with `cron`, add a schedule that does it `daily`, `weekly` or `monthly`.

    `Location` tells how it goes. `frequency` counts only with `cron`. A schedule goes by UTC and pushes no data.
    """
    arguments = wanted.arguments or []
    if not wanted.cron:
        made: Run | Schedule = running.request_run(node, running.Wish(wanted.name, wanted.command, arguments))
    elif wanted.frequency in WORDS:
        made = scheduling.add(node, scheduling.Plan(wanted.name, wanted.command, arguments, wanted.frequency))
    else:
        said = "is missing" if wanted.frequency is None else f"is '{wanted.frequency}'"
        raise BadBody(
            f"With 'cron', 'frequency' must be one of {', '.join(WORDS)}; it {said}. Nothing was added. Other"
            " rules are for POST /api/v1/schedules."
        )
    noun = "runs" if isinstance(made, Run) else "schedules"
    response.headers["Location"] = f"/api/v1/{noun}/{made.id}"
    return {"id": made.id, "state": made.state, "location": response.headers["Location"]}


@router.post("/retrieve", status_code=202)
@patient
def retrieve(node: Node, wanted: Named, response: Response) -> dict[str, str]:
    """Clone a dataset to this node; `Location` tells how it goes."""
    clone = cloning.request_clone(node, wanted.name)
    response.headers["Location"] = f"/api/v1/clones/{clone.dataset}"
    return {"name": clone.dataset, "state": clone.state, "location": response.headers["Location"]}
