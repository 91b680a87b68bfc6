"""What grows is kept small, and nothing is removed that is nowhere else."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao import tending
from mao.run import RunState
from mao.store import IdempotentRequest
from mao.values import now
from mao.workspace import remove_tree
from publishers import Publisher, publisher
from support import commit, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON = {"runs__keep_data": "0.0000001"}


@pytest.fixture
def node(tmp_path: Path, remote: Path) -> Iterator[Publisher]:
    """A node that keeps the files of runs for a hundredth of a second, and logs for as long as usual."""
    with publisher(tmp_path / "alpha", remote, **SOON) as opened:
        yield opened


def done(node: Publisher, content: str = "1", *, publish: bool = True) -> str:
    run = node.made({f"{content}.txt": content}, publish=publish)
    (node.node.workspace.run(run) / "log").write_text("said")
    node.publish()
    time.sleep(0.02)
    return run


def kept(node: Publisher, run: str) -> set[str]:
    directory = node.node.workspace.run(run)
    return {path.name for path in directory.iterdir()} if directory.exists() else set()


def test_the_files_of_a_run_go_when_the_dataset_has_had_them_for_long_enough_but_not_its_log(node: Publisher) -> None:
    run = done(node)
    assert kept(node, run) == {"data", "log"}
    tending.tend(node.node)
    assert kept(node, run) == {"log"}
    assert node.state(run) == "published"
    tending.tend(node.node)


def test_files_that_the_dataset_does_not_have_stay(node: Publisher, remote: Path) -> None:
    held_back = done(node, "held back", publish=False)
    away = remote.rename(remote.with_name("away.git"))
    waiting = done(node, "waiting")
    assert [node.state(run) for run in (held_back, waiting)] == ["kept", "waiting"]
    away.rename(remote)
    tending.tend(node.node)
    assert [kept(node, run) for run in (held_back, waiting)] == [{"data", "log"}] * 2


def test_nothing_goes_while_the_remote_cannot_be_asked(node: Publisher, remote: Path) -> None:
    run = done(node)
    away = remote.rename(remote.with_name("away.git"))
    tending.tend(node.node)
    assert kept(node, run) == {"data", "log"}
    away.rename(remote)
    tending.tend(node.node)
    assert kept(node, run) == {"log"}


@pytest.mark.parametrize("how", ["set back", "rewritten", "gone"])
def test_nothing_goes_if_the_branch_does_not_hold_what_it_held(
    tmp_path: Path, node: Publisher, remote: Path, how: str
) -> None:
    done(node, "0")
    run = done(node)
    match how:
        case "set back":
            git("update-ref", "refs/heads/main", "main~1", cwd=remote)
        case "rewritten":
            commit(tmp_path / "other", {"x": "y"})
            git("push", "--quiet", "--force", remote, "main", cwd=tmp_path / "other")
        case _:
            git("update-ref", "-d", "refs/heads/main", cwd=remote)
    tending.tend(node.node)
    assert kept(node, run) == {"data", "log"}


def test_what_is_left_of_a_run_goes_in_the_end_but_never_data_that_is_nowhere_else(
    tmp_path: Path, remote: Path
) -> None:
    with publisher(tmp_path / "alpha", remote, runs__keep_logs="0.0000001", **SOON) as node:
        over, held_back, failed, young = done(node), done(node, "2", publish=False), done(node, "3"), done(node, "4")
        for run, state in ((failed, RunState.FAILED), (young, RunState.RUNNING)):
            changes = {"state": state, "publication": None, "finished_at": now() - timedelta(seconds=1)}
            node.node.store.save(node.run(run).model_copy(update=changes))
        tending.tend(node.node)
        assert [kept(node, run) for run in (over, held_back, failed, young)] == [
            set(),
            {"data", "log"},
            set(),
            {"data", "log"},
        ]
        assert node.run(over).publication is not None


def test_a_cache_that_has_grown_is_made_anew_and_serves_on(node: Publisher, remote: Path) -> None:
    done(node)
    (node.cache.path / "objects" / "ballast").write_bytes(os.urandom(33_000_000))
    assert node.cache.is_large()
    tending.tend(node.node)
    assert not node.cache.is_large()
    done(node, "2")
    assert published(remote) == {"1.txt": "1", "2.txt": "2"}


def test_what_a_node_left_in_the_inbox_is_folded_by_any_that_looks(
    tmp_path: Path, node: Publisher, remote: Path
) -> None:
    done(node)
    with publisher(tmp_path / "beta", remote) as beta:
        run = beta.made({"left.txt": "behind"})
        beta.cache.habits.saw_others()
        beta.publish()
        assert beta.state(run) == "delivered"
    tending.tend(node.node)
    assert "left.txt" not in published(remote), "beta may be folding it just now"
    node.cache.habits.folding = (node.cache.habits.folding[0], time.monotonic() - 60)
    tending.tend(node.node)
    assert published(remote)["left.txt"] == "behind"
    assert trailers(remote, "MAO-Run")[0] == run
    with publisher(tmp_path / "beta", remote) as beta:
        beta.publish()
        assert beta.state(run) == "published"


def test_requests_are_forgotten_after_a_month(node: Publisher) -> None:
    node.node.store.remember(IdempotentRequest("key", "digest", "/there"))
    tending.tend(node.node)
    assert node.node.store.remembered("key") is not None
    node.node.store.forget_requests(now() + timedelta(days=1))
    assert node.node.store.remembered("key") is None


def test_nothing_goes_by_a_cache_in_whose_history_nobody_has_looked_yet(node: Publisher, remote: Path) -> None:
    done(node, "0")
    run = done(node)
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)  # as from a backup
    remove_tree(node.cache.path)
    done(node, "2")
    assert node.cache.is_new()
    tending.tend(node.node)
    git("update-ref", "refs/heads/other", "main", cwd=remote)
    tending.tend(node.node)
    assert kept(node, run) == {"data", "log"}


def test_a_rewriting_is_noticed_though_the_cache_was_lost_and_others_have_pushed_since(
    tmp_path: Path, node: Publisher, remote: Path
) -> None:
    done(node, "0")
    done(node)
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)
    remove_tree(node.cache.path)
    stopped = done(node, "2")
    git("clone", "--quiet", remote, tmp_path / "other", cwd=tmp_path)
    commit(tmp_path / "other", {"theirs": "x"})
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "other")
    tending.tend(node.node)
    later = done(node, "3")
    assert [node.publication(run).cause for run in (stopped, later)] == ["remote-rewritten"] * 2


def test_the_log_of_a_published_run_and_its_files_stay_while_its_remote_cannot_be_asked(
    tmp_path: Path, remote: Path
) -> None:
    with publisher(tmp_path / "alpha", remote, runs__keep_logs="0.0000001") as node:
        run = done(node)
        away = remote.rename(remote.with_name("away.git"))
        tending.tend(node.node)
        assert kept(node, run) == {"data", "log"}
        away.rename(remote)
        tending.tend(node.node)
        assert kept(node, run) == set()


def test_what_cannot_be_removed_holds_up_nothing(node: Publisher) -> None:
    one, two = done(node), done(node, "2")
    data = node.node.workspace.run_data(one)
    subprocess.run(["chattr", "+i", data / "1.txt"], capture_output=True, check=False)
    try:
        if "i" not in subprocess.run(["lsattr", data / "1.txt"], capture_output=True, check=False).stdout.decode()[:20]:
            pytest.skip("needs root and a file system with files that cannot be removed")
        tending.tend(node.node)
        assert kept(node, two) == {"log"}
    finally:
        for path in node.node.workspace.run(one).rglob("1.txt"):
            subprocess.run(["chattr", "-i", path], capture_output=True, check=False)
