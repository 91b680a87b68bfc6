"""The API of the members of the cluster: which nodes there are, and what they say of themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Response

from mao.catalogue import NODES, Node, node_key
from mao.errors import NodeNotFound
from mao.names import nearest
from mao.values import Moment, now
from mao.web import access  # FastAPI reads the annotations
from mao.web.pages import Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.registry import Entry

router = api("cluster", "/nodes")
Asked = Annotated[Wanted, Depends(wanted)]


class SeenNode(Node):
    """A node as this one sees it."""

    last_seen: Moment
    """When the registry was last in touch: the node's lease was valid then."""
    here: bool
    """Whether it is the node that answers."""


def seen(node: LocalNode, entry: Entry) -> SeenNode:
    """The node of an entry, as this one sees it."""
    value = Node.model_validate_json(entry.value)
    last_seen = now() - timedelta(milliseconds=round(node.mirror.age() * 1000))
    return SeenNode(**dict(value), last_seen=last_seen, here=value.id == node.workspace.id())


def find_node(node: LocalNode, name: str) -> SeenNode:
    """The member of the cluster called `name`.

    Raises:
        NodeNotFound: with the name that is nearest.
    """
    entry = node.mirror.get(node_key(name))
    if entry is None:
        near = nearest(name, (Node.model_validate_json(known.value).name for known in node.mirror.entries(NODES)))
        raise NodeNotFound(
            f"No node '{name}' is in the cluster now"
            + (f"; did you mean '{near}'?" if near else ". 'mao node list' shows those there are.")
        )
    return seen(node, entry)


# Answered from memory, on the event loop: a thread would cost more than the answer.
@router.get("", responses={200: {"model": Page[SeenNode]}})
async def list_nodes(node: access.Node, asked: Asked) -> Response:
    """Members of the cluster: a node that dies is gone when its lease ends."""
    after = NODES + asked.after if asked.after else ""
    entries = node.mirror.entries(NODES, after=after, limit=asked.size + 1)
    listed = ((entry.key.removeprefix(NODES), seen(node, entry).model_dump_json()) for entry in entries)
    return encoded(page(listed, asked.size), 200, **access.registry_age(node))


@router.get("/{name}", responses={200: {"model": SeenNode}})
async def show_node(node: access.Node, name: str) -> Response:
    """A member of the cluster."""
    return encoded(find_node(node, name).model_dump_json().encode(), 200, **access.registry_age(node))
