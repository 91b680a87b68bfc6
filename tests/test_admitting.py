from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from conftest import settings
from mao import certificates
from mao.admitting import Asked, admit, invite
from mao.catalogue import Node, node_key
from mao.cluster_directory import ClusterDirectory
from mao.errors import BadBody, BadName, Conflict, InvitationRefused, NodeTaken
from mao.invitation import Invitation, parse
from mao.local_node import LocalNode, opened
from mao.registry import Edit
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {name: certificates.new_key() for name in ("beta", "gamma")}


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[LocalNode]:
    """A node with the key of an authority."""
    directory = ClusterDirectory(tmp_path / "home")
    directory.prepare()
    directory.found_authority("cluster")
    directory.write_settings({"cluster.url": "https://10.0.0.1:8443"})
    with opened(settings(tmp_path / "home")) as node:
        yield node


def asked(invitation: str, name: str = "beta", *, key: str | None = None, host: str = "10.0.0.2") -> Asked:
    csr = certificates.request(KEYS[key or name], name).decode()
    return Asked(secret=parse(invitation).secret, name=name, hosts=(host,), request=csr)


def invited(node: LocalNode, **more: str | float) -> str:
    return invite(node.config, **more).invitation  # type: ignore[arg-type]  # name and hours


def test_an_invitation_says_where_to_join_whom_to_trust_and_a_secret(authority: LocalNode) -> None:
    made = invite(authority.config)
    invitation = parse(f"  {made.invitation}\n")
    directory = ClusterDirectory(authority.config.home)
    assert (invitation.host, invitation.port) == ("10.0.0.1", 8443)
    assert invitation.authority == certificates.fingerprint(directory.authority.read_bytes())
    assert timedelta(hours=23) < made.expires_at - now() < timedelta(hours=25)
    kept = [path for path in directory.path.rglob("*") if path.is_file()]
    assert not any(invitation.secret.encode() in path.read_bytes() for path in kept)
    assert {path.stat().st_mode & 0o077 for path in directory.path.rglob("*") if path.suffix == ".key"} == {0}


def test_an_invitation_to_an_ipv6_address_can_be_read_again() -> None:
    invitation = Invitation("fd00::1", 8443, "ab" * 32, "s" * 32)
    assert parse(str(invitation)) == invitation


@pytest.mark.parametrize("text", ["", "10.0.0.1:8443", "10.0.0.1:8443/abc/def", "mao cluster join x"])
def test_what_is_no_invitation_is_refused(text: str) -> None:
    with pytest.raises(InvitationRefused, match="only a part of one"):
        parse(text)


def test_who_is_invited_gets_a_certificate_and_may_ask_again_and_nobody_else(authority: LocalNode) -> None:
    invitation = invited(authority)
    first = admit(authority, asked(invitation))
    certificate = x509.load_pem_x509_certificate(first.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert certificate.subject.rfc4514_string() == "CN=beta"
    assert {"beta", "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert "10.0.0.2" in map(str, names.get_values_for_type(x509.IPAddress))
    assert first.registry == authority.config["registry.url"]
    admit(authority, asked(invitation, host="10.0.0.3"))
    with pytest.raises(InvitationRefused, match="Another node, 'beta', has used this"):
        admit(authority, asked(invitation, "gamma"))
    with pytest.raises(InvitationRefused, match="for the node 'beta'"):
        admit(authority, asked(invitation, "gamma", key="beta"))


def test_an_unknown_or_expired_invitation_is_refused(authority: LocalNode) -> None:
    made = parse(invited(authority))
    with pytest.raises(InvitationRefused, match="no such invitation"):
        admit(authority, asked(str(Invitation(made.host, made.port, made.authority, "x" * 32))))
    expired = invited(authority, hours=-0.1)
    with pytest.raises(InvitationRefused, match="expired at"):
        admit(authority, asked(expired))


def test_an_invitation_for_one_node_is_not_for_another(authority: LocalNode) -> None:
    invitation = invited(authority, name="Beta")
    with pytest.raises(InvitationRefused, match="for the node 'Beta', not for 'gamma'"):
        admit(authority, asked(invitation, "gamma"))
    admit(authority, asked(invitation))
    with pytest.raises(BadName):
        invited(authority, name="../beta")


def test_a_name_is_given_once_unless_the_invitation_is_made_for_it(authority: LocalNode) -> None:
    admit(authority, asked(invited(authority)))
    invitation = invited(authority)
    with pytest.raises(NodeTaken, match="given to another node before"):
        admit(authority, asked(invitation, "beta", key="gamma"))
    admit(authority, asked(invitation, "gamma"))
    admit(authority, asked(invited(authority, name="beta"), "beta", key="gamma"))


def test_the_name_of_a_node_that_lives_is_refused(authority: LocalNode) -> None:
    alive = Node(name="Beta", id="1", version="1", tools={}, since=now())
    revision = authority.registry.write(Edit(node_key("beta"), alive.model_dump_json().encode(), 0))
    authority.mirror.catch_up(revision)
    for invitation in (invited(authority), invited(authority, name="beta")):
        with pytest.raises(NodeTaken, match="in the cluster now"):
            admit(authority, asked(invitation))
    with pytest.raises(NodeTaken, match="in the cluster now"):
        admit(authority, asked(invited(authority), authority.config.node, key="beta"))


def test_what_cannot_be_signed_does_not_use_up_the_invitation(authority: LocalNode) -> None:
    invitation = invited(authority)
    with pytest.raises(BadName, match="host"):
        admit(authority, asked(invitation, host="bad host\u00e9"))
    with pytest.raises(BadBody):
        admit(authority, asked(invitation).model_copy(update={"request": "nonsense"}))
    admit(authority, asked(invitation, "gamma"))


def test_only_the_node_with_the_authority_invites(node: LocalNode) -> None:
    with pytest.raises(Conflict, match="in no cluster"):
        invite(node.config)
    directory = ClusterDirectory(node.config.home)
    directory.prepare()
    directory.write_settings({"cluster.url": "https://10.0.0.1:8443"})
    with pytest.raises(Conflict, match="authority is not on this node") as refusal:
        invite(node.config)
    assert str(node.config.home) not in refusal.value.detail  # who joins reads it, and strangers may
