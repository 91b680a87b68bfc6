from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from mao import registering
from mao.catalogue import SLOTS, Dataset, Tool, dataset_in, schedule_key, tool_key
from mao.local_node import LocalNode, opened
from mao.moving import bring, entries, forget, take_along
from mao.registries.sqlite import SqliteRegistry
from mao.registry import Edit, Registry
from mao.schedule import Outcome, Slot
from mao.values import now
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Registry]:
    """A registry with what another node has registered; for this it does not matter which kind it is."""
    registry = SqliteRegistry(tmp_path / "cluster.sqlite")
    yield registry
    registry.close()


def other(tmp_path: Path, cluster: Registry, repository: Path) -> None:
    """Have another node register a tool in the cluster."""
    with opened(settings(tmp_path / "other", **{"node.name": "beta"})) as node:
        registering.register_tool(node, str(repository))
        assert bring(node.registry, cluster).taken == []


def names(registry: Registry) -> set[str]:
    return {entry.key.removeprefix("/mao/v1/") for entry in entries(registry, "/mao/v1/")}


def tool_in(registry: Registry, name: str) -> Tool:
    entry = registry.get(tool_key(name))
    assert entry is not None
    return Tool.model_validate_json(entry.value)


def shared(registry: Registry, name: str) -> Dataset:
    dataset = dataset_in(registry.get, name)
    assert dataset is not None
    return dataset


def test_what_is_registered_goes_to_the_cluster_as_it_is_and_back(
    node: LocalNode, cluster: Registry, tool: Path
) -> None:
    registered = registering.register_tool(node, str(tool))
    moved = bring(node.registry, cluster)
    assert moved.taken == []
    assert bring(node.registry, cluster) == moved
    forget(node.registry, moved.keys)
    assert names(node.registry) == set()
    assert tool_in(cluster, "probe") == registered
    assert take_along(cluster, node.registry, node.store, "alpha") == 2
    assert take_along(cluster, node.registry, node.store, "alpha") == 2
    assert names(node.registry) == names(cluster) == {"tools/probe", "datasets/probe-data", "heads/probe-data"}


def test_a_name_that_the_cluster_has_is_told_and_stays_on_both_sides(
    tmp_path: Path, node: LocalNode, cluster: Registry, tool: Path
) -> None:
    commit(tmp_path / "theirs", tool_files(bare(tmp_path / "theirs.git")))
    other(tmp_path, cluster, tmp_path / "theirs")
    registering.register_tool(node, str(tool))
    free = tmp_path / "free"
    commit(free, tool_files(bare(tmp_path / "free.git"), name="free"))
    registering.register_tool(node, str(free))
    moved = bring(node.registry, cluster)
    forget(node.registry, moved.keys)
    assert [words.split(" ", 3)[:3] for words in moved.taken] == [
        ["The", "dataset", "'probe-data'"],
        ["The", "tool", "'probe'"],
    ]
    assert "by node 'beta'" in moved.taken[0]
    assert tool_in(cluster, "probe").registered_by == "beta"
    mine = {"tools/probe", "datasets/probe-data", "heads/probe-data"}
    assert names(node.registry) == mine
    assert names(cluster) == mine | {"tools/free", "datasets/free-data", "heads/free-data"}


def test_a_tool_of_somebody_elses_is_told_and_its_dataset_shared(
    tmp_path: Path, node: LocalNode, cluster: Registry, tool: Path, remote: Path
) -> None:
    other(tmp_path, cluster, tool)
    second = tmp_path / "second"
    files = tool_files(remote, name="second")
    files["mao.yaml"] = files["mao.yaml"].replace("second-data", "probe-data")
    commit(second, files)
    registering.register_tool(node, str(second))
    assert bring(node.registry, cluster).taken == []
    assert shared(cluster, "probe-data").produced_by == ("probe", "second")
    assert shared(cluster, "probe-data").registered_by == "beta"
    registering.register_tool(node, str(tool))
    (told,) = bring(node.registry, cluster).taken
    assert "The tool 'probe' is in the cluster already, registered by node 'beta' from the same repository" in told


def test_shared_schedules_come_along_with_what_became_of_their_slots(node: LocalNode, cluster: Registry) -> None:
    keys = [schedule_key("1"), f"{SLOTS}1/ran", f"{SLOTS}1/claimed"]
    slot = Slot(schedule="1", planned=now(), due_at=now(), tool="probe", node="alpha")
    for key, value in zip(keys, (slot, slot.settled(Outcome.MISSED, now()), slot), strict=True):
        node.registry.write(Edit(key, value.model_dump_json().encode(), 0))

    for _ in range(2):
        assert set(bring(node.registry, cluster).keys) == set(keys[:2])

    assert cluster.get(keys[0])
    assert cluster.get(keys[1])
    assert not cluster.get(keys[2]), "a claim without a lease would stay for ever"


def test_of_two_states_of_one_registration_the_newer_stands(node: LocalNode, cluster: Registry, tool: Path) -> None:
    registering.register_tool(node, str(tool))
    bring(node.registry, cluster)
    entry = node.registry.get(tool_key("probe"))
    assert entry is not None
    present = tool_in(node.registry, "probe")
    newer = present.model_copy(update={"commit": "f" * 40, "registered_at": present.registered_at + timedelta(hours=1)})
    older = present.model_copy(update={"commit": "0" * 40, "registered_at": present.registered_at - timedelta(hours=1)})
    for tool_now in (newer, older):
        current = node.registry.get(tool_key("probe"))
        assert current is not None
        node.registry.write(Edit(entry.key, tool_now.model_dump_json(by_alias=True).encode(), current.revision))
        assert bring(node.registry, cluster).taken == []
        assert tool_in(cluster, "probe").commit == "f" * 40


def test_a_node_takes_along_what_it_uses_and_leaves_the_rest(
    tmp_path: Path, node: LocalNode, cluster: Registry, tool: Path
) -> None:
    other(tmp_path, cluster, tool)
    assert take_along(cluster, node.registry, node.store, "alpha") == 0
    with opened(settings(tmp_path / "user", **{"node.name": "gamma"})) as user:
        assert take_along(cluster, user.registry, user.store, "beta") == 2
