"""A dataset's history tells what was changed deliberately and what stands beside others, of all nodes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mao import changing, registering, tracing
from mao.change import Action
from mao.changing import Wish
from mao.errors import ChangeNotFound, DatasetNotFound, OutsideFailed
from publishers import DATASET, Publisher, publisher
from support import commit, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def nodes(tmp_path: Path, remote: Path) -> Iterator[tuple[Publisher, Publisher]]:
    """Two nodes with the same dataset; `beta` has met a file of `alpha`, and knows nothing of a later one."""
    with ExitStack() as closing:
        found = [closing.enter_context(publisher(tmp_path / name, remote)) for name in ("alpha", "beta")]
        for node in found:
            registering.register_dataset(node.node, DATASET, str(remote))
        yield found[0], found[1]


def change(node: Publisher, action: Action, *paths: str, to: str | None = None, by: str | None = None) -> str:
    return changing.change(node.node, DATASET, Wish(action, paths, "because", to, by)).commit


def publish(node: Publisher, files: dict[str, str]) -> str:
    run = node.made(files)
    for _ in range(3):
        node.look_now()
        node.publish()
    assert node.state(run) == "published"
    return run


def test_changes_are_those_of_all_nodes_the_newest_first(nodes: tuple[Publisher, Publisher], tmp_path: Path) -> None:
    alpha, beta = nodes
    assert tracing.changes(alpha.node, DATASET) == []
    publish(alpha, {"a/1.csv": "1", "b/2.csv": "2"})
    made = [
        change(alpha, Action.DELETE, "a/1.csv", by="Ada"),
        change(beta, Action.MOVE, "b", to="c/d"),
    ]
    publish(beta, {"e.csv": "3"})

    for node in nodes:
        found = tracing.changes(node.node, DATASET)
        assert [one.commit for one in found] == made[::-1]
        assert [(one.action, one.paths, one.to, one.by, one.node) for one in found] == [
            ("move", ("b",), "c/d", None, "beta"),
            ("delete", ("a/1.csv",), None, "Ada", "alpha"),
        ]
        assert {one.reason for one in found} == {"because"}
        assert tracing.find_change(node.node, DATASET, made[0]) == found[1]
    with pytest.raises(ChangeNotFound):
        tracing.find_change(alpha.node, DATASET, "0" * 40)
    with pytest.raises(DatasetNotFound):
        tracing.changes(alpha.node, "nothing")
    alpha.remote.rename(tmp_path / "away.git")
    with pytest.raises(OutsideFailed):
        tracing.changes(alpha.node, DATASET)


def test_trailers_that_somebody_else_wrote_are_passed_over(
    nodes: tuple[Publisher, Publisher], tmp_path: Path, remote: Path
) -> None:
    alpha, _ = nodes
    publish(alpha, {"a.csv": "1"})
    git("clone", "--quiet", remote, tmp_path / "work", cwd=tmp_path)
    for number, told in enumerate(
        (
            "MAO-Action: burn\nMAO-Paths: [1]",
            "MAO-Action: delete",
            "MAO-Action: delete\nMAO-Paths: 7",
            'MAO-Action: delete\nMAO-Paths: {"a": []}',
            "MAO-Action: move\nMAO-Paths: {}",
            'MAO-Action: move\nMAO-Paths: ["a"]',
            'MAO-Action: move\nMAO-Paths: {"a": 1}',
            "MAO-Beside: nonsense\nMAO-Run: x",
        )
    ):
        commit(tmp_path / "work", {"n.txt": str(number)}, f"by hand\n\n{told}\n")
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")

    assert tracing.changes(alpha.node, DATASET) == []
    assert tracing.conflicts(alpha.node, DATASET) == []


def test_conflicts_are_those_of_all_nodes_until_somebody_deals_with_them(
    nodes: tuple[Publisher, Publisher], tmp_path: Path
) -> None:
    alpha, beta = nodes
    publish(alpha, {"latest.csv": "of alpha", "day/x.csv": "1"})
    first = publish(beta, {"latest.csv": "of beta", "day/x.csv": "2", "own.csv": "3"})
    second = publish(beta, {"latest.csv": "of beta, later"})

    def told(node: Publisher) -> list[tuple[str, str, str, str]]:
        found = tracing.conflicts(node.node, DATASET)
        return [(one.path, one.published_as, one.run, one.node) for one in found]

    beside = [
        ("latest.csv", f"latest.conflict-beta-{second}.csv", second, "beta"),
        ("day/x.csv", f"day/x.conflict-beta-{first}.csv", first, "beta"),
        ("latest.csv", f"latest.conflict-beta-{first}.csv", first, "beta"),
    ]
    assert told(alpha) == told(beta) == beside
    newest = tracing.conflicts(alpha.node, DATASET)[0]
    assert newest.commit == beta.publication(second).commit
    assert newest.ended_at is not None
    ended = beta.run(second).ended_at
    assert ended is not None
    assert int(newest.ended_at.timestamp()) == int(ended.timestamp())

    change(alpha, Action.DELETE, "latest.csv")
    change(beta, Action.MOVE, beside[0][1], to="latest.csv")
    change(alpha, Action.DELETE, "day")
    assert told(alpha) == told(beta) == [beside[2]]

    assert tracing.conflicts_here(alpha.node, DATASET) == []
    alpha.remote.rename(tmp_path / "away.git")
    with pytest.raises(OutsideFailed):
        tracing.conflicts(beta.node, DATASET)
    here = tracing.conflicts_here(beta.node, DATASET)
    assert [(one.path, one.published_as, one.run, one.node) for one in here] == [beside[0], *beside[1:]]
