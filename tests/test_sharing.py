"""Schedules of the cluster: who may add and change them, and what they cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mao import scheduling
from mao.errors import BackfillRefused, BadSchedule, Denied, RegistryUnavailable, ScheduleEnded
from mao.schedule import Overlap, ScheduleState
from members import Clock, member
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from members import Member


def test_every_node_knows_a_schedule_of_the_cluster(join: Callable[..., Member]) -> None:
    alpha, beta = join("alpha"), join("beta")

    schedule = alpha.add()
    beta.look()

    assert alpha.shared(schedule) == beta.node.store.schedule(schedule.id) == schedule
    assert not alpha.node.agenda.first(), "it is reckoned as one of the node's own"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        *[
            ({"overlap": overlap}, "cannot have the overlap")
            for overlap in set(Overlap) - {Overlap.SKIP, Overlap.ALLOW}
        ],
        ({"retries": 1}, "does not try a failed slot again"),
    ],
)
def test_what_nodes_would_have_to_wait_for_each_other_for_is_refused(
    join: Callable[..., Member], more: dict[str, Any], words: str
) -> None:
    alpha = join("alpha")

    with pytest.raises(BadSchedule, match=words):
        alpha.add(**more)

    assert not alpha.node.registry.entries("/mao/v1/schedules/")[0]


def test_it_is_neither_edited_nor_run_for_the_past(join: Callable[..., Member], clock: Clock) -> None:
    alpha = join("alpha")
    schedule = alpha.add()

    with pytest.raises(BadSchedule, match="Remove it and add another one"):
        scheduling.edit(alpha.node, schedule.id, {"cron": "daily"})
    with pytest.raises(BackfillRefused, match="belongs to the cluster"):
        scheduling.backfill(alpha.node, schedule.id, clock.present, clock.present)

    assert alpha.shared(schedule) == schedule


def test_only_its_node_and_administrators_change_it(join: Callable[..., Member]) -> None:
    alpha, beta = join("alpha"), join("beta")
    gamma = join("gamma", node__administrator="true")
    schedule = alpha.add()
    for other in (beta, gamma):
        other.look()

    for change in (scheduling.pause, scheduling.resume, scheduling.remove):
        with pytest.raises(Denied, match="only that node may change it"):
            change(beta.node, schedule.id)
        with pytest.raises(Denied, match="is no administrator"):
            change(beta.node, schedule.id, as_administrator=True)
    assert alpha.shared(schedule) == schedule

    scheduling.pause(gamma.node, schedule.id, as_administrator=True)
    alpha.look()
    assert scheduling.find_schedule(alpha.node, schedule.id).state is ScheduleState.PAUSED
    scheduling.remove(alpha.node, schedule.id)
    with pytest.raises(ScheduleEnded):
        scheduling.resume(alpha.node, schedule.id)


def test_when_the_registry_is_away_nothing_is_added_or_changed(
    tmp_path: Path, own_etcd: Callable[..., EtcdCluster], clock: Clock
) -> None:
    etcd = own_etcd(size=1)
    with member(tmp_path / "alpha", etcd, clock) as alpha:
        schedule = alpha.add()
        etcd.kill(0)
        eventually(lambda: not alpha.node.mirror.in_touch())

        with pytest.raises(RegistryUnavailable):
            alpha.add()
        with pytest.raises(RegistryUnavailable):
            scheduling.remove(alpha.node, schedule.id)

        assert scheduling.find_schedule(alpha.node, schedule.id) == schedule
        clock.next_hour()
        assert alpha.minder.due([]) == []
        etcd.restart(0)
