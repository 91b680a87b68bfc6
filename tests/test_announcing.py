from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from keys import put
from mao import announcing, registering
from mao.bare_cache import Tip
from mao.catalogue import Dataset, dataset_key
from mao.daemon import Daemon
from mao.kept_mirror import Head
from mao.registry import LARGEST_WRITE
from mao.values import now
from support import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode

OLD, MINE, THEIRS = "0" * 40, "1" * 40, "2" * 40


@pytest.fixture
def dataset(node: LocalNode, remote: Path) -> Dataset:
    return registering.register_dataset(node, "Data", str(remote))


def told_by_another(node: LocalNode, head: str | None, seconds: float) -> None:
    """Another node tells of `head`, so many seconds from now."""
    entry = node.registry.get(dataset_key("data"))
    assert entry is not None
    moment = now() + timedelta(seconds=seconds)
    dataset = Dataset.model_validate_json(entry.value).model_copy(update={"head": head, "updated_at": moment})
    node.mirror.catch_up(put(node.registry, entry.key, dataset.model_dump_json().encode(), if_revision=entry.revision))


def test_a_head_is_told_once(node: LocalNode, dataset: Dataset) -> None:
    moment = now()
    node.kept.remember("data", Head(MINE, None, moment))

    announcing.announce_head(node, "Data")

    told = registering.find_dataset(node, "data")
    assert (told.head, told.updated_at, told.url) == (MINE, moment, dataset.url)
    assert node.kept.untold() == []
    revision = node.mirror.revision
    announcing.announce_head(node, "Data")
    assert node.mirror.revision == revision


@pytest.mark.usefixtures("dataset")
def test_an_older_head_does_not_replace_one_that_another_node_told_meanwhile(node: LocalNode) -> None:
    node.kept.remember("data", Head(MINE, None, now()))
    told_by_another(node, THEIRS, 1)

    announcing.announce_head(node, "data")

    assert registering.find_dataset(node, "data").head == THEIRS
    assert node.kept.untold() == []


@pytest.mark.usefixtures("dataset")
def test_a_newer_head_replaces_what_another_node_told_meanwhile(node: LocalNode) -> None:
    told_by_another(node, THEIRS, -1)
    node.kept.remember("data", Head(MINE, OLD, now()))

    announcing.announce_head(node, "data")

    assert registering.find_dataset(node, "data").head == MINE


@pytest.mark.usefixtures("dataset")
def test_what_was_seen_before_publishing_is_older_whatever_its_clock_said(node: LocalNode) -> None:
    told_by_another(node, THEIRS, 3600)
    node.kept.remember("data", Head(MINE, THEIRS, now()))

    announcing.announce_head(node, "data")

    told = registering.find_dataset(node, "data")
    assert told.head == MINE
    assert told.updated_at is not None
    assert told.updated_at > now()  # it does not go back, or a third node would compare with too early a moment


def test_a_head_that_the_registry_does_not_take_is_tried_again_and_told_of_in_the_log_once(
    node: LocalNode, remote: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registering.register_dataset(node, "data", str(remote), "x" * (LARGEST_WRITE - 400))
    told_by_another(node, None, 0)
    node.kept.remember("data", Head(MINE * 8, None, now()))
    daemon = Daemon(node)
    daemon.start()
    try:
        for _ in range(3):
            eventually(lambda: daemon._not_before)
            daemon._not_before.clear()
            daemon.wake()
    finally:
        daemon.stop()
    said = [record.message for record in caplog.records if record.name == "mao.daemon"]
    assert len(said) == 1
    assert said[0].startswith("head data: ")


def test_the_head_of_a_dataset_that_was_withdrawn_is_dropped(node: LocalNode, dataset: Dataset) -> None:
    node.kept.remember("data", Head(MINE, None, now()))
    registering.withdraw_dataset(node, dataset.name)

    announcing.announce_head(node, "data")

    assert node.kept.untold() == []
    assert node.registry.entries("/mao/v1/")[0] == []


def test_nothing_is_to_be_told_of_what_nobody_knows(node: LocalNode, dataset: Dataset) -> None:
    assert not announcing.note_head(node, "nothing")
    assert not announcing.note_head(node, dataset.name)  # nothing was published to it from here
    announcing.announce_head(node, "nothing")


def test_a_node_that_looks_again_does_not_tell_again_of_what_others_have_overtaken(
    node: LocalNode, dataset: Dataset
) -> None:
    cache = node.cache(dataset.name, dataset.url)
    cache.fill()
    cache.remember(Tip("main", MINE))
    assert announcing.note_head(node, "Data")
    announcing.announce_head(node, "data")
    assert not announcing.note_head(node, "data")
    told_by_another(node, THEIRS, 1)

    assert not announcing.note_head(node, "data")
    assert node.kept.untold() == []
    cache.remember(Tip("main", OLD))
    assert announcing.note_head(node, "data")
    announcing.announce_head(node, "data")
    assert registering.find_dataset(node, "data").head == OLD


@pytest.mark.parametrize(("seconds", "head"), [(-3600, MINE), (3600, THEIRS)])
def test_what_was_published_right_before_a_kill_is_told_unless_another_node_has_told_since(
    node: LocalNode, dataset: Dataset, seconds: float, head: str
) -> None:
    cache = node.cache(dataset.name, dataset.url)
    cache.fill()
    cache.remember(Tip("main", MINE))
    told_by_another(node, THEIRS, seconds)

    announcing.sweep(node)

    assert node.kept.untold() == ["data"]
    announcing.announce_head(node, "data")
    assert registering.find_dataset(node, "data").head == head
    announcing.sweep(node)
    assert node.kept.untold() == []


def test_what_nobody_has_told_of_since_is_older_whatever_the_clocks_say(node: LocalNode, dataset: Dataset) -> None:
    cache = node.cache(dataset.name, dataset.url)
    cache.fill()
    node.kept.remember("data", Head(OLD, None, now() + timedelta(seconds=3600)))
    announcing.announce_head(node, "data")
    cache.remember(Tip("main", MINE))

    announcing.sweep(node)
    announcing.announce_head(node, "data")

    assert registering.find_dataset(node, "data").head == MINE
