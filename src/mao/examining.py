"""Examine the cluster: its members of etcd, its nodes' clocks, its certificates, and what to do about what is wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mao.cluster_directory import ClusterDirectory
from mao.errors import Conflict, MaoError
from mao.etcd_member import QUOTA
from mao.local_node import etcd_client
from mao.values import Moment, Value, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mao.etcd.client import EtcdClient
    from mao.etcd.members import Member
    from mao.local_node import LocalNode

_EXPIRING = timedelta(days=60)
_NEAR_QUOTA = 0.8
_SLOW = 0.5
"""Seconds for an answer of a member, after which something is the matter with it or the way to it."""
_CLOCK = 1.0
"""Seconds that a clock may be off."""
_STALE = 10.0
"""Seconds since the registry was in touch; it says something every second or two."""


class MemberState(Value):
    """A member of etcd, as it answered this node."""

    name: str
    """Of its node; where that is not known, its address."""
    url: str | None
    leader: bool = False
    learner: bool = False
    version: str | None = None
    size: int | None = None
    """Bytes of its database."""
    quota: int = QUOTA
    """Bytes that the database may have."""
    seconds: float | None = None
    """How long its answer took."""
    error: str | None = None
    """Why there was none."""


class ClockState(Value):
    """The clock of a node, beside this one's."""

    node: str
    url: str | None
    offset: float | None = None
    """Seconds that it is ahead of this node's."""
    within: float | None = None
    """Seconds by which the offset may be wrong: half of the time that asking took."""
    error: str | None = None


class ClusterState(Value):
    """How the cluster is, as this node sees it."""

    node: str
    registry: str
    registry_age: float
    """Seconds since the registry was last in touch; infinite, and null in JSON, if it never was."""
    authority: bool
    """Whether the key of the cluster's authority is on this node: it invites others."""
    secured: bool | None
    """Whether the registry asks who writes: each node can write what is its own. None where etcd is somebody else's."""
    certificate_expires_at: Moment | None
    authority_expires_at: Moment | None
    quorum: bool
    """Whether so many members are up that the registry takes something."""
    members: tuple[MemberState, ...]
    clocks: tuple[ClockState, ...]
    advice: tuple[str, ...]
    """What to do about what is wrong; empty if nothing is."""


def examine(node: LocalNode, clocks: Sequence[ClockState]) -> ClusterState:
    """How the cluster is; etcd is asked, and may be away.

    Args:
        node: that asks.
        clocks: of the nodes, which were asked already.

    Raises:
        Conflict: the node is in no cluster.
    """
    url: str = node.config["registry.url"]
    if not url.startswith("etcd://"):
        raise Conflict("This node is in no cluster: its registry is its own. `mao cluster init` begins one.")
    client = etcd_client(node.config)
    try:
        members, alarms = _members(client)
        secured = _is_secured(client) if ClusterDirectory(node.config.home).settings.exists() else None
    finally:
        client.close()
    voters = [member for member in members if not member.learner]
    up = [member for member in voters if member.error is None]
    directory = ClusterDirectory(node.config.home)
    state = ClusterState(
        node=node.config.node,
        registry=url,
        registry_age=round(node.mirror.age(), 3),
        authority=directory.authority_key.exists(),
        secured=secured,
        certificate_expires_at=_expires(node, "cluster.certificate"),
        authority_expires_at=_expires(node, "cluster.ca"),
        quorum=len(up) > len(voters) // 2 and any(member.leader for member in up),
        members=tuple(members),
        clocks=tuple(clocks),
        advice=(),
    )
    return state.model_copy(update={"advice": (*_advice(state, alarms), *_advice_on_nodes(state))})


def _is_secured(client: EtcdClient) -> bool:
    from mao.etcd import users  # noqa: PLC0415  # grpc takes longer to load than all the rest

    try:
        return users.are_asked_for(client)
    except MaoError:  # it does not answer, which is said elsewhere
        return True


def _expires(node: LocalNode, setting: str) -> Moment | None:
    from mao import certificates  # noqa: PLC0415  # cryptography takes longer to load than most of the rest

    path = node.config[setting]
    try:
        return certificates.expires(path.read_bytes()) if path else None
    except (OSError, ValueError):
        return None  # serving with it says what is the matter


