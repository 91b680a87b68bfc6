"""Data of a slot of the cluster is published only if the registry gives that slot to its run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import fencing, publishing, running
from mao.definition_file import load
from mao.registry import Edit
from mao.run import Publication, PublicationState, Run, RunState
from mao.schedule import Outcome
from members import Clock, Member, looks, member
from scheduled import installation
from support import eventually, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etcd_cluster import EtcdCluster


def collected(node: Member, clock: Clock) -> Run:
    """A run of a slot that has ended, and has data to be published."""
    node.add(publish=True)
    clock.next_hour()
    looks(clock, node)
    run = node.start(node.runs(RunState.QUEUED)[0])
    publication = Publication(dataset=run.dataset, remote="file:///nowhere/data.git")
    run = run.moved(RunState.PUBLISHING, publication=publication)
    node.node.store.save(run)
    node.look()
    return run


def publication(node: Member, run: Run) -> tuple[PublicationState, str | None]:
    found = running.find_run(node.node, run.id).publication
    assert found is not None
    return found.state, found.cause


def test_what_the_registry_gives_to_another_run_waits_for_a_decision(join: Callable[..., Member], clock: Clock) -> None:
    alpha = join("alpha")
    run = collected(alpha, clock)
    assert fencing.held_back(alpha.node, [run]) == set()

    entry = alpha.node.registry.entries("/mao/v1/slots/")[0][0]
    alpha.node.registry.write(Edit(entry.key, entry.value.replace(run.id.encode(), b"another"), entry.revision))
    alpha.sees()

    assert fencing.held_back(alpha.node, [run]) == {run.id}
    assert publication(alpha, run) == (PublicationState.BLOCKED, "slot-taken")
    asked = publishing.ask(alpha.node, running.find_run(alpha.node, run.id))
    assert fencing.held_back(alpha.node, [asked]) == set()


def test_a_run_that_cannot_be_started_has_not_run_in_the_cluster_either(
    join: Callable[..., Member], clock: Clock, tmp_path: Path
) -> None:
    alpha = join("alpha")
    definition = load(tool_files("file:///nowhere/data.git", fresh=False)["mao.yaml"])
    alpha.node.store.save(installation().model_copy(update={"definition": definition}))
    tree = alpha.node.workspace.tree("probe", "1")
    tree.mkdir(parents=True)
    (tree / "data").symlink_to(tmp_path)
    schedule = alpha.add()
    clock.next_hour()
    looks(clock, alpha)

    (run,) = alpha.runs(RunState.QUEUED)
    running.start(alpha.node, run.id)
    looks(clock, alpha)

    assert running.find_run(alpha.node, run.id).state is RunState.FAILED
    (slot,) = alpha.held(schedule)
    assert (slot.outcome, slot.started_at) == (Outcome.TOOL_MISSING, None)


def test_of_a_slot_that_is_no_longer_in_the_registry_the_ledger_tells(
    join: Callable[..., Member], clock: Clock
) -> None:
    alpha = join("alpha")
    run = collected(alpha, clock)
    entry = alpha.node.registry.entries("/mao/v1/slots/")[0][0]
    alpha.node.registry.write(Edit(entry.key, None, entry.revision))
    alpha.sees()

    assert fencing.held_back(alpha.node, [run]) == set()


def test_while_the_registry_is_away_data_waits_and_what_is_queued_stays_queued(
    tmp_path: Path, own_etcd: Callable[..., EtcdCluster], clock: Clock
) -> None:
    etcd = own_etcd(size=1)
    with member(tmp_path / "alpha", etcd, clock) as alpha:
        run = collected(alpha, clock)
        clock.next_hour()
        looks(clock, alpha)
        (queued,) = alpha.runs(RunState.QUEUED)
        etcd.kill(0)
        eventually(lambda: not alpha.node.mirror.in_touch())

        assert fencing.held_back(alpha.node, [run]) == {run.id}
        assert publication(alpha, run) == (PublicationState.WAITING, "registry-unavailable")
        assert fencing.waits(alpha.node, queued)
        running.start(alpha.node, queued.id)
        assert running.find_run(alpha.node, queued.id).state is RunState.QUEUED
        etcd.restart(0)
