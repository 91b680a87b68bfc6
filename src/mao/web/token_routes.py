"""The API of access: tokens and links for browsers. All of it is for administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Request, Response  # noqa: TC002  # FastAPI reads the annotations
from pydantic import BaseModel, ConfigDict, Field

from mao.caller import OWNER
from mao.errors import BadBody, BadName, BadSetting
from mao.names import name_fault
from mao.tokens import LINK, Token
from mao.values import Moment, Since, Value, now
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import Page, encoded, page
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.caller import Caller
    from mao.web.callers import Entrance

router = api("access")


class NewToken(BaseModel):
    """What a token is to be good for."""

    model_config = ConfigDict(extra="forbid")

    name: str
    scope: Literal["read", "run", "admin"]
    tools: Annotated[list[str], Field(min_length=1)] | None = None
    expires_at: Since | None = None


class MadeToken(Token):
    """A token with its text, which is told this once."""

    token: str


class Link(Value):
    """Where a browser signs in, once."""

    url: str
    expires_at: Moment


@router.post("/tokens", status_code=201, responses={201: {"model": MadeToken}})
def make(node: Node, new: NewToken) -> Response:
    """Make a token; its text is in the answer, and nowhere else."""
    for what in (new.name, *(new.tools or ())):
        if fault := name_fault(what):
            raise BadName(f"The name '{what}' {fault}. Nothing was made.")
    if new.tools and new.scope != "run":
        raise BadBody(
            f"A token with the scope '{new.scope}' cannot be limited to tools, only one with the scope 'run'."
        )
    present = now()
    if new.expires_at is not None and new.expires_at <= present:
        raise BadBody("The token would have expired already. Nothing was made.")
    text = node.tokens.make(new.name, new.scope, new.tools, present, new.expires_at)
    made = MadeToken(**dict(node.tokens.named(new.name)), token=text)
    return encoded(made.model_dump_json().encode(), 201, **{"Cache-Control": "no-store"})


@router.get("/tokens", responses={200: {"model": Page[Token]}})
async def list_tokens(node: Node) -> Response:
    """All tokens, those that are revoked or have expired, too; on one page."""
    tokens = [(token.name, token.model_dump_json()) for token in node.tokens.listed()]
    return encoded(page(tokens, len(tokens)))


@router.delete("/tokens/{name}", responses={200: {"model": Token}})
def revoke(node: Node, name: str) -> Response:
    """Revoke a token: nothing is answered to it from now on, nor to browsers that signed in with it."""
    return encoded(node.tokens.revoke(name, now()).model_dump_json().encode())


@router.post("/links", status_code=201, responses={201: {"model": Link}})
def link(request: Request, node: Node) -> Response:
    """A link with which a browser signs in, once and soon, as whoever asks for it."""
    entrance: Entrance = request.app.state.entrance
    caller: Caller = request.state.caller
    if entrance.url is None:
        raise BadSetting("This node answers at its socket alone, which no browser can reach: see server.listen.")
    present = now()
    name = None if caller.name == OWNER else caller.name.partition(":")[2]
    made = Link(url=f"{entrance.url}/login?code={node.tokens.link(present, name)}", expires_at=present + LINK)
    return encoded(made.model_dump_json().encode(), 201, **{"Cache-Control": "no-store"})
