"""The API of what is in a dataset: changes that were decided, files beside others, and whether all runs are there.

All of it asks the dataset's remote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from mao import changing, tracing, verifying
from mao.change import Action, Change
from mao.web.access import Key, Node, alone, once, patient
from mao.web.pages import Page, Wanted, encoded, page_of, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = api("published", "/datasets/{name}")
Asked = Annotated[Wanted, Depends(wanted)]


class NewChange(BaseModel):
    """What is needed to delete or move what is published: paths from the dataset's root, and the reason."""

    model_config = ConfigDict(extra="forbid")

    action: Action
    paths: list[str]
    to: str | None = None
    reason: str
    by: str | None = None


class NewVerification(BaseModel):
    """Whether to take the history of the branch as it is, and publish again what is missing."""

    model_config = ConfigDict(extra="forbid")

    republish: bool = False


@router.get("/changes", responses={200: {"model": Page[Change]}})
@patient
def list_changes(node: Node, name: str, asked: Asked) -> Response:
    """What was deleted and moved by command, by any node, the newest first."""
    return encoded(page_of(((one.commit, one) for one in tracing.changes(node, name)), asked))


@router.get("/changes/{commit}", responses={200: {"model": Change}})
@patient
def show_change(node: Node, name: str, commit: str) -> Response:
    """A change by its commit."""
    return encoded(tracing.find_change(node, name, commit).model_dump_json().encode())


@router.post("/changes", status_code=201, responses={201: {"model": Change}})
@patient
def make_change(node: Node, name: str, new: NewChange, key: Key) -> Response:
    """Delete or move files and folders by one commit on the branch; what was there stays in the history."""
    made: list[Change] = []

    def make() -> str:
        wish = changing.Wish(new.action, tuple(new.paths), new.reason, new.to, new.by)
        made.append(changing.change(node, name, wish))
        return f"/api/v1/datasets/{name}/changes/{made[0].commit}"

    location = once(node, key, make)
    change = made[0] if made else tracing.find_change(node, name, location.rpartition("/")[2])
    return encoded(change.model_dump_json().encode(), 201, Location=location)


@router.get("/conflicts", responses={200: {"model": Page[tracing.Beside]}})
@patient
def list_conflicts(
    node: Node,
    name: str,
    asked: Asked,
    *,
    here: Annotated[bool, Query(description="Those of this node's runs alone; the remote is not asked.")] = False,
) -> Response:
    """Files that stand beside others, whose path they could not have, the newest first."""
    found = tracing.conflicts_here(node, name) if here else tracing.conflicts(node, name)
    return encoded(page_of(((f"{one.run} {one.path}", one) for one in found), asked))


def _verified(node: LocalNode, name: str, *, republish: bool) -> bytes:
    return verifying.verify(node, name, republish=republish).model_dump_json().encode()


@router.get("/verification", responses={200: {"model": verifying.Verification}})
@patient
def verify(node: Node, name: str) -> Response:
    """Whether the branch has every run that this node has published to the dataset."""
    return encoded(_verified(node, name, republish=False))


@router.post("/verification", responses={200: {"model": verifying.Verification}})
@patient
def republish(node: Node, name: str, new: NewVerification, key: Key) -> Response:
    """See which runs the branch has lost, take its history as it is, and publish again what is on this node still."""
    with alone(node, key):  # what was done before is not done again: those runs are not missing then, but on their way
        return encoded(_verified(node, name, republish=new.republish))