def _members(client: EtcdClient) -> tuple[list[MemberState], dict[str, str]]:
    """Every member, each asked at the same time; and the alarms that members have raised, by their kind."""
    from mao.etcd import members as etcd  # noqa: PLC0415  # grpc takes longer to load than all the rest

    listed: list[Member] = []
    alarms: dict[str, str] = {}
    try:
        listed = etcd.list_members(client)
        names = {member.id: member.name for member in listed}
        alarms = {alarm.kind: names.get(alarm.member, "") for alarm in etcd.alarms(client)}
    except MaoError:  # too few members are up to say so; each is asked by itself
        pass
    asked: list[tuple[str, str | None, bool]] = [
        (one.name, next(iter(one.client_urls), None), one.learner) for one in listed
    ] or [(endpoint, f"https://{endpoint}", False) for endpoint in client.endpoints]
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: _state(client, *one), asked)), alarms


def _state(client: EtcdClient, name: str, url: str | None, learner: bool) -> MemberState:  # noqa: FBT001
    from mao.etcd import members as etcd  # noqa: PLC0415  # as above

    if url is None:
        return MemberState(name=name, url=None, learner=learner, error="it was never started")
    try:
        status = etcd.status(client, urlsplit(url).netloc)
    except MaoError as error:
        return MemberState(name=name, url=url, learner=learner, error=error.detail)
    return MemberState(
        name=name,
        url=url,
        leader=status.leader == status.member,
        learner=status.learner,
        version=status.version,
        size=status.size,
        quota=status.quota or QUOTA,
        seconds=round(status.seconds, 4),
    )


def _advice(state: ClusterState, alarms: dict[str, str]) -> Iterator[str]:
    """On the members of etcd."""
    voters = [member for member in state.members if not member.learner]
    if not state.quorum:
        yield (
            f"The registry has no quorum: {len(voters) // 2 + 1} of its {len(voters)} members must be up. Start those"
            " that are down (`mao serve` on their nodes does). Until then nothing can be registered or withdrawn."
        )
    for member in state.members:
        yield from _advice_on(member)
    if len(voters) % 2 == 0 and state.quorum:
        yield (
            f"{len(voters)} members bear no more losses than {len(voters) - 1} do. Let one more node join, or one"
            " leave."
        )
    if "NOSPACE" in alarms:
        yield (
            "etcd has raised NOSPACE: it takes nothing more. Compact and defragment it, and disarm the alarm; see"
            " docs/how-to/join-a-cluster.md."
        )
    if "CORRUPT" in alarms:
        yield (
            f"The data of the member on '{alarms['CORRUPT']}' differs from that of the others: let that node leave the"
            " cluster and join it again."
        )


def _advice_on(member: MemberState) -> Iterator[str]:
    if member.error is not None:
        yield (
            f"The member on '{member.name}' does not answer ({member.error.rstrip('.')}). Start its node; if it is lost"
            " for good, see docs/how-to/join-a-cluster.md."
        )
    if member.learner:
        yield (
            f"The member on '{member.name}' is still a learner and has no vote. Its node promotes it while it serves."
        )
    if member.size is not None and member.size > _NEAR_QUOTA * member.quota:
        yield (
            f"The database of the member on '{member.name}' has {member.size / member.quota:.0%} of its quota. Compact"
            " and defragment it; see docs/how-to/join-a-cluster.md."
        )
    if member.seconds is not None and member.seconds > _SLOW:
        yield (
            f"The member on '{member.name}' took {member.seconds:.1f} s to answer: look at its disk, and the network"
            " to it."
        )


def _advice_on_nodes(state: ClusterState) -> Iterator[str]:
    if state.secured is False:
        yield (
            "Every node can write everything in the registry: what others registered, users and members. Say `mao"
            " cluster secure` on the node with the authority's key; see docs/explanation/stolen-keys.md."
        )
    for clock in state.clocks:
        if clock.offset is not None and abs(clock.offset) - (clock.within or 0.0) > _CLOCK:
            direction = "ahead of" if clock.offset > 0 else "behind"
            yield (
                f"The clock of node '{clock.node}' is {abs(clock.offset):.1f} s {direction} that of '{state.node}'."
                " Have both set by NTP (`timedatectl set-ntp true`)."
            )
        if clock.error is not None and clock.url is not None:
            yield clock.error
    for what, moment, remedy in (
        (
            "This node's certificate",
            state.certificate_expires_at,
            "`mao cluster leave` and `join` give it another one.",
        ),
        ("The certificate of the cluster's authority", state.authority_expires_at, "Begin a new cluster before."),
    ):
        if moment is not None and moment - now() < _EXPIRING:
            yield f"{what} expires on {moment:%Y-%m-%d}. {remedy}"
    if not isfinite(state.registry_age):
        yield "This node has not reached the registry since it was started: see registry.url, and the way to there."
    elif state.registry_age > _STALE:
        yield (
            f"The registry was last in touch {state.registry_age:.0f} s ago: what this node lists may be out of date."
        )
