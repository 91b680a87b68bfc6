"""The API of what is on this node: installed tools, their help, and clones of datasets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mao import cloning, installing, updating, usage
from mao.errors import NotInstalled
from mao.installation import Clone, Installation
from mao.web import streams
from mao.web.access import Key, Node, Wait, ended, idempotent, repeated
from mao.web.pages import Page, Wanted, encoded, page, wanted

router = APIRouter(tags=["this node"])
Asked = Annotated[Wanted, Depends(wanted)]


class NewInstallation(BaseModel):
    """What is needed to install a tool."""

    model_config = ConfigDict(extra="forbid")

    tool: str
    commit: str | None = Field(None, pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")


class NewClone(BaseModel):
    """What is needed to clone a dataset."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    history: bool = False


@router.get("/installations", responses={200: {"model": Page[Installation]}})
def list_installations(node: Node, asked: Asked) -> Response:
    """Tools installed on this node."""
    return encoded(page(node.store.bodies("installation", after=asked.after, limit=asked.size + 1), asked.size))


@router.get("/installations/{tool}", responses={200: {"model": Installation}})
async def show_installation(request: Request, node: Node, tool: str, wait: Wait) -> Response:
    """An installed tool; with `Prefer: wait=N`, when the attempt to install it has ended."""
    await ended(request, wait, lambda: tool.lower() not in {i.tool.lower() for i in node.store.live_installations()})
    body = node.store.body("installation", tool.lower())
    return encoded((body or installing.find_installation(node, tool).model_dump_json(by_alias=True)).encode())


@router.post("/installations", status_code=202, responses={202: {"model": Installation}})
def install(node: Node, new: NewInstallation, key: Key) -> Response:
    """Clone a tool, run its installer, clone its dataset."""
    location = repeated(node, key)
    if location is None:
        location = f"/api/v1/installations/{installing.request_install(node, new.tool, new.commit).tool}"
        if request := idempotent(key, location):
            node.store.remember(request)
    body = node.store.body("installation", location.rpartition("/")[2].lower())
    return encoded((body or "null").encode(), 202, Location=location)


@router.delete("/installations/{tool}", responses={202: {"model": Installation}, 204: {}}, status_code=204)
def remove(node: Node, tool: str) -> Response:
    """Remove a tool from this node (204); an attempt that is under way is cancelled first (202)."""
    left = installing.request_removal(node, tool)
    return Response(status_code=204) if left is None else encoded(left.model_dump_json(by_alias=True).encode(), 202)


@router.get("/installations/{tool}/help")
async def show_help(node: Node, tool: str) -> usage.Help:
    """Commands and their arguments, from the cached definition: the registry and git may be away."""
    installation = installing.find_installation(node, tool)
    if installation.definition is None or installation.commit is None:
        raise NotInstalled(f"'{installation.tool}' is not installed yet: {installation.attempt.step}.")
    return usage.describe(installation.definition, installation.commit)


@router.get("/installations/{tool}/update")
def preview_update(
    node: Node, tool: str, commit: Annotated[str | None, Query(pattern=r"^[0-9a-f]{40,64}$")] = None
) -> updating.Update:
    """What would change if the tool were installed at a commit (default: the one that its ref names now)."""
    return updating.describe_update(node, tool, commit)


@router.get("/installations/{tool}/log", response_class=Response)
async def installer_log(request: Request, node: Node, tool: str) -> Response:
    """What the installer printed; as server-sent events with `Accept: text/event-stream`."""
    installation = installing.find_installation(node, tool)
    attempt_id = installation.attempt.id

    def is_ended() -> bool:
        live = {i.attempt.id for i in node.store.live_installations()}
        return attempt_id not in live

    path = node.workspace.attempt(installation.tool, attempt_id) / "job" / "log"
    return streams.log_response(request, path, is_ended, lambda: node.store.body("installation", tool.lower()) or "{}")


@router.get("/clones", responses={200: {"model": Page[Clone]}})
def list_clones(node: Node, asked: Asked) -> Response:
    """Datasets cloned to this node without their tools."""
    return encoded(page(node.store.bodies("clone", after=asked.after, limit=asked.size + 1), asked.size))


@router.get("/clones/{dataset}", responses={200: {"model": Clone}})
async def show_clone(request: Request, node: Node, dataset: str, wait: Wait) -> Response:
    """A clone; with `Prefer: wait=N`, when it is ready or has failed."""
    await ended(request, wait, lambda: dataset.lower() not in {c.dataset.lower() for c in node.store.live_clones()})
    return encoded(cloning.find_clone(node, dataset).model_dump_json().encode())


@router.post("/clones", status_code=202, responses={202: {"model": Clone}})
def clone(node: Node, new: NewClone, key: Key) -> Response:
    """Clone a dataset to this node, or refresh the clone that is here."""
    location = repeated(node, key)
    if location is None:
        location = f"/api/v1/clones/{cloning.request_clone(node, new.dataset, history=new.history).dataset}"
        if request := idempotent(key, location):
            node.store.remember(request)
    found = cloning.find_clone(node, location.rpartition("/")[2])
    return encoded(found.model_dump_json().encode(), 202, Location=location)


@router.delete("/clones/{dataset}", status_code=204)
def remove_clone(node: Node, dataset: str) -> None:
    """Remove a clone from this node."""
    cloning.remove_clone(node, dataset)
