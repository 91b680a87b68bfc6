"""The members of an etcd cluster: who they are, how they are, and what keeps them so.

What is asked for is done already if it was done before: each of these can be killed and done again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.errors import OutsideFailed, RegistryUnavailable
from mao.etcd import rpc_pb2 as rpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mao.etcd.client import EtcdClient

_CLUSTER = "/etcdserverpb.Cluster/"
_MAINTENANCE = "/etcdserverpb.Maintenance/"
_DEFRAGMENTING = 60.0
"""Seconds that a member may take to write its file anew; it answers nothing else meanwhile."""
_NOT_NOW = ("in sync with leader", "not enough started members")
"""What etcd says when it refuses for the moment (api/v3rpc/rpctypes/error.go)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One that belongs to the cluster."""

    id: int
    name: str
    """Empty as long as it has not been started."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool
    """Whether it is still to be promoted: it gets all changes, and has no vote."""


@dataclass(frozen=True, slots=True)
class Status:
    """What one member said of itself."""

    cluster: int
    member: int
    revision: int
    version: str
    size: int
    """Bytes of its file."""
    size_in_use: int
    """Bytes of it that would be left if it were defragmented."""
    quota: int
    """Bytes that its file may have; 0 if it does not say so, as members before 3.6."""
    leader: int
    """0 if it knows of none."""
    raft_index: int
    learner: bool
    errors: tuple[str, ...]
    seconds: float
    """How long the answer took."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a member has raised, and holds up all of them."""

    member: int
    kind: str
    """`NOSPACE`: its quota is reached; `CORRUPT`: it differs from the others."""


def list_members(client: EtcdClient) -> list[Member]:
    """All members, learners too, as one of them knows them; also when most are away."""
    return _members(client.call(_CLUSTER + "MemberList", rpc.MemberListRequest(), rpc.MembersResponse).members)


def add_learner(client: EtcdClient, peer_urls: Sequence[str]) -> tuple[Member, list[Member]]:
    """Let one that will be at `peer_urls` belong to the cluster, without a vote; it, and all members.

    Raises:
        RegistryUnavailable: the members are too few or too new just now.
        OutsideFailed: there is a learner already, and etcd takes one at a time.
    """
    listed = list_members(client)
    known = [member for member in listed if set(member.peer_urls) & set(peer_urls)]
    if known:
        return known[0], listed
    request = rpc.MemberAddRequest(peerURLs=peer_urls, isLearner=True)
    try:
        answer = client.call(_CLUSTER + "MemberAdd", request, rpc.MemberAddResponse)
    except OutsideFailed as error:
        if "Peer URLs already exists" in error.detail:  # an attempt whose answer was lost has done it
            return add_learner(client, peer_urls)
        raise _for_now(error) from error
    return _members([answer.member])[0], _members(answer.members)


def promote(client: EtcdClient, member: int) -> None:
    """Give a learner its vote.

    Raises:
        RegistryUnavailable: it does not know yet what the others know; ask again in a second.
        OutsideFailed: there is no such member.
    """
    try:
        client.call(_CLUSTER + "MemberPromote", rpc.MemberPromoteRequest(ID=member), rpc.MembersResponse)
    except OutsideFailed as error:
        if any(known.id == member and not known.learner for known in list_members(client)):
            return
        raise _for_now(error) from error


def remove(client: EtcdClient, member: int) -> None:
    """Let a member no longer belong to the cluster; its process ends, with success.

    Raises:
        RegistryUnavailable: too few of the others are there for the cluster to go on without it.
    """
    try:
        client.call(_CLUSTER + "MemberRemove", rpc.MemberRemoveRequest(ID=member), rpc.MembersResponse)
    except OutsideFailed as error:
        if "member not found" not in error.detail:
            raise _for_now(error) from error


def update(client: EtcdClient, member: int, peer_urls: Sequence[str]) -> None:
    """Tell where the other members reach a member from now on."""
    request = rpc.MemberUpdateRequest(ID=member, peerURLs=peer_urls)
    try:
        client.call(_CLUSTER + "MemberUpdate", request, rpc.MembersResponse)
    except OutsideFailed as error:
        raise _for_now(error) from error


def status(client: EtcdClient, endpoint: str) -> Status:
    """What the member at `endpoint` says of itself, and how long that took; also without most of the others."""
    begin = time.monotonic()
    answer = client.ask(endpoint, _MAINTENANCE + "Status", rpc.StatusRequest(), rpc.StatusResponse)
    return Status(
        cluster=answer.header.cluster_id,
        member=answer.header.member_id,
        revision=answer.header.revision,
        version=answer.version,
        size=answer.dbSize,
        size_in_use=answer.dbSizeInUse,
        quota=answer.dbSizeQuota,
        leader=answer.leader,
        raft_index=answer.raftIndex,
        learner=answer.isLearner,
        errors=tuple(answer.errors),
        seconds=time.monotonic() - begin,
    )


def alarms(client: EtcdClient) -> list[Alarm]:
    """What members have raised."""
    request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET)
    found = client.call(_MAINTENANCE + "Alarm", request, rpc.AlarmResponse).alarms
    return [Alarm(alarm.memberID, rpc.AlarmType.Name(alarm.alarm)) for alarm in found]


def disarm(client: EtcdClient, alarm: Alarm) -> None:
    """Take an alarm back: after what it was raised for is mended."""
    request = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, memberID=alarm.member, alarm=alarm.kind)
    client.call(_MAINTENANCE + "Alarm", request, rpc.AlarmResponse)


def compact(client: EtcdClient, revision: int) -> None:
    """Forget what keys held before `revision`; watches that are further behind list anew."""
    request = rpc.CompactionRequest(revision=revision, physical=True)
    try:
        client.call("/etcdserverpb.KV/Compact", request, rpc.CompactionResponse)
    except OutsideFailed as error:
        if "has been compacted" not in error.detail:
            raise


def defragment(client: EtcdClient, endpoint: str) -> None:
    """Have the member at `endpoint` give back the room of what is forgotten; one after the other, the leader last."""
    client.ask(
        endpoint, _MAINTENANCE + "Defragment", rpc.DefragmentRequest(), rpc.DefragmentResponse, seconds=_DEFRAGMENTING
    )


def _members(found: Iterable[rpc.Member]) -> list[Member]:
    return [Member(m.ID, m.name, tuple(m.peerURLs), tuple(m.clientURLs), m.isLearner) for m in found]


def _for_now(error: OutsideFailed) -> OutsideFailed | RegistryUnavailable:
    """What etcd refuses now and may do later is another error than what it refuses for good."""
    return RegistryUnavailable(error.detail) if any(said in error.detail for said in _NOT_NOW) else error
