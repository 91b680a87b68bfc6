from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keys import put
from mao.errors import OutsideFailed, RegistryFull, RegistryUnavailable
from mao.etcd import members
from mao.etcd.client import EtcdClient
from mao.registries.etcd import EtcdRegistry
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcd_cluster import EtcdCluster


def test_a_learner_joins_is_promoted_moves_and_leaves_however_often_it_is_asked_for(
    own_etcd: Callable[..., EtcdCluster],
) -> None:
    cluster = own_etcd(size=1)
    client = EtcdClient(cluster.endpoints)
    second = cluster.grow()
    added, listed = members.add_learner(client, [cluster.peer_url(second)])
    assert members.add_learner(client, [cluster.peer_url(second)]) == (added, listed)
    assert (added.name, added.learner, added.peer_urls) == ("", True, (cluster.peer_url(second),))
    with pytest.raises(RegistryUnavailable, match="in sync"):
        members.promote(client, added.id)
    with pytest.raises(OutsideFailed, match="too many learner"):
        members.add_learner(client, ["http://127.0.0.1:1"])
    cluster.restart(second)
    eventually(lambda: _granted(members.promote, client, added.id), "the learner knows what the others know")
    members.promote(client, added.id)
    assert [(m.name, m.learner) for m in members.list_members(client) if m.id == added.id] == [("m1", False)]
    members.update(client, added.id, ["http://localhost:1", cluster.peer_url(second)])
    (changed,) = (m for m in members.list_members(client) if m.id == added.id)
    assert set(changed.peer_urls) == {cluster.peer_url(second), "http://localhost:1"}
    # Of members that are connected for less than 5 s, etcd takes none out for now (HealthInterval).
    eventually(lambda: _granted(members.remove, client, added.id), "the member is taken out")
    members.remove(client, added.id)
    assert [m.name for m in members.list_members(client)] == ["m0"]
    process = cluster.processes[second]
    assert process is not None
    assert process.wait(60) == 0
    client.close()


def _granted(ask: Callable[[EtcdClient, int], None], client: EtcdClient, member: int) -> bool:
    """Whether etcd has done what it refuses for as long as its members are too new."""
    try:
        ask(client, member)
    except RegistryUnavailable:
        return False
    return True


def test_each_member_tells_how_it_is_also_without_the_others(own_etcd: Callable[..., EtcdCluster]) -> None:
    cluster = own_etcd()
    client = EtcdClient(cluster.endpoints)
    found = [members.status(client, endpoint) for endpoint in cluster.endpoints]
    assert {status.cluster for status in found} == {cluster.cluster_id}
    assert {status.member for status in found} == {member.id for member in members.list_members(client)}
    assert {status.leader for status in found} == {found[cluster.leader()].member}
    for status in found:
        assert status.version.startswith("3.")
        assert 0 < status.size_in_use <= status.size
        assert (status.learner, status.errors) == (False, ())
        assert status.raft_index > 0
        assert 0 < status.seconds < 60
    cluster.kill(1, 2)
    eventually(lambda: members.status(client, cluster.endpoint(0)).leader == 0, "it has lost its leader")
    assert len(members.list_members(client)) == 3
    with pytest.raises(RegistryUnavailable, match=f"{cluster.endpoint(1)}: nothing listens there"):
        members.status(client, cluster.endpoint(1))
    client.close()


def test_a_full_registry_takes_writes_again_once_it_is_compacted_defragmented_and_disarmed(
    own_etcd: Callable[..., EtcdCluster],
) -> None:
    cluster = own_etcd(size=1, flags=("--quota-backend-bytes=4194304",))
    client = EtcdClient(cluster.endpoints)
    registry = EtcdRegistry(client)
    revision = 0
    refusal = ""
    while not refusal:
        try:
            revision = put(registry, "/large", bytes(400_000), if_revision=revision)
        except RegistryFull as error:
            refusal = error.detail
    assert "'mao cluster status' tells what to do. Nothing was changed." in refusal
    (alarm,) = members.alarms(client)
    status = members.status(client, cluster.endpoint(0))
    assert (alarm.kind, alarm.member) == ("NOSPACE", status.member)
    assert len(status.errors) == 1
    entry = registry.get("/large")
    assert entry is not None
    assert entry.revision == revision  # it can still be read
    members.compact(client, revision)
    members.compact(client, revision)
    members.defragment(client, cluster.endpoint(0))
    assert members.status(client, cluster.endpoint(0)).size < status.size
    members.disarm(client, alarm)
    members.disarm(client, alarm)
    assert members.alarms(client) == []
    assert put(registry, "/large", b"small", if_revision=revision) > revision
    registry.close()
