"""What a node has of its cluster, below `<home>/cluster`: keys and certificates, settings, invitations, names given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mao.config import cluster_file
from mao.etcd_member import EtcdMember, Identity
from mao.values import now
from mao.workspace import write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""A node reaches itself by these; they stand in each certificate."""


class ClusterDirectory:
    """The files; each is written whole or not at all, and none is for others to read."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.path = home / "cluster"
        self.settings = cluster_file(home)
        self.authority = self.path / "authority.pem"
        self.authority_key = self.path / "authority.key"
        self.certificate = self.path / "node.pem"
        self.key = self.path / "node.key"
        self.invitations = self.path / "invitations"
        self.names = self.path / "names"
        """Which names were given, each with the key that it was given to."""
        self.member_certificate = self.path / "member.pem"
        self.member_key = self.path / "member.key"
        self.revoked = self.path / "revoked.crl"
        """The certificates that this node's member of etcd does not take any more."""
        self.root_certificate = self.path / "root.pem"
        self.root_key = self.path / "root.key"
        self.leaving = self.path / "leaving"
        """There while the node leaves: what is to be taken along was."""
        self.member = EtcdMember(home / "etcd")

    @property
    def identity(self) -> Identity:
        from mao.certificates import MEMBER_HOST  # noqa: PLC0415  # cryptography takes longer to load than most

        files = self.authority, self.certificate, self.key, self.member_certificate, self.member_key
        return Identity(*files, MEMBER_HOST, self.revoked)

    def prepare(self) -> None:
        """Make the directories, and the keys of the node and of its member of etcd."""
        from mao import certificates  # noqa: PLC0415  # cryptography takes longer to load than most of the rest

        for directory in (self.path, self.invitations, self.names):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        for key in (self.key, self.member_key):
            if not key.exists():
                write_durably(key, certificates.new_key(), 0o600)

    def found_authority(self, name: str) -> None:
        """Make the cluster's authority, if there is none here."""
        from mao import certificates  # noqa: PLC0415  # as above

        if not self.authority.exists():  # it is written last: with it there is its key
            key, certificate = certificates.authority(name)
            write_durably(self.authority_key, key, 0o600)
            write_durably(self.authority, certificate)

    def authority_fingerprint(self) -> str:
        """Of the certificate of the cluster's authority, which must be here."""
        from mao import certificates  # noqa: PLC0415  # as above

        return certificates.fingerprint(self.authority.read_bytes())

    def sign(self, csr: bytes, name: str, hosts: tuple[str, ...]) -> bytes:
        """The certificate of the node `name` for the key in a request, by the authority whose key is here."""
        from mao import certificates  # noqa: PLC0415  # as above

        return certificates.sign(
            self.authority_key.read_bytes(),
            self.authority.read_bytes(),
            csr,
            name=name,
            hosts=[*hosts, *LOOPBACK],
        )

    def sign_member(self, csr: bytes, hosts: tuple[str, ...]) -> bytes:
        """The certificate by which a member of etcd is known to the others; it is nobody's who may ask for anything."""
        from mao import certificates  # noqa: PLC0415  # as above

        key, authority = self.authority_key.read_bytes(), self.authority.read_bytes()
        hosts = (*hosts, *LOOPBACK, certificates.MEMBER_HOST)
        return certificates.sign(key, authority, csr, name="a member of etcd", hosts=hosts, of_member=True)

    def sign_own_member(self, name: str, host: str) -> bytes:
        """The same for the member of the node that begins the cluster, which so is the first."""
        from mao import certificates  # noqa: PLC0415  # as above

        certificate = self.sign_member(certificates.request(self.member_key.read_bytes(), name), (host,))
        write_durably(self.member_certificate, certificate)
        key, authority = self.authority_key.read_bytes(), self.authority.read_bytes()
        write_durably(self.revoked, certificates.revocation(key, authority, ()))
        return certificate

    def make_root(self) -> None:
        """Make the certificate of etcd's user `root`, if it is not here: who has the authority's key may do that."""
        from mao import certificates  # noqa: PLC0415  # as above

        if not self.root_certificate.exists():
            write_durably(self.root_key, certificates.new_key(), 0o600)
            csr = certificates.request(self.root_key.read_bytes(), "root")
            write_durably(self.root_certificate, self.sign(csr, "root", ()), 0o600)

    def keep_member_certificate(self, certificate: str | None) -> None:
        """Keep by what this node's member of etcd is known to others; None if it has no such."""
        if certificate is None:
            self.member_certificate.unlink(missing_ok=True)
        else:
            write_durably(self.member_certificate, certificate.encode())

    def give_name(self, name: str, key: str, certificate: bytes, member: bytes | None) -> None:
        """Remember that a name was given to the holder of a key (its fingerprint), with these certificates."""
        from mao.certificates import serial  # noqa: PLC0415  # as above

        before = self.given(name)
        known = before.get("serials", []) if before.get("key") == key else []
        signed = [serial(one) for one in (certificate, member) if one]
        self._keep_given({"name": name, "key": key, "serials": [*known, *signed], "member": member is not None})

    def _keep_given(self, given: dict[str, Any]) -> None:
        write_durably(self.names / f"{given['name'].lower()}.json", json.dumps(given).encode(), 0o600)

    def let_go(self, name: str, *, revoked: bool) -> None:
        """Remember that a node has left; if its key was revoked, that no key has its name."""
        given = self.given(name)
        if given:
            self._keep_given(given | {"left": True} | ({"key": ""} if revoked else {}))

    def given(self, name: str) -> dict[str, Any]:
        """What is known of a name that was given: `name`, `key`, `serials` of its certificates; empty if it was not."""
        path = self.names / f"{name.lower()}.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else {}

    def given_names(self) -> list[str]:
        """All names that were given, but those of nodes that have left."""
        given = [json.loads(path.read_bytes()) for path in self.names.glob("*.json")]
        return sorted(one["name"] for one in given if not one.get("left"))

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Write the settings of this node's cluster, by their names (`registry.url`)."""
        lines = ["# Made by `mao cluster`. What you set yourself, in your own file or the environment, goes before it."]
        sections = dict.fromkeys(name.partition(".")[0] for name in settings)
        for section in sections:
            lines += ["", f"[{section}]"]
            lines += [
                f"{name.partition('.')[2]} = {json.dumps(text, ensure_ascii=False)}"
                for name, text in settings.items()
                if name.startswith(f"{section}.")
            ]
        write_durably(self.settings, "\n".join([*lines, ""]).encode(), 0o600)

    def set_registry(self, endpoints: list[str]) -> str:
        """Write where the cluster's etcd is, if it is not written already; as in `registry.url`."""
        import tomllib  # noqa: PLC0415  # as in `mao.config`

        sections = tomllib.loads(self.settings.read_text("utf-8"))
        settings = {f"{section}.{name}": text for section, part in sections.items() for name, text in part.items()}
        url = f"etcd://{','.join(endpoints)}"
        if settings["registry.url"] != url:
            self.write_settings(settings | {"registry.url": url})
        return url

    def set_aside(self) -> Path:
        """Take the cluster's files and the member's away from where they are looked for; where they are now."""
        aside = self._home / "left" / now().strftime("%Y-%m-%dT%H%M%SZ")
        aside.mkdir(parents=True, exist_ok=True)
        if self.member.directory.exists():
            self.member.directory.rename(aside / "etcd")
        self.path.rename(aside / "cluster")  # last: with its settings the node is in the cluster
        return aside
