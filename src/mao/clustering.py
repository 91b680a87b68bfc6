"""Begin a cluster, join one, leave it. Done while the node is not served; killed anywhere, done again, they go on."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import admission, admitting, certificates, enlisting, granting, moving, seating
from mao.catalogue import NODES, Authority, Node, node_key
from mao.cluster_directory import ClusterDirectory
from mao.cluster_settings import check, settings_of, with_settings
from mao.errors import Conflict, InvitationRefused, RegistryUnavailable
from mao.invitation import parse
from mao.local_node import REGISTRIES
from mao.registry import Edit
from mao.store import Store
from mao.workspace import Workspace, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.config import Config
    from mao.etcd_member import Listening
    from mao.registry import Registry

_SQLITE = "sqlite"


@dataclass(frozen=True)
class Joined:
    """What came of beginning or joining a cluster."""

    config: Config
    """The configuration of the node from now on."""
    is_member: bool
    moved: moving.Moved


@dataclass(frozen=True)
class Left:
    """What came of leaving a cluster."""

    kept: int
    """How many registrations the node has in its own registry now."""
    aside: Path
    """Where the certificates and the member's files are."""
    had_authority: bool


def init(config: Config, at: Listening, cluster_port: int, tell: Callable[[str], object]) -> Joined:
    """Begin a cluster with this node as its first member and its authority.

    Args:
        config: of the node.
        at: where the others reach this node's member.
        cluster_port: at the same host, where they reach its API.
        tell: is told in words what goes on.

    Raises:
        Conflict: the node is in another cluster, or somebody has set another registry for it.
        NodeRunning: it is served.
        OutsideFailed: etcd is missing, or does not come up.
    """
    check(config)
    directory = ClusterDirectory(config.home)
    if directory.settings.exists() and not directory.authority_key.exists():
        raise Conflict("This node is in a cluster already. `mao cluster leave` takes it out. Nothing was changed.")
    _check_not_leaving(directory)
    with _held(config) as workspace:
        _check_member(directory, directory.authority_fingerprint() if directory.authority.exists() else None)
        directory.prepare()
        directory.found_authority(f"MAO cluster begun by {config.node}"[: certificates.LONGEST_NAME])
        if directory.settings.exists():
            at = directory.member.listening() or at
        else:
            directory.member.stop()
            directory.member.set_data_aside()  # an etcd that was killed as it began never answers; all is here still
        csr = certificates.request(directory.key.read_bytes(), config.node)
        certificate, member = directory.sign(csr, config.node, (at.host,)), None
        if not directory.settings.exists():
            member = directory.sign_own_member(config.node, at.host)
        directory.give_name(config.node, certificates.key_fingerprint(csr), certificate, member)
        write_durably(directory.certificate, certificate)
        settings = settings_of(directory, [at.client_address], at.host, cluster_port) | {"node.administrator": "true"}
        configured = with_settings(config, settings)
        tell(f"Starting this node's member of etcd at {at.client_url}.")
        enlisting.found(directory, configured, at)
        granting.secure(configured, founding=directory.member_certificate.exists())
        moved = _move_in(configured, workspace, directory, settings)
    return Joined(configured, is_member=True, moved=moved)


def join(
    config: Config,
    invitation: str,
    at: Listening,
    cluster_port: int,
    *,
    as_member: bool,
    tell: Callable[[str], object],
) -> Joined:
    """Join the cluster that this node was invited to, as one more member of its etcd unless there are enough.

    Args:
        config: of the node.
        invitation: as the other node has printed it.
        at: where the others reach this node's member, if it becomes one.
        cluster_port: at the same host, where they reach its API.
        as_member: whether it may become one.
        tell: is told in words what goes on.

    Raises:
        Conflict: the node is in another cluster, or somebody has set another registry for it.
        NodeRunning: it is served.
        InvitationRefused, NodeTaken, NodeUnreachable: see `admitting.admit`.
        OutsideFailed: etcd is missing, or does not come up.
    """
    invited = parse(invitation)
    check(config)
    directory = ClusterDirectory(config.home)
    _check_not_leaving(directory)
    with _held(config) as workspace:
        _check_authority(directory, invited.authority)
        _check_member(directory, invited.authority)
        directory.prepare()
        authority = admission.authority(invited)
        if directory.member.has_data:
            at = directory.member.listening() or at
        csr = certificates.request(directory.key.read_bytes(), config.node)
        asked = {"name": config.node, "hosts": [at.host], "request": csr.decode()}
        if as_member:
            asked["member_request"] = certificates.request(directory.member_key.read_bytes(), config.node).decode()
        admitted = admitting.Admitted.model_validate(admission.ask(invited, authority, asked))
        write_durably(directory.authority, authority)
        write_durably(directory.certificate, admitted.certificate.encode())
        directory.keep_member_certificate(admitted.member_certificate if admitted.members_apart else None)
        write_durably(directory.revoked, admitted.revoked.encode())
        as_member = as_member and directory.member_certificate.exists() == admitted.members_apart
        tell(f"Admitted to the cluster as '{config.node}'.")
        endpoints = admitted.registry.removeprefix("etcd://").split(",")
        configured = with_settings(config, settings_of(directory, endpoints, at.host, cluster_port))
        is_member = enlisting.enlist(configured, directory, at, as_member=as_member, tell=tell)
        endpoints = enlisting.endpoints(configured, own=at.client_address if is_member else None)
        settings = settings_of(directory, endpoints, at.host, cluster_port)
        configured = with_settings(config, settings)
        moved = _move_in(configured, workspace, directory, settings)
    return Joined(configured, is_member, moved)


