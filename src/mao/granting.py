"""Say which node may write what in the cluster's etcd. Done by the node with the authority's key, as etcd's root.

etcd cannot let a node make only what is not there. So each name is granted: to who asks for it first.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mao import authority, roles
from mao.catalogue import AUTHORITY, REVOKED, Authority, Revoked, node_key
from mao.cluster_directory import ClusterDirectory
from mao.errors import Conflict, Denied, StaleRevision
from mao.local_node import etcd_client, etcd_registry
from mao.registry import Edit
from mao.workspace import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mao.config import Config
    from mao.etcd.client import EtcdClient
    from mao.registry import Entry, Registry
    from mao.values import Value

_NODES = roles.role_of("")
NO_AUTHORITY = (
    "The key of the cluster's authority is not on this node. Ask on the node where `mao cluster init` was called, or"
    " put the copies of `cluster/authority.key` and `cluster/names` that you kept into this node's home."
)


def directory_of(config: Config) -> ClusterDirectory:
    """What this node has of its cluster, with the authority's key.

    Raises:
        Conflict: it has no such key.
    """
    directory = ClusterDirectory(config.home)
    if not directory.authority_key.exists():
        raise Conflict(NO_AUTHORITY)  # strangers read it, too: no path of this machine
    return directory


@contextmanager
def as_root(config: Config) -> Iterator[tuple[EtcdClient, Registry]]:
    """A client of etcd and the registry in it, as somebody who may do everything there."""
    directory = directory_of(config)
    directory.make_root()
    shown = {"registry.certificate": directory.root_certificate, "registry.key": directory.root_key}
    client = etcd_client(replace(config, values=config.values | shown))
    registry = etcd_registry(client)
    try:
        yield client, registry
    finally:
        registry.close()


def secure(config: Config, administrators: Sequence[str] = (), *, founding: bool = False) -> None:
    """Have etcd ask who writes, and let each node write what is its own; it can be done again.

    Args:
        config: of the node with the authority's key.
        administrators: nodes that may change what others registered, besides this one.
        founding: whether all members of etcd there will ever be get certificates of their own.

    Raises:
        Conflict: this node does not have the key.
        RegistryUnavailable
    """
    from mao.etcd import users  # noqa: PLC0415  # grpc takes longer to load than all the rest

    directory = directory_of(config)
    given = directory.given_names()
    if wrong := [name for name in administrators if name.lower() not in map(str.lower, given)]:
        raise Conflict(f"There is no node '{wrong[0]}' in the cluster. Nothing was changed.")
    with as_root(config) as (client, registry):
        users.add_role(client, users.ROOT)
        users.add(client, users.ROOT)
        users.give(client, users.ROOT, users.ROOT)
        users.add_role(client, roles.ADMINISTRATOR)
        for right in roles.of_administrator():
            users.allow(client, roles.ADMINISTRATOR, right)
        for name in given:
            _let_in(client, name)
        named = {config.node.lower(), *map(str.lower, administrators)}
        for name in given:
            if name.lower() in named:
                users.give(client, name, roles.ADMINISTRATOR)
        _give_what_is_there(client, registry, given)
        _publish_revoked(directory, registry, ())
        before = authority.of(registry)
        apart = before.members_apart if before else founding
        _put(registry, AUTHORITY, Authority(node=config.node, url=config["cluster.url"], members_apart=apart))
        users.ask_for_users(client)


def let_in(config: Config, name: str, key: str) -> None:
    """Let a node that is admitted read the registry and write what is every node's, if etcd asks who writes.

    Who had the name before, with another key than this one (its fingerprint), may do nothing by it any more.
    """
    directory = directory_of(config)
    given = directory.given(name)
    with as_root(config) as (client, registry):
        if authority.of(registry) is not None:
            if given and given["key"] != key:
                _publish_revoked(directory, registry, given.get("serials", []))
            _let_in(client, name)


def _let_in(client: EtcdClient, name: str) -> None:
    from mao.etcd import users  # noqa: PLC0415  # as above

    role = roles.role_of(name)
    users.add_role(client, role)
    for right in roles.of_node(name):
        users.allow(client, role, right)
    for other in users.names(client):
        if other.lower() == name.lower() and other != name:  # the same name, as it was written before
            users.remove(client, other)
    users.add(client, name)
    users.give(client, name, role)


def _give_what_is_there(client: EtcdClient, registry: Registry, given: Sequence[str]) -> None:
    """Let each node write what it has made so far."""
    from mao.etcd import users  # noqa: PLC0415  # as above

    named = {name.lower(): name for name in given}
    for prefix in roles.OWNED:
        page, _ = registry.entries(prefix)
        while page:
            for entry in page:
                if (name := named.get(_owner(entry).lower())) is not None:
                    users.allow(client, roles.role_of(name), roles.Right(entry.key, prefix=False, write=True))
            page, _ = registry.entries(prefix, after=page[-1].key)


def _owner(entry: Entry) -> str:
    value = json.loads(entry.value)
    return str(value.get("registered_by") or value.get("node"))


def grant(config: Config, name: str, keys: Sequence[str]) -> None:
    """Let a node write keys that nobody has made, or that it has made itself; then no other node may write these.

    Raises:
        Denied: another node has made one, or it is no name that is given.
    """
    from mao.etcd import users  # noqa: PLC0415  # as above

    with as_root(config) as (client, registry):
        for key in keys:
            _check_free(registry, name, key)
        mine = roles.role_of(str(directory_of(config).given(name).get("name", name)))
        others = {role: users.rights(client, role) for role in users.roles(client) if role.startswith(_NODES)}
        for key in keys:
            for role, rights in others.items():
                if role != mine and (key, "") in rights:
                    users.disallow(client, role, key)
            _check_free(registry, name, key)  # who had the right may have used it until now, and asks for it again
            users.allow(client, mine, roles.Right(key, prefix=False, write=True))


def _check_free(registry: Registry, name: str, key: str) -> None:
    if not roles.is_grantable(key):
        raise Denied(f"'{key}' is nothing that a node registers. Nothing was changed.")
    entry = registry.get(key)
    if entry is not None and (owner := _owner(entry)).lower() != name.lower():
        raise Denied(
            f"'{key}' was made by node '{owner}': only that node may change it, or one that is an"
            " administrator (`mao cluster secure --administrator`). Nothing was changed."
        )


def let_go(client: EtcdClient, registry: Registry, name: str) -> None:
    """A node has no user any more; what it made stays, for an administrator to change."""
    from mao.etcd import users  # noqa: PLC0415  # as above

    for user in users.names(client):
        if user.lower() == name.lower():
            users.remove(client, user)
            users.remove_role(client, roles.role_of(user))
    entry = registry.get(node_key(name))
    if entry is not None:
        with suppress(StaleRevision):  # its lease has ended
            registry.write(Edit(entry.key, None, entry.revision))


def revoke(config: Config, name: str) -> int:
    """End all that the holder of a node's key may do; how many certificates were revoked.

    Raises:
        Conflict: it is this node, or no such name was given.
    """
    directory = directory_of(config)
    given = directory.given(name)
    if not given or name.lower() == config.node.lower():
        raise Conflict(
            f"'{name}' is this node, which has the authority's key: begin a new cluster. Nothing was changed."
            if given
            else f"There is no node '{name}' in the cluster. Nothing was changed."
        )
    with as_root(config) as (client, registry):
        if authority.of(registry) is None:
            raise Conflict("Every node can write everything in this cluster. Say `mao cluster secure` first.")
        _publish_revoked(directory, registry, given.get("serials", []))
        directory.let_go(name, revoked=True)
        let_go(client, registry, given["name"])
    return len(given.get("serials", []))


def _publish_revoked(directory: ClusterDirectory, registry: Registry, serials: Sequence[str]) -> None:
    from mao import certificates  # noqa: PLC0415  # as above

    entry = registry.get(REVOKED)
    before = Revoked.model_validate_json(entry.value).serials if entry else ()
    together = tuple(dict.fromkeys((*before, *serials)))
    key, ca = directory.authority_key.read_bytes(), directory.authority.read_bytes()
    text = certificates.revocation(key, ca, together).decode()
    if entry is None or together != before:
        _put(registry, REVOKED, Revoked(serials=together, list=text))
        write_durably(directory.revoked, text.encode())


def _put(registry: Registry, key: str, value: Value) -> None:
    text = value.model_dump_json().encode()
    while True:
        entry = registry.get(key)
        try:
            registry.write(Edit(key, text, entry.revision if entry else 0))
        except StaleRevision:
            continue
        return
