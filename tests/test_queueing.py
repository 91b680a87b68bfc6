"""The runs of a node for one dataset go together, in order, and nobody is asked more often than need be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao import publishing, queueing
from mao.values import now
from publishers import DATASET, Publisher, publisher
from support import git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def node(tmp_path: Path, remote: Path) -> Iterator[Publisher]:
    with publisher(tmp_path / "alpha", remote) as opened:
        yield opened


@pytest.fixture
def pushes(tmp_path: Path, remote: Path) -> Path:
    """A file that gets a line for each push that arrives."""
    hook = remote / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\necho pushed >> {tmp_path}/pushes\n")
    hook.chmod(0o755)
    (tmp_path / "pushes").touch()
    return tmp_path / "pushes"


def count(pushes: Path) -> int:
    return len(pushes.read_text().splitlines())


def waiting(node: Publisher, remote: Path, *contents: str) -> list[str]:
    """Runs that wait as the remote was away for a while."""
    away = remote.rename(remote.with_name("away.git"))
    runs = [node.made({f"{content}.txt": content}) for content in contents]
    node.publish()
    assert {node.state(run) for run in runs} == {"waiting"}
    away.rename(remote)
    return runs


def put_off(node: Publisher, run: str, **pause: float) -> None:
    """Let the next attempt for a run be so far away."""
    changed = node.run(run).with_publication(next_try_at=now() + timedelta(**pause))
    node.node.store.save(changed)


def due(node: Publisher) -> list[str]:
    runs = queueing.on_the_way_to(node.node, DATASET)
    return [run.id for run in queueing.due(node.node, runs)]


def test_all_that_is_pending_goes_out_in_one_push_in_the_order_it_was_made(
    node: Publisher, remote: Path, pushes: Path
) -> None:
    runs = [node.made({f"{number}.txt": str(number), "latest.txt": str(number)}) for number in range(30)]
    node.publish()
    assert count(pushes) == 1
    assert {node.state(run) for run in runs} == {"published"}
    assert list(reversed(trailers(remote, "MAO-Run"))) == runs
    assert published(remote) == {f"{n}.txt": str(n) for n in range(30)} | {"latest.txt": "29"}
    commits = [node.publication(run).commit for run in reversed(runs)]
    assert commits == git("log", "--format=%H", "main", cwd=remote).splitlines()


def test_more_than_a_push_may_hold_goes_out_in_several(node: Publisher, pushes: Path) -> None:
    for number in range(101):
        node.made({f"{number}.txt": str(number)})
    assert node.publish() == 0.0
    assert node.publish() is None
    assert count(pushes) == 2
    assert due(node) == []


def test_one_run_that_the_host_refuses_holds_up_none_of_the_others(node: Publisher, remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text('#!/bin/sh\nread old new ref\ngit ls-tree -r --name-only "$new" | grep bad && exit 1\nexit 0\n')
    hook.chmod(0o755)
    runs = [node.made({f"{'bad' if number == 5 else number}.txt": "x"}) for number in range(8)]
    node.publish()
    states = [node.state(run) for run in runs]
    assert states == ["published"] * 5 + ["waiting"] + ["published"] * 2
    assert node.publication(runs[5]).cause == "hook-declined"
    later = node.made({"later.txt": "x"})
    node.publish()
    assert node.state(later) == "published"


def test_a_new_run_waits_with_those_that_wait_for_the_remote_and_goes_with_them(
    node: Publisher, remote: Path, pushes: Path
) -> None:
    runs = waiting(node, remote, "1", "2")
    for run in runs:
        put_off(node, run, hours=1)
    runs.append(node.made({"3.txt": "3"}))
    assert due(node) == []
    node.publish()
    assert [node.state(run) for run in runs] == ["waiting"] * 3
    assert node.publication(runs[2]).cause == node.publication(runs[0]).cause
    assert count(pushes) == 0

    put_off(node, runs[1], seconds=-1)
    node.publish()
    assert [node.state(run) for run in runs] == ["published"] * 3
    assert count(pushes) == 1
    assert list(reversed(trailers(remote, "MAO-Run"))) == runs


def test_who_asks_for_one_run_gets_all_that_wait_for_the_same_remote(node: Publisher, remote: Path) -> None:
    runs = waiting(node, remote, "1", "2", "3")
    for run in runs:
        put_off(node, run, hours=1)
    publishing.ask(node.node, node.run(runs[1]))
    node.publish()
    assert [node.state(run) for run in runs] == ["published"] * 3
    assert list(reversed(trailers(remote, "MAO-Run"))) == runs


@pytest.mark.parametrize("pause", [{"days": 1.0}, {"days": 400.0}])
def test_a_clock_that_was_put_back_strands_nothing(node: Publisher, remote: Path, pause: dict[str, float]) -> None:
    (run,) = waiting(node, remote, "1")
    put_off(node, run, **pause)
    assert due(node) == [run]
    node.publish()
    assert node.state(run) == "published"


def test_what_was_kept_back_is_not_pushed_with_what_goes_out(node: Publisher, remote: Path) -> None:
    runs = [node.made({f"{name}.txt": name}, publish=name != "b") for name in "abc"]
    node.publish()
    assert [node.state(run) for run in runs] == ["published", "kept", "published"]
    assert published(remote) == {"a.txt": "a", "c.txt": "c"}
    assert trailers(remote, "MAO-Run") == [runs[2], runs[0]]
    commit = node.publication(runs[1]).commit
    assert git("show", f"{commit}:b.txt", cwd=node.cache.path) == "b"
