"""Admit nodes to the cluster: invite them, and sign their certificates. Done by the node with the authority's key."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mao import granting
from mao.catalogue import AUTHORITY, REVOKED, Authority, Revoked, node_key
from mao.cluster_directory import ClusterDirectory
from mao.errors import BadName, Conflict, InvitationRefused, NodeTaken
from mao.invitation import Invitation, digest
from mao.names import Name, name_fault
from mao.seating import MOST_MEMBERS
from mao.values import Moment, Value, now
from mao.workspace import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from mao.config import Config
    from mao.local_node import LocalNode

LONGEST_HOURS = 24 * 30


class Invited(Value):
    """An invitation as it is shown once, to whoever asked for it."""

    invitation: str
    name: Name | None
    expires_at: Moment


class Asked(Value):
    """What a node that was invited asks for."""

    secret: str
    name: Name
    hosts: tuple[str, ...]
    """Where the node answers, by name or number."""
    request: str
    """For a certificate (PKCS #10, PEM)."""
    member_request: str | None = None
    """The same for its member of etcd, if it wants to have one."""


class Admitted(Value):
    """What a node is given that joins."""

    certificate: str
    registry: str
    """The cluster's etcd, as in `registry.url`."""
    member_certificate: str | None = None
    """For its member of etcd, if there is room for one."""
    members_apart: bool = False
    """Whether a member needs that."""
    revoked: str = ""
    """The certificates that are not valid any more (CRL, PEM)."""


class _Kept(Value):
    """What is kept of an invitation, under the digest of its secret."""

    name: Name | None
    expires_at: Moment
    key: str | None = None
    """The fingerprint of the key of the node that has used it."""


def invite(config: Config, *, name: str | None = None, hours: float = 24) -> Invited:
    """Make an invitation that one node can use, once.

    Args:
        config: of the node with the authority's key.
        name: of the node that it is for; it may have been given before, to a node that is lost or has left.
        hours: for which it is valid.

    Raises:
        Conflict: this node cannot invite.
        BadName
    """
    directory = _authority(config)
    if name is not None and (fault := name_fault(name)):
        raise BadName(f"A node cannot be called '{name}': the name {fault}.")
    url = urlsplit(config["cluster.url"])
    fingerprint = directory.authority_fingerprint()
    invitation = Invitation(url.hostname or "", url.port or 443, fingerprint, secrets.token_urlsafe(24))
    kept = _Kept(name=name, expires_at=now() + timedelta(hours=hours))
    _forget_expired(directory)
    _keep(directory.invitations / invitation.digest, kept)
    return Invited(invitation=str(invitation), name=name, expires_at=kept.expires_at)


def admit(node: LocalNode, asked: Asked) -> Admitted:
    """Sign the certificate of a node that shows an invitation; the same node may ask again.

    Raises:
        InvitationRefused: it is unknown, expired, for another name, or another node has used it.
        NodeTaken: the name is that of another node; the invitation can be used again, with another name.
        BadBody, BadName: the request, the name or a host is not one.
    """
    from mao import certificates  # noqa: PLC0415  # cryptography takes longer to load than most of the rest

    directory = _authority(node.config)
    csr = asked.request.encode()
    key = certificates.key_fingerprint(csr)
    with node.locked("cluster", "invitations"):
        path = directory.invitations / digest(asked.secret)
        kept = _usable(path, asked, key)
        _check_name(node, directory, asked.name, key, invited=kept.name is not None and kept.key is None)
        certificate = directory.sign(csr, asked.name, asked.hosts)
        member = _member_certificate(node.config, directory, asked)
        if node.config["registry.url"].startswith("etcd://"):
            granting.let_in(node.config, asked.name, key)
        directory.give_name(asked.name, key, certificate, member)
        _keep(path, kept.model_copy(update={"name": asked.name, "key": key}))
    decides, revoked = node.mirror.get(AUTHORITY), node.mirror.get(REVOKED)
    return Admitted(
        certificate=certificate.decode(),
        registry=node.config["registry.url"],
        member_certificate=member.decode() if member else None,
        members_apart=decides is not None and Authority.model_validate_json(decides.value).members_apart,
        revoked=Revoked.model_validate_json(revoked.value).list if revoked else "",
    )


def _member_certificate(config: Config, directory: ClusterDirectory, asked: Asked) -> bytes | None:
    """What a node's member of etcd shows to the others, if it wants one and there are not enough."""
    if asked.member_request is None or not config["registry.url"].startswith("etcd://"):
        return None
    from mao.etcd.members import list_members  # noqa: PLC0415  # grpc takes longer to load than all the rest

    with granting.as_root(config) as (client, _):
        others = [member for member in list_members(client) if member.name != asked.name]
    enough = len(others) >= MOST_MEMBERS
    return None if enough else directory.sign_member(asked.member_request.encode(), asked.hosts)


def authority_certificate(node: LocalNode) -> str:
    """The certificate of the cluster's authority (PEM): who joins compares it with what the invitation says."""
    return _authority(node.config).authority.read_text()


def _authority(config: Config) -> ClusterDirectory:
    directory = ClusterDirectory(config.home)
    if not directory.settings.exists():
        raise Conflict("This node is in no cluster. `mao cluster init` begins one.")
    return granting.directory_of(config)


def _usable(path: Path, asked: Asked, key: str) -> _Kept:
    kept = _Kept.model_validate_json(path.read_bytes()) if path.exists() else None
    again = "Make another one with `mao cluster invite`. Nothing was changed."
    if kept is None:
        raise InvitationRefused(f"This node has made no such invitation, or it expired long ago. {again}")
    if kept.key not in {None, key}:
        raise InvitationRefused(f"Another node, '{kept.name}', has used this invitation. {again}")
    if kept.expires_at < now():
        raise InvitationRefused(f"The invitation expired at {kept.expires_at:%Y-%m-%d %H:%M} UTC. {again}")
    if kept.name is not None and kept.name.lower() != asked.name.lower():
        raise InvitationRefused(
            f"The invitation is for the node '{kept.name}', not for '{asked.name}'. Set node.name, or make another"
            " one with `mao cluster invite`. Nothing was changed."
        )
    return kept


def _check_name(node: LocalNode, directory: ClusterDirectory, name: str, key: str, *, invited: bool) -> None:
    """Refuse a name that is another node's: one that lives, or one that was given it before.

    Args:
        node: the one with the authority's key.
        directory: of its cluster.
        name: that is asked for.
        key: of the node that asks for it.
        invited: whether somebody has made the invitation for that name: then who had it before has lost it.
    """
    if name.lower() == "root":
        raise NodeTaken("'root' is who may do everything in etcd. Give this node another name (node.name).")
    given_to = directory.given(name).get("key")
    if given_to == key:
        return
    if node.mirror.get(node_key(name)) is not None or name.lower() == node.config.node.lower():
        raise NodeTaken(
            f"A node called '{name}' is in the cluster now. Give this one another name (node.name, MAO_NODE__NAME), and"
            " join again with the same invitation."
        )
    if given_to is not None and not invited:
        raise NodeTaken(
            f"The name '{name}' was given to another node before. Choose another name (node.name, MAO_NODE__NAME) and"
            " join again with the same invitation; or, if that node is lost or has left, have an invitation made for"
            f" this name: `mao cluster invite --for {name}`."
        )


def _keep(path: Path, kept: _Kept) -> None:
    write_durably(path, kept.model_dump_json().encode(), 0o600)


def _forget_expired(directory: ClusterDirectory) -> None:
    for path in directory.invitations.iterdir():
        if path.suffix != ".part" and _Kept.model_validate_json(path.read_bytes()).expires_at < now() - timedelta(30):
            path.unlink()
