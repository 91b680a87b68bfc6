from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao import announcing, finding, registering
from mao.bare_cache import Tip
from mao.catalogue import Dataset, head_edit
from mao.daemon import Daemon
from mao.errors import OutsideFailed
from mao.kept_mirror import Head
from mao.registry import LARGEST_WRITE
from mao.values import now
from support import commit, eventually, git

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode

OLD, MINE, THEIRS = "0" * 40, "1" * 40, "2" * 40


@pytest.fixture
def dataset(node: LocalNode, remote: Path) -> Dataset:
    return registering.register_dataset(node, "Data", str(remote))


def told_by_another(node: LocalNode, head: str | None, seconds: float) -> None:
    """Another node tells of `head`, so many seconds from now."""
    moment = now() + timedelta(seconds=seconds)
    edit = head_edit(node.registry.get, "data", head=head, updated_at=moment)
    node.mirror.catch_up(node.registry.write(edit))


def published(remote: Path, text: str) -> str:
    """Somebody publishes; the commit."""
    clone = remote.parent / "clone"
    if not clone.exists():
        git("clone", "--quiet", str(remote), str(clone), cwd=remote.parent)
    made = commit(clone, {"data.txt": text})
    git("push", "--quiet", "origin", "HEAD:main", cwd=clone)
    return made


def test_a_head_is_told_once(node: LocalNode, dataset: Dataset) -> None:
    moment = now()
    node.kept.remember("data", Head(MINE, None, moment))

    announcing.announce_head(node, "Data")

    told = finding.find_dataset(node, "data")
    assert (told.head, told.updated_at, told.url) == (MINE, moment, dataset.url)
    assert node.kept.untold() == []
    revision = node.mirror.revision
    announcing.announce_head(node, "Data")
    assert node.mirror.revision == revision


@pytest.mark.parametrize("seconds", [-3600, 0, 3600])
def test_of_two_heads_that_were_told_the_one_that_the_remote_has_stays(
    node: LocalNode, dataset: Dataset, remote: Path, seconds: float
) -> None:
    older, newer = published(remote, "1"), published(remote, "2")
    node.kept.remember("data", Head(older, None, now()))
    told_by_another(node, newer, seconds)

    announcing.announce_head(node, "data")

    assert finding.find_dataset(node, dataset.name).head == newer
    assert node.kept.untold() == []

    node.kept.remember("data", Head(newer, OLD, now()))
    told_by_another(node, older, seconds)

    announcing.announce_head(node, "data")

    assert finding.find_dataset(node, dataset.name).head == newer


def test_what_a_remote_that_is_away_has_is_told_later(node: LocalNode, dataset: Dataset, remote: Path) -> None:
    newer = published(remote, "1")
    node.kept.remember("data", Head(newer, None, now()))
    told_by_another(node, OLD, 0)
    away = remote.rename(remote.with_name("away.git"))

    with pytest.raises(OutsideFailed):
        announcing.announce_head(node, "data")

    assert node.kept.untold() == ["data"]
    away.rename(remote)
    announcing.announce_head(node, "data")
    assert finding.find_dataset(node, dataset.name).head == newer


@pytest.mark.usefixtures("dataset")
def test_what_was_seen_before_publishing_is_older_whatever_its_clock_said(node: LocalNode) -> None:
    told_by_another(node, THEIRS, 3600)
    node.kept.remember("data", Head(MINE, THEIRS, now()))

    announcing.announce_head(node, "data")

    assert finding.find_dataset(node, "data").head == MINE


def test_a_head_that_the_registry_does_not_take_is_tried_again_and_told_of_in_the_log_once(
    node: LocalNode, remote: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registering.register_dataset(node, "data", str(remote))
    large = head_edit(node.registry.get, "data", weather="x" * (LARGEST_WRITE - 200))
    node.mirror.catch_up(node.registry.write(large))
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
    assert finding.find_dataset(node, "data").head == OLD


def test_of_what_was_published_right_before_a_kill_the_remote_is_asked(
    node: LocalNode, dataset: Dataset, remote: Path
) -> None:
    older, newer = published(remote, "1"), published(remote, "2")
    cache = node.cache(dataset.name, dataset.url)
    cache.fill()
    told_by_another(node, older, 3600)

    announcing.sweep(node)

    assert node.kept.untold() == ["data"]
    announcing.announce_head(node, "data")
    assert finding.find_dataset(node, "data").head == newer
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

    assert finding.find_dataset(node, "data").head == MINE
