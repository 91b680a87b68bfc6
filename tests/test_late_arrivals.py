"""What arrives after it was given up, or was forgotten to have arrived: it is on the branch once."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao import publishing
from mao.run import PublicationState, RunState
from mao.values import now
from publishers import Publisher, contended, delivered, folded, publisher, ready, waiting
from support import commit, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[..., Publisher]

INBOX = "refs/mao/inbox"


@pytest.fixture
def open_node(tmp_path: Path, remote: Path) -> Iterator[Open]:
    with ExitStack() as closing:
        yield lambda name, **settings: closing.enter_context(publisher(tmp_path / name, remote, **settings))


@pytest.fixture
def alpha(open_node: Open) -> Publisher:
    return ready(open_node("alpha"))


@pytest.fixture
def beta(open_node: Open, alpha: Publisher) -> Publisher:
    assert alpha.remote.exists()
    return ready(open_node("beta"))


def times(remote: Path, run: str) -> int:
    """How many commits of the branch have the data of a run."""
    return trailers(remote, "MAO-Run").count(run)


def by_hand(remote: Path, work: Path, files: dict[str, str]) -> None:
    git("clone", "--quiet", remote, work, cwd=remote)
    commit(work, files)
    git("push", "--quiet", "origin", "main", cwd=work)


def test_a_node_whose_cache_was_thrown_away_finds_what_others_folded_meanwhile(
    alpha: Publisher, beta: Publisher, remote: Path, tmp_path: Path
) -> None:
    run = delivered(alpha, {"latest.txt": "alpha's"})
    other = delivered(beta, {"other.txt": "beta's"})
    folded(beta)
    assert (beta.state(other), waiting(remote)) == ("published", [])
    by_hand(remote, tmp_path / "by-hand", {"latest.txt": "newer, by somebody else"})

    shutil.rmtree(alpha.cache.path)
    for _ in range(3):
        alpha.look_now()
        alpha.publish()

    assert alpha.state(run) == "published"
    assert times(remote, run) == 1
    assert published(remote)["latest.txt"] == "newer, by somebody else"
    assert [path for path in published(remote) if "conflict" in path] == []


@pytest.mark.parametrize("way", ["branch", "inbox"])
def test_a_run_that_needs_a_decision_although_it_arrived_is_found_when_the_next_one_goes(
    alpha: Publisher, remote: Path, way: str, tmp_path: Path
) -> None:
    before = alpha.run(alpha.made({"latest.txt": "1"}))
    if way == "inbox":
        contended(alpha)
    tip = alpha.cache.tip()
    assert tip is not None
    alpha.publish()
    blocked = before.moved(RunState.UNPUBLISHED).with_publication(
        state=PublicationState.BLOCKED, cause="push-too-large", commit="c" * 40, attempts=1
    )
    alpha.node.store.save(blocked)  # its answer was lost, and the next attempt was refused
    alpha.cache.remember(tip)

    next_one = delivered(alpha, {"next.txt": "2"}) if way == "inbox" else alpha.made({"next.txt": "2"})
    for _ in range(3):
        alpha.look_now()
        alpha.publish()
    assert alpha.state(next_one) == "published"
    by_hand(remote, tmp_path / "by-hand", {"latest.txt": "by somebody else"})
    if alpha.state(before.id) == "blocked":
        publishing.ask(alpha.node, alpha.run(before.id))
    for _ in range(3):
        alpha.look_now()
        alpha.publish()

    assert alpha.state(before.id) == "published"
    assert times(remote, before.id) == 1
    assert [path for path in published(remote) if "conflict" in path] == []


def test_data_of_a_run_that_was_folded_under_older_runs_is_not_folded_again(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    run = delivered(alpha, {"latest.txt": "1"})
    zombie = alpha.publication(run).delivery
    folded(alpha)
    newer = delivered(alpha, {"latest.txt": "2"})
    folded(alpha)
    late = beta.made({"late.txt": "late"})  # it waited for a day for its remote
    beta.node.store.save(beta.run(late).model_copy(update={"ended_at": now() - timedelta(days=1)}))
    beta.publish()
    beta.publish()
    folded(beta)
    assert [alpha.state(run), alpha.state(newer), beta.state(late)] == ["published"] * 3

    git("fetch", "--quiet", alpha.cache.path, f"{zombie}:{INBOX}/alpha/{run}", cwd=remote)
    own = delivered(beta, {"other.txt": "x"})
    folded(beta)

    assert (beta.state(own), waiting(remote)) == ("published", [])
    assert times(remote, run) == 1
    assert [path for path in published(remote) if "conflict" in path] == []


def test_data_that_was_replaced_does_not_come_back_where_what_it_had_replaced_is_there_again(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    delivered(alpha, {"switch.txt": "on"})
    folded(alpha)
    run = delivered(alpha, {"switch.txt": "off"})
    zombie = alpha.publication(run).delivery
    folded(alpha)
    delivered(alpha, {"switch.txt": "on"})
    folded(alpha)

    git("fetch", "--quiet", alpha.cache.path, f"{zombie}:{INBOX}/alpha/{run}", cwd=remote)
    own = delivered(beta, {"other.txt": "x"})
    folded(beta)

    assert (beta.state(own), waiting(remote)) == ("published", [])
    assert published(remote)["switch.txt"] == "on"
    assert times(remote, run) == 1


def test_a_node_that_lost_its_cache_knows_a_late_arrival_by_the_whole_history(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    run = delivered(alpha, {"latest.txt": "1"})
    zombie = alpha.publication(run).delivery
    folded(alpha)
    delivered(alpha, {"latest.txt": "2"})
    folded(alpha)
    git("fetch", "--quiet", alpha.cache.path, f"{zombie}:{INBOX}/alpha/{run}", cwd=remote)
    shutil.rmtree(beta.cache.path)
    own = beta.made({"other.txt": "x"})
    beta.publish()
    own = delivered(beta, {"another.txt": "x"})
    folded(beta)

    assert (beta.state(own), waiting(remote)) == ("published", [])
    assert times(remote, run) == 1
    assert [path for path in published(remote) if "conflict" in path] == []


def test_a_first_push_that_a_loss_of_power_made_forgotten_is_found(
    open_node: Open, remote: Path, tmp_path: Path
) -> None:
    gamma = open_node("gamma")
    run = gamma.made({"latest.txt": "gamma's"})
    before = gamma.run(run)
    gamma.publish()
    gamma.node.store.save(before)  # nothing of it was on stable storage yet, but the folder of the cache
    (gamma.cache.path / "tip.json").write_text("")
    by_hand(remote, tmp_path / "by-hand", {"latest.txt": "newer"})
    gamma.publish()

    assert gamma.state(run) == "published"
    assert times(remote, run) == 1
    assert published(remote) == {"latest.txt": "newer"}


def test_a_large_delivery_of_a_clock_that_ran_ahead_is_folded_all_the_same(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    run = alpha.made({"large.bin": "x" * 1_200_000})
    ahead = now() + timedelta(days=365)
    alpha.node.store.save(alpha.run(run).model_copy(update={"ended_at": ahead, "created_at": ahead}))
    contended(alpha)
    alpha.publish()
    assert alpha.state(run) == "delivered"
    own = delivered(beta, {"other.txt": "x"})  # and alpha is never heard of again
    folded(beta)

    assert beta.state(own) == "published"
    assert times(remote, run) == 1


@pytest.mark.parametrize("state", ["delivered", "blocked"])
def test_a_delivery_that_is_no_longer_in_the_cache_is_folded_all_the_same(
    alpha: Publisher, remote: Path, state: str
) -> None:
    run = delivered(alpha, {"a.txt": "a"})
    if state == "blocked":
        blocked = alpha.run(run).moved(RunState.UNPUBLISHED)
        alpha.node.store.save(blocked.with_publication(state=PublicationState.BLOCKED, cause="push-too-large"))
    shutil.rmtree(alpha.cache.path)
    next_one = alpha.made({"next.txt": "b"})
    for _ in range(5):
        contended(alpha)
        for one in (run, next_one):
            if alpha.state(one) == "waiting":  # its pause is over
                alpha.node.store.save(alpha.run(one).with_publication(next_try_at=None))
        folded(alpha)

    assert [alpha.state(run), alpha.state(next_one)] == ["published"] * 2
    assert [times(remote, one) for one in (run, next_one)] == [1, 1]
    assert waiting(remote) == []
