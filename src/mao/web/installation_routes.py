"""The API of what is on this node: installed tools, their help, and clones of datasets."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mao import building, cloning, installing, updating, usage
from mao.errors import NotInstalled
from mao.installation import Clone, CloneState, Installation, Step
from mao.names import Folder
from mao.values import Since
from mao.web.access import Key, Node, Wait, ended, once, patient
from mao.web.pages import Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = api("this node")
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
    folders: list[Folder] = Field([], max_length=1000, description="Only the files below these; none: all.")
    since: Since | None = Field(None, description="With the history back to this day (in UTC) or moment.")
    history: bool = Field(default=False, description="With the whole history.")


@router.get("/installations", responses={200: {"model": Page[Installation]}})
def list_installations(node: Node, asked: Asked) -> Response:
    """Tools installed on this node."""
    return encoded(page(node.store.bodies("installation", after=asked.after, limit=asked.size + 1), asked.size))


def _installation(node: LocalNode, tool: str) -> str:
    return node.store.body("installation", tool.lower()) or building.find_installation(node, tool).model_dump_json(
        by_alias=True
    )


def attempt_ended(node: LocalNode, tool: str, attempt_id: str | None = None) -> bool:
    """Whether the attempt to install `tool` has ended: the one with this id, or the last one."""
    present = node.store.installation(tool)
    if present is None or present.attempt.step in {Step.DONE, Step.FAILED}:
        return True
    return attempt_id is not None and present.attempt.id != attempt_id


def _clone_ended(node: LocalNode, dataset: str) -> bool:
    present = node.store.clone(dataset)
    return present is None or present.state in {CloneState.READY, CloneState.FAILED}


def _clone(node: LocalNode, dataset: str) -> str:
    return node.store.body("clone", dataset.lower()) or cloning.find_clone(node, dataset).model_dump_json()


@router.get("/installations/{tool}", responses={200: {"model": Installation}})
async def show_installation(request: Request, node: Node, tool: str, wait: Wait) -> Response:
    """An installed tool; with `Prefer: wait=N`, when the attempt to install it has ended."""
    if wait:
        await ended(request, wait, lambda: attempt_ended(node, tool))
    return encoded(_installation(node, tool).encode())


@router.post("/installations", status_code=202, responses={202: {"model": Installation}})
@patient
def install(node: Node, new: NewInstallation, key: Key) -> Response:
    """Clone a tool, run its installer, clone its dataset."""

    def begin() -> str:
        return f"/api/v1/installations/{installing.request_install(node, new.tool, new.commit).tool}"

    location = once(node, key, begin)
    return encoded(_installation(node, location.rpartition("/")[2]).encode(), 202, Location=location)


@router.delete("/installations/{tool}", responses={202: {"model": Installation}, 204: {}}, status_code=204)
@patient
def remove(node: Node, tool: str) -> Response:
    """Remove a tool from this node (204); an attempt that is under way is cancelled first (202)."""
    left = installing.request_removal(node, tool)
    if left is None:
        return Response(status_code=204)
    return encoded(left.model_dump_json(by_alias=True).encode(), 202, Location=f"/api/v1/installations/{left.tool}")


@lru_cache(maxsize=256)
def _help(installation: str) -> bytes | None:
    """The help of an installation that is given as JSON: one that changes is another text."""
    value = Installation.model_validate_json(installation)
    if value.definition is None or value.commit is None:
        return None
    return usage.describe(value.definition, value.commit).model_dump_json().encode()


def help_of(node: LocalNode, tool: str) -> Response:
    """The help of an installed tool.

    Raises:
        NotInstalled
    """
    body = _help(_installation(node, tool))
    if body is None:
        attempt = building.find_installation(node, tool).attempt
        raise NotInstalled(f"'{tool}' is not installed yet: {attempt.detail or attempt.step}.")
    return encoded(body)


@router.get("/installations/{tool}/help", responses={200: {"model": usage.Help}})
async def show_help(node: Node, tool: str) -> Response:
    """Commands and their arguments, from the cached definition: the registry and git may be away."""
    return help_of(node, tool)


@router.get("/installations/{tool}/update")
@patient
def preview_update(
    node: Node,
    tool: str,
    commit: Annotated[str | None, Query(pattern=r"^[0-9a-f]{40,64}$")] = None,
    *,
    text: Annotated[bool, Query(description="Show the changes of the files line by line, too.")] = False,
) -> updating.Update:
    """What would change if the tool were installed at a commit.

    By default the one that its ref names now; of a tool that is not installed, the one that is registered.
    """
    return updating.describe_update(node, tool, commit, text=text)


@router.get("/clones", responses={200: {"model": Page[Clone]}})
def list_clones(node: Node, asked: Asked) -> Response:
    """Datasets cloned to this node without their tools."""
    return encoded(page(node.store.bodies("clone", after=asked.after, limit=asked.size + 1), asked.size))


@router.get("/clones/{dataset}", responses={200: {"model": Clone}})
async def show_clone(request: Request, node: Node, dataset: str, wait: Wait) -> Response:
    """A clone; with `Prefer: wait=N`, when it is ready or has failed."""
    if wait:
        await ended(request, wait, lambda: _clone_ended(node, dataset))
    return encoded(_clone(node, dataset).encode())


@router.post("/clones", status_code=202, responses={202: {"model": Clone}})
@patient
def clone(node: Node, new: NewClone, key: Key) -> Response:
    """Clone a dataset to this node, or refresh the clone that is here; it keeps what it has, and gets what is asked."""

    def begin() -> str:
        asked = cloning.request_clone(node, new.dataset, folders=new.folders, since=new.since, history=new.history)
        return f"/api/v1/clones/{asked.dataset}"

    location = once(node, key, begin)
    return encoded(_clone(node, location.rpartition("/")[2]).encode(), 202, Location=location)


@router.delete("/clones/{dataset}", status_code=204)
@patient
def remove_clone(node: Node, dataset: str) -> None:
    """Remove a clone from this node."""
    cloning.remove_clone(node, dataset)
