"""The API of approvals: which commits of tools people of this node have let in."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mao import approving
from mao.approval import Approval
from mao.names import Name
from mao.web.access import Node, patient
from mao.web.pages import Page, Wanted, encoded, page, wanted
from mao.web.routing import api

router = api("this node")

_COMMIT = r"^([0-9a-f]{40}|[0-9a-f]{64})$"


class NewApproval(BaseModel):
    """What is needed to approve a commit."""

    model_config = ConfigDict(extra="forbid")

    tool: Name
    commit: str = Field(pattern=_COMMIT)


@router.get("/approvals", responses={200: {"model": Page[Approval]}})
def list_approvals(
    node: Node,
    asked: Annotated[Wanted, Depends(wanted)],
    tool: Annotated[str | None, Query(description="Commits of this tool.")] = None,
) -> Response:
    """Commits of tools that are approved on this node."""
    of = tool.lower() if tool else None
    return encoded(page(node.store.bodies("approval", after=asked.after, limit=asked.size + 1, tool=of), asked.size))


@router.post("/approvals", status_code=201)
@patient
def approve(request: Request, node: Node, new: NewApproval) -> Approval:
    """Let a registered tool in at one commit, whatever `policy.approve` and `policy.cooldown` say."""
    return approving.approve(node, new.tool, new.commit, request.state.caller.name)


@router.delete("/approvals/{tool}/{commit}", status_code=204)
def withdraw(node: Node, tool: str, commit: Annotated[str, Path(pattern=_COMMIT)]) -> None:
    """Do not let the tool in at this commit any more; where it is installed by now, it stays."""
    approving.withdraw(node, tool, commit)
