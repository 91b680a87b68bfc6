"""The API of the node's keyring: values go in, and never come out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict

from mao.secret import Secret
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import Page, Wanted, encoded, page_of, wanted
from mao.web.routing import api

router = api("this node", "/secrets")


class NewSecret(BaseModel):
    """A secret, and the only tools that it is given to (none: any tool)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: str
    tools: list[str] = []


@router.get("", responses={200: {"model": Page[Secret]}})
def list_secrets(node: Node, asked: Annotated[Wanted, Depends(wanted)]) -> Response:
    """The secrets in the keyring, by name, without their values."""
    return encoded(page_of(((secret.name, secret) for secret in node.keyring.secrets()), asked))


@router.get("/{name}", responses={200: {"model": Secret}})
def show(node: Node, name: str) -> Response:
    """A secret, without its value."""
    return encoded(node.keyring.find(name)[0].model_dump_json().encode())


@router.put("/{name}", responses={200: {"model": Secret}})
def put(node: Node, name: str, new: NewSecret) -> Response:
    """Put a secret into the keyring, in place of one of that name: runs that are started from now on get it."""
    return encoded(node.keyring.set(name, new.value, new.tools).model_dump_json().encode())


@router.delete("/{name}", status_code=204)
def remove(node: Node, name: str) -> None:
    """Take a secret out of the keyring; runs that were started with it go on with it."""
    node.keyring.remove(name)
