"""The API of the cluster: how nodes come to it, and how it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from mao import admitting
from mao.admitting import Admitted, Asked, Invited
from mao.names import Name  # FastAPI reads the annotations
from mao.web.access import Node  # noqa: TC001  # likewise
from mao.web.pages import encoded

router = APIRouter(tags=["cluster"])


class NewInvitation(BaseModel):
    """What is needed to invite a node."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    hours: Annotated[float, Field(gt=0, le=admitting.LONGEST_HOURS)] = 24


class Authority(BaseModel):
    """The authority of the cluster."""

    certificate: str


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
