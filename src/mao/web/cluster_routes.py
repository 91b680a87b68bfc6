"""The API of the cluster: how nodes come to it, and how it is."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from mao import admitting, catalogue, examining, granting, seating
from mao.admitting import Admitted, Asked, Invited
from mao.errors import Denied, MaoError
from mao.examining import ClockState, ClusterState
from mao.names import Name  # FastAPI reads the annotations
from mao.seating import Seats, Wish
from mao.web.access import Node  # noqa: TC001  # likewise
from mao.web.pages import encoded
from mao.web.relaying import connected
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.config import Config
    from mao.local_node import LocalNode

router = api("cluster")

_CLOCKS = 64
"""How many nodes are asked for their time at once."""
_PATIENCE = 5.0
"""Seconds for an answer to that."""


class NewInvitation(BaseModel):
    """What is needed to invite a node."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    hours: Annotated[float, Field(gt=0, le=admitting.LONGEST_HOURS)] = 24


class WantedRights(BaseModel):
    """The keys that a node wants to write."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[tuple[str, ...], Field(max_length=100)]


class Authority(BaseModel):
    """The authority of the cluster."""

    certificate: str


@router.get("/cluster", responses={200: {"model": ClusterState}})
async def show_cluster(node: Node) -> Response:
    """How the cluster is: members of etcd, clocks of the nodes, certificates, and what to do about what is wrong."""
    state = await look_at_cluster(node)
    return encoded(state.model_dump_json().encode())


async def look_at_cluster(node: LocalNode) -> ClusterState:
    """How the cluster is; all its nodes are asked.

    Raises:
        Conflict: the node is in no cluster.
    """
    at_once = asyncio.Semaphore(_CLOCKS)
    entries = node.mirror.entries(catalogue.NODES) if isfinite(node.mirror.age()) else []
    nodes = [catalogue.Node.model_validate_json(entry.value) for entry in entries]
    others = [one for one in nodes if one.id != node.workspace.id()]
    clocks = await asyncio.gather(*(_clock(node.config, one, at_once) for one in others))
    return await run_in_threadpool(examining.examine, node, clocks)


async def _clock(config: Config, other: catalogue.Node, at_once: asyncio.Semaphore) -> ClockState:
    """How far the clock of another node is ahead of this one's."""
    async with at_once:
        try:
            async with asyncio.timeout(_PATIENCE):
                peer = await connected(config, other.name, other.url)
                try:
                    begin = time.time()
                    await peer.ask("GET", "/healthz", {}, b"", _PATIENCE)
                    within = (time.time() - begin) / 2
                    body = b"".join([part async for part in peer.body()])
                finally:
                    peer.writer.transport.abort()
            theirs = datetime.fromisoformat(json.loads(body)["time"]).timestamp()
        except TimeoutError:
            words = f"Node '{other.name}' gives no answer at {other.url} within {_PATIENCE:g} s."
        except MaoError as error:
            words = error.detail
        except (ValueError, KeyError) as error:
            words = f"Node '{other.name}' does not tell its time at {other.url}: {error!r}."
        else:
            offset = theirs - (begin + within)
            return ClockState(node=other.name, url=other.url, offset=round(offset, 3), within=round(within, 3))
    return ClockState(node=other.name, url=other.url, error=words)


@router.post("/cluster/invitations", status_code=201, responses={201: {"model": Invited}})
def invite(node: Node, new: NewInvitation) -> Response:
    """Make an invitation for one node; it is shown this once."""
    return encoded(admitting.invite(node.config, name=new.name, hours=new.hours).model_dump_json().encode(), 201)


@router.get("/cluster/join")
def show_authority(node: Node) -> Authority:
    """The certificate of the cluster's authority, to be compared with what an invitation says before it is used."""
    return Authority(certificate=admitting.authority_certificate(node))


@router.post("/cluster/join", responses={200: {"model": Admitted}})
def join(node: Node, asked: Asked) -> Response:
    """Admit a node that shows an invitation: its certificate, and where the registry is."""
    return encoded(admitting.admit(node, asked).model_dump_json().encode())


async def _peer(request: Request) -> str:
    """The node that asks, by its certificate."""
    peer: str | None = getattr(request.state, "peer", None)
    if peer is None:
        raise Denied("That is asked by a node of the cluster, for itself, by its certificate. Nothing was done.")
    return peer


Peer = Annotated[str, Depends(_peer)]


@router.post("/cluster/grants", status_code=204)
def grant(node: Node, peer: Peer, wanted: WantedRights) -> None:
    """Let the node that asks write keys of the registry which nobody has made, or that node."""
    with node.locked("cluster", "grants"):
        granting.grant(node.config, peer, wanted.keys)


@router.post("/cluster/members", responses={200: {"model": Seats}})
def change_members(node: Node, peer: Peer, wished: Wish) -> Response:
    """Add, promote or remove the member of etcd of the node that asks."""
    members = seating.fulfil(node.config, peer, wished)
    return encoded(Seats.model_validate({"members": [asdict(one) for one in members]}).model_dump_json().encode())