def leave(config: Config, *, force: bool, tell: Callable[[str], object]) -> Left:
    """Take this node out of its cluster, with what it has to do with; its names, runs and installations stay its own.

    Args:
        config: of the node.
        force: also where other nodes are left without the registry.
        tell: is told in words what goes on.

    Raises:
        Conflict: the node is in no cluster, or the others would be left without the registry.
        RegistryUnavailable: nothing was changed.
        NodeRunning: it is served.
    """
    directory = ClusterDirectory(config.home)
    if not directory.settings.exists():
        raise Conflict("This node is in no cluster, as far as `mao cluster` knows. Nothing was changed.")
    with _held(config) as workspace:
        own = REGISTRIES[_SQLITE](config, workspace)
        try:
            if not directory.leaving.exists():
                if directory.member.is_configured:
                    directory.member.start()
                last = enlisting.check_leaving(config, directory, force=force, others=_others(config, workspace))
                with enlisting.client_of(config) as client:
                    decides = seating.who_decides(client)
                known = {
                    "kept": _take_along(config, workspace, own),
                    "last": last,
                    "decides": decides and decides.model_dump(mode="json"),
                }
                write_durably(directory.leaving, json.dumps(known).encode(), 0o600)
            known = json.loads(directory.leaving.read_bytes())
        finally:
            own.close()
        tell(f"{known['kept']} registrations are in this node's own registry now.")
        decides = Authority.model_validate(known["decides"]) if known.get("decides") else None
        enlisting.resign(config, directory, decides, last=bool(known["last"]), force=force)
        had_authority = directory.authority_key.exists()
        aside = directory.set_aside()
    return Left(int(known["kept"]), aside, had_authority)


def _check_not_leaving(directory: ClusterDirectory) -> None:
    if directory.leaving.exists():
        raise Conflict("This node has not finished leaving its cluster. Say `mao cluster leave` again first.")


def _check_authority(directory: ClusterDirectory, fingerprint: str) -> None:
    if directory.authority_key.exists() and directory.settings.exists():
        raise Conflict("This node has begun a cluster of its own. `mao cluster leave` takes it out of it.")
    if directory.authority.exists() and directory.authority_fingerprint() != fingerprint:
        raise InvitationRefused(
            "The invitation is of another cluster than the one that this node is in or began to join."
            f" `mao cluster leave` takes it out of that; if it never joined, remove {directory.path}."
            " Nothing was changed."
        )


def _check_member(directory: ClusterDirectory, authority: str | None) -> None:
    """Refuse to begin with the data of a member of another cluster, which has other keys and other members."""
    if directory.member.has_data and directory.member.token() != authority:
        raise Conflict(
            f"In {directory.member.directory} is this node's member of etcd of another cluster, which was not left by"
            " `mao cluster leave`. If nothing of it is needed, end its process and move that directory away; then say"
            " it again. Nothing was changed."
        )


@contextmanager
def _held(config: Config) -> Iterator[Workspace]:
    workspace = Workspace(config.home)
    with workspace.locked():
        workspace.prepare()
        yield workspace


@contextmanager
def _registry(config: Config, workspace: Workspace) -> Iterator[Registry]:
    registry = REGISTRIES[config["registry.url"].partition(":")[0]](config, workspace)
    try:
        yield registry
    finally:
        registry.close()


def _move_in(
    configured: Config, workspace: Workspace, directory: ClusterDirectory, settings: dict[str, str]
) -> moving.Moved:
    """Bring what is registered here to the cluster, and say in the settings that the node is in it."""
    own = REGISTRIES[_SQLITE](configured, workspace)
    try:
        with _registry(configured, workspace) as cluster:
            moved = moving.bring(own, cluster)
        directory.write_settings(settings)  # from here on the node looks for its registrations in the cluster
        moving.forget(own, moved.keys)
    finally:
        own.close()
    return moved


def _others(config: Config, workspace: Workspace) -> list[str]:
    """The names of the other nodes that live."""
    with _registry(config, workspace) as cluster:
        nodes = [Node.model_validate_json(entry.value) for entry in moving.entries(cluster, NODES)]
    return [node.name for node in nodes if node.id != workspace.id()]


def _take_along(config: Config, workspace: Workspace, own: Registry) -> int:
    store = Store(workspace.store)
    try:
        with _registry(config, workspace) as cluster:
            kept = moving.take_along(cluster, own, store, config.node)
            entry = cluster.get(node_key(config.node))
            if entry is not None and Node.model_validate_json(entry.value).id == workspace.id():
                cluster.write(Edit(entry.key, None, entry.revision))
    except RegistryUnavailable as error:
        raise RegistryUnavailable(f"{error.detail} The node stays in the cluster; nothing was changed.") from error
    finally:
        store.close()
    return kept
