"""Have the members of etcd be changed by whoever may: this node itself, or the one with the authority's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from mao import authority, granting
from mao.errors import Denied
from mao.local_node import etcd_registry
from mao.values import Value

if TYPE_CHECKING:
    from mao.catalogue import Authority
    from mao.config import Config
    from mao.etcd.client import EtcdClient
    from mao.etcd.members import Member

MOST_MEMBERS = 5
"""More would make each write slower and protect from little more: etcd.io/docs advises five."""


class Wish(Value):
    """What a node wants to be changed about the members of etcd: about its own."""

    what: Literal["add", "promote", "remove", "leave"]
    """`leave` takes the node's member and its user away."""
    peer_url: str = ""
    """Of the member that is to be added."""
    member: int = 0
    """The one that is to be promoted or removed."""


class Seat(Value):
    """A member of etcd, as nodes tell each other of it."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


class Seats(Value):
    """The members of etcd once a wish was done."""

    members: tuple[Seat, ...]


def who_decides(client: EtcdClient) -> Authority | None:
    """The node that changes members; None if each one does."""
    return authority.of(etcd_registry(client))


def wish(config: Config, client: EtcdClient, decides: Authority | None, wished: Wish) -> list[Member]:
    """Have this node's wish be done; the members then.

    Args:
        config: of the node.
        client: of etcd, as this node.
        decides: from `who_decides`.
        wished: what is to be done.

    Raises:
        NodeUnreachable: the node that may does not answer.
        Conflict, Denied, OutsideFailed, RegistryUnavailable: as etcd refuses it.
    """
    from mao.etcd.members import Member  # noqa: PLC0415  # grpc takes longer to load than all the rest

    if decides is None:
        return _fulfil(client, config.node, wished)
    if decides.node.lower() == config.node.lower():
        return fulfil(config, config.node, wished)
    answer = authority.ask(config, decides, "members", wished.model_dump())
    return [Member(**dict(seat)) for seat in Seats.model_validate(answer).members]


def fulfil(config: Config, name: str, wished: Wish) -> list[Member]:
    """Do what the node `name` wishes, as the node with the authority's key.

    Raises:
        Denied: it is about the member of another node, or that one was not admitted as a member.
    """
    directory = granting.directory_of(config)
    if wished.what == "add" and name.lower() != config.node.lower() and not directory.given(name).get("member"):
        raise Denied(f"Node '{name}' was not admitted with a member of etcd. Invite it anew. Nothing was changed.")
    with granting.as_root(config) as (client, registry):
        members = _fulfil(client, name, wished)
        if wished.what == "leave":
            directory.let_go(name, revoked=False)
            granting.let_go(client, registry, name)
    return members


def _fulfil(client: EtcdClient, name: str, wished: Wish) -> list[Member]:
    from mao.etcd import members  # noqa: PLC0415  # as above

    listed = members.list_members(client)
    if wished.what in {"promote", "remove"}:
        others = {one.id for one in listed if one.name not in {name, ""}}
        if wished.member in others:
            raise Denied(f"That member of etcd is not one of node '{name}'. Nothing was changed.")
    match wished.what:
        case "add":
            return members.add_learner(client, [wished.peer_url])[1]
        case "promote":
            members.promote(client, wished.member)
        case "remove":
            members.remove(client, wished.member)
        case "leave":
            for one in listed:
                if one.name == name:
                    members.remove(client, one.id)
    return members.list_members(client)
