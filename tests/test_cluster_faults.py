"""Three nodes and three members of etcd at work, while one thing after the other fails.

Each test ends with `Cluster.check`: all nodes and etcd agree on names, revisions, nodes and datasets; what was
acknowledged is there once, what was refused is not; each dataset's head is its remote's. At random, and for longer:
`benchmarks/cluster_faults.py`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from clusters import NAMES, Cluster
from etcd_cluster import need_etcd
from faults import at_random
from mao.catalogue import DATASETS
from namespaces import Cut, Loopback, Namespaces, need_namespaces, possible
from support import eventually
from writers import Told
from wrong_clock import wrong_clock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_etcd()
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), Namespaces(3) if possible() else Loopback()).start()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    """Three nodes that the tests of this file share; each mends what it has broken."""
    yield made
    made.mend()


def test_the_leader_is_killed_and_then_the_next_one(cluster: Cluster) -> None:
    with cluster.at_work() as work:
        first = cluster.etcd.leader()
        cluster.etcd.kill(first)
        work.goes_on(runs=0)
        cluster.etcd.restart(first)
        second = cluster.etcd.leader()
        cluster.etcd.kill(second)
        work.goes_on()

    assert first != second


def test_without_most_members_nodes_list_run_and_publish_and_register_nothing(cluster: Cluster) -> None:
    alpha = cluster.nodes[0]
    with cluster.at_work() as work:
        work.goes_on(registrations=2, runs=0)
        cluster.etcd.kill(0, 1)
        work.told(Told.REFUSED)
        reply = alpha.request("POST", "/api/v1/datasets", {"name": "refused", "url": str(cluster.other)})
        listed = alpha.listed("datasets")
        ages = [eventually(node.age, f"{node.name} says how old its answer is") for node in cluster.nodes]
        work.publishes()
        tip = alpha.listed("datasets")["probe-data"]["head"]
        cluster.etcd.restart(0, 1)

    assert reply.status == 503
    assert "The registry does not answer" in reply.json["detail"]
    assert "refused" not in listed
    assert len(listed) > 1
    assert all(ages)
    held = cluster.held()
    assert f"{DATASETS}refused" not in held
    assert held[f"{DATASETS}probe-data"].value["head"] != tip


@pytest.mark.parametrize("cut", Cut)
def test_a_host_is_cut_off_with_the_leader(cluster: Cluster, cut: Cut) -> None:
    need_namespaces()
    with cluster.at_work() as work:
        away = cluster.etcd.leader()
        others = [i for i in range(3) if i != away]
        cluster.cut(away, cut)
        work.goes_on(*others)
        work.told(Told.REFUSED, away)
        work.publishes(away)
        assert cluster.nodes[away].age() > 0
        for i in others:
            eventually(lambda: NAMES[away] not in cluster.nodes[i].listed("nodes"), "its lease has ended")  # noqa: B023  # asked at once
        cluster.heal(away)


@pytest.mark.parametrize("leads", [True, False], ids=["the leader", "another one"])
def test_a_member_stands_still_for_longer_than_an_election(cluster: Cluster, leads: bool) -> None:  # noqa: FBT001
    with cluster.at_work() as work:
        paused = next(i for i in range(3) if (i == cluster.etcd.leader()) is leads)
        cluster.etcd.pause(paused)
        work.goes_on()
        cluster.etcd.resume(paused)
        work.goes_on(registrations=1, runs=0)


def test_what_a_node_missed_was_compacted(cluster: Cluster) -> None:
    gamma = cluster.nodes[2]
    with cluster.at_work() as work:
        gamma.signal(signal.SIGSTOP)
        cluster.etcd.kill(0, 1, 2)  # or what the one that it hears from tells would wait at the node's door
        cluster.etcd.restart(0, 1, 2)
        work.goes_on(0, 1, runs=0)
        cluster.etcd.etcdctl("compact", str(cluster.revision()))
        gamma.signal(signal.SIGCONT)
        work.goes_on(2)

    assert "the registry is listed anew" in (cluster.directory / "home-gamma.log").read_text()


def test_a_node_whose_lease_has_ended_is_gone_and_comes_back_by_itself(cluster: Cluster) -> None:
    alpha, beta, gamma = cluster.nodes
    since = alpha.listed("nodes")["gamma"]["since"]
    with cluster.at_work() as work:
        gamma.signal(signal.SIGSTOP)
        for other in (alpha, beta):
            eventually(lambda: "gamma" not in other.listed("nodes"), f"it is gone from {other.name}'s list")  # noqa: B023  # asked at once
        gamma.signal(signal.SIGCONT)
        work.goes_on(2)

    assert alpha.listed("nodes")["gamma"]["since"] == since


def test_clocks_are_wrong_by_an_hour(cluster: Cluster) -> None:
    alpha, *wrong = cluster.nodes
    for node, seconds in zip(wrong, (3600, -3600), strict=True):
        node.stop()
        node.settings |= wrong_clock(cluster.directory, seconds)
        node.start()
    try:
        with cluster.at_work() as work:
            work.goes_on(runs=2)
    finally:
        for node in wrong:
            node.stop()
            node.settings = {name: value for name, value in node.settings.items() if name.startswith("MAO_")}
            node.start()

    told = alpha.listed("datasets").values()
    assert {dataset["registered_by"] for dataset in told} == set(NAMES)
    with cluster.at_work() as work:  # what was told an hour ahead does not win for an hour
        work.goes_on(0, runs=1)


def test_a_node_is_killed_while_it_registers(cluster: Cluster) -> None:
    beta = cluster.nodes[1]
    with cluster.at_work() as work:
        for _ in range(3):
            work.goes_on(1, registrations=2, runs=0)
            beta.kill()
            beta.start()
        work.goes_on(1)


def test_faults_at_random(cluster: Cluster) -> None:
    done = at_random(cluster, seconds=6, every=1, seed=1)

    assert done
