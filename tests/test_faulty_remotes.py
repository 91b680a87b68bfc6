"""Remotes that die before they answer, are full, come back from a backup, or finish late what was given up."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao import publishing
from mao.committing import commit_on
from mao.errors import DiskFull
from mao.run import PublicationState, RunState
from mao.values import now
from publishers import Publisher, contended, delivered, folded, publisher, ready, refs, waiting
from support import GIT_ENVIRONMENT, bare, eventually, fill, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[..., Publisher]

INBOX = "refs/mao/inbox"


@pytest.fixture
def open_node(tmp_path: Path, remote: Path) -> Iterator[Open]:
    with ExitStack() as closing:
        yield lambda name: closing.enter_context(publisher(tmp_path / name, remote))


@pytest.fixture
def alpha(open_node: Open) -> Publisher:
    return ready(open_node("alpha"))


@pytest.fixture
def beta(open_node: Open, alpha: Publisher) -> Publisher:
    assert alpha.remote.exists()
    return ready(open_node("beta"))


def until_published(node: Publisher, *runs: str) -> None:
    for _ in range(6):
        for run in runs:  # its pause is over
            if node.state(run) == "waiting":
                node.node.store.save(node.run(run).with_publication(next_try_at=None))
        folded(node)
    assert [node.state(run) for run in runs] == ["published"] * len(runs)


def assert_once(remote: Path, *runs: str) -> None:
    there = trailers(remote, "MAO-Run")
    assert [there.count(run) for run in runs] == [1] * len(runs)
    assert len(there) == len(set(there))
    assert [path for path in published(remote) if "conflict" in path] == []
    assert list(remote.rglob("*.lock")) == []
    git("fsck", "--strict", cwd=remote)


def dies_after_the_next_change(remote: Path, flag: Path) -> None:
    """Have `remote` change refs once more, and be gone before it says so."""
    hook = remote / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntest $1 = committed && rm {flag} 2>/dev/null && kill -9 $PPID\nexit 0\n")
    hook.chmod(0o755)
    flag.touch()


@pytest.mark.parametrize("way", ["branch", "delivery", "fold"])
def test_what_a_remote_took_and_died_over_is_there_once(
    alpha: Publisher, beta: Publisher, remote: Path, tmp_path: Path, way: str
) -> None:
    runs = [delivered(alpha, {"1.txt": "1"}) if way == "fold" else alpha.made({"1.txt": "1"})]
    other = delivered(beta, {"other.txt": "x"}) if way == "fold" else beta.made({"other.txt": "x"})
    if way == "branch":
        folded(alpha)
        runs.append(alpha.made({"2.txt": "2"}))
    if way == "delivery":
        runs.append(alpha.made({"2.txt": "2"}))
        contended(alpha)
    dies_after_the_next_change(remote, tmp_path / "flag")
    alpha.look_now()
    alpha.publish()
    assert not (tmp_path / "flag").exists()
    assert alpha.state(runs[-1]) == "waiting", "it heard no answer"

    until_published(alpha, *runs)
    until_published(beta, other)
    assert_once(remote, *runs, other)
    assert waiting(remote) == []


@pytest.mark.parametrize("way", ["delivery", "fold"])
def test_a_full_disk_of_the_remote_on_the_way_by_the_inbox_is_told_and_survived(
    small_disk: Callable[[Path, int], None], tmp_path: Path, way: str
) -> None:
    disk = tmp_path / "disk"
    small_disk(disk, 4)
    remote = bare(disk / "data.git")
    with publisher(tmp_path / "alpha", remote) as alpha:
        ready(alpha)
        contended(alpha)
        runs = [delivered(alpha, {"1.txt": "1" * 5000}) if way == "fold" else alpha.made({"1.txt": "1" * 5000})]
        ballast = fill(disk)
        alpha.look_now()
        alpha.publish()
        told = alpha.publication(runs[0])
        assert (told.state.value, told.cause) == ("waiting", "remote-disk-full"), told

        ballast.unlink()
        runs.append(alpha.made({"2.txt": "2"}))
        until_published(alpha, *runs)
        assert_once(remote, *runs)
        assert waiting(remote) == []


@pytest.mark.parametrize("way", ["delivery", "fold"])
def test_a_full_disk_of_the_node_on_the_way_by_the_inbox_loses_nothing(
    small_disk: Callable[[Path, int], None], tmp_path: Path, remote: Path, way: str
) -> None:
    disk = tmp_path / "disk"
    small_disk(disk, 4)
    with publisher(disk / "alpha", remote) as alpha, publisher(tmp_path / "beta", remote) as beta:
        ready(alpha)
        ready(beta)
        contended(alpha)
        runs = [delivered(alpha, {"1.txt": "1" * 5000}) if way == "fold" else alpha.made({"1.txt": "1" * 5000})]
        other = delivered(beta, {"other.txt": "x" * 5000})
        ballast = fill(disk)
        with suppress(DiskFull):  # not even that it failed can be recorded
            folded(alpha)
        assert alpha.state(runs[0]) != "published"

        ballast.unlink()
        until_published(alpha, *runs)
        until_published(beta, other)
        assert_once(remote, *runs, other)
        assert waiting(remote) == []


@pytest.mark.parametrize("since", ["nothing new", "others pushed"])
def test_a_remote_that_comes_back_from_a_backup_gets_nothing_twice(
    alpha: Publisher, beta: Publisher, open_node: Open, remote: Path, tmp_path: Path, since: str
) -> None:
    folded_since = delivered(alpha, {"latest.txt": "1"})
    shutil.copytree(remote, tmp_path / "backup")
    until_published(alpha, folded_since)
    lost = alpha.made({"lost.txt": "2"})
    until_published(alpha, lost)
    waits = delivered(alpha, {"waits.txt": "3"})
    shutil.rmtree(remote)
    (tmp_path / "backup").rename(remote)
    assert refs(remote) == ["refs/mao/fold", f"{INBOX}/alpha/{folded_since}"]
    if since == "others pushed":
        until_published(beta, delivered(beta, {"others.txt": "x"}))  # it knows nothing of what is gone
        gamma = ready(open_node("gamma"))
        assert gamma.publish() is None

    new = alpha.made({"new.txt": "4"})
    folded(alpha)
    folded(alpha)
    assert [alpha.publication(run).cause for run in (waits, new)] == ["remote-rewritten"] * 2
    for run in (waits, new):
        publishing.ask(alpha.node, alpha.run(run))
    until_published(alpha, waits, new)
    until_published(beta, delivered(beta, {"last.txt": "x"}))

    assert_once(remote, waits, new, folded_since)
    assert waiting(remote) == []
    assert published(remote)["latest.txt"] == "1"
    assert (alpha.node.workspace.run_data(lost) / "lost.txt").exists(), "it can be published again"


@pytest.mark.parametrize("back", [timedelta(days=1), timedelta(days=365)], ids=["a day", "a year"])
@pytest.mark.parametrize("state", ["waiting", "delivered"])
def test_a_clock_that_is_put_back_strands_no_run(
    alpha: Publisher, beta: Publisher, remote: Path, state: str, back: timedelta
) -> None:
    run = delivered(alpha, {"a.txt": "a"}) if state == "delivered" else alpha.made({"a.txt": "a"})
    ahead = now() + back
    known = alpha.run(run).model_copy(update={"created_at": ahead, "started_at": ahead, "ended_at": ahead})
    if state == "waiting":
        known = known.moved(RunState.UNPUBLISHED).with_publication(
            state=PublicationState.WAITING, cause="unreachable", next_try_at=ahead, attempts=3
        )
    else:
        known = known.with_publication(delivered_at=ahead)
    alpha.node.store.save(known)
    other = beta.made({"other.txt": "x"})
    beta.publish()
    for _ in range(3):
        alpha.look_now()
        alpha.publish()

    assert alpha.state(run) == "published"
    until_published(beta, other)
    assert_once(remote, run, other)


def pushing_late(node: Publisher, tmp_path: Path, commit: str, ref: str, old: str) -> subprocess.Popen[bytes]:
    """A push of `node` that the remote has taken, but goes on with only when `tmp_path/go` is there."""
    hook = node.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    wait = f"touch {tmp_path}/reached; while ! test -e {tmp_path}/go; do sleep 0.02; done"
    hook.write_text(f'#!/bin/sh\ntest -z "$LATE" || {{ {wait}; }}\n')
    hook.chmod(0o755)
    push = subprocess.Popen(
        ["git", "push", "--quiet", f"--force-with-lease={ref}:{old}", f"file://{node.remote}", f"{commit}:{ref}"],
        cwd=node.cache.path,
        env=os.environ | GIT_ENVIRONMENT | {"LATE": "yes"},
        stderr=subprocess.DEVNULL,
    )
    eventually((tmp_path / "reached").exists, "the push has reached the remote")
    return push


@pytest.mark.parametrize("arrives", ["before the fold", "after the fold"])
def test_a_push_to_the_branch_that_was_given_up_and_arrives_late_adds_nothing(
    alpha: Publisher, remote: Path, tmp_path: Path, arrives: str
) -> None:
    run = alpha.made({"latest.txt": "1"})
    tip = alpha.cache.tip()
    assert tip is not None
    ((_, made),) = commit_on(alpha.node, alpha.cache, tip, [alpha.run(run)])
    late = pushing_late(alpha, tmp_path, str(made.commit), "refs/heads/main", str(tip.commit))
    contended(alpha)
    alpha.publish()
    assert alpha.state(run) == "delivered"
    if arrives == "after the fold":
        folded(alpha)
    (tmp_path / "go").touch()
    late.wait()
    newer = alpha.made({"latest.txt": "2"})
    until_published(alpha, run, newer)

    assert late.returncode == (arrives == "after the fold")
    assert_once(remote, run, newer)
    assert published(remote)["latest.txt"] == "2"
    assert waiting(remote) == []


def test_a_delivery_that_was_given_up_and_arrives_after_it_was_folded_adds_nothing(
    alpha: Publisher, beta: Publisher, remote: Path, tmp_path: Path
) -> None:
    run = delivered(alpha, {"latest.txt": "1"})
    git("update-ref", "-d", f"{INBOX}/alpha/{run}", cwd=remote)  # as if it had not arrived yet
    late = pushing_late(alpha, tmp_path, str(alpha.publication(run).delivery), f"{INBOX}/alpha/{run}", "")
    until_published(alpha, run)
    newer = alpha.made({"latest.txt": "2"})
    until_published(alpha, newer)
    (tmp_path / "go").touch()
    assert late.wait() == 0
    assert refs(remote) == [f"{INBOX}/alpha/{run}"]
    other = delivered(beta, {"other.txt": "x"})
    until_published(beta, other)

    assert_once(remote, run, newer, other)
    assert published(remote)["latest.txt"] == "2"
    assert waiting(remote) == []
