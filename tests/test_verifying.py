"""A dataset that has lost something is noticed; what its nodes still have is published again, once, over nobody's."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mao import changing, publishing, registering, verifying
from mao.change import Action
from mao.changing import Wish
from mao.errors import DatasetNotFound, OutsideFailed
from mao.workspace import remove_tree
from publishers import DATASET, Publisher, publisher
from support import commit, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.verifying import Verification

    Open = Callable[..., Publisher]


@pytest.fixture
def open_node(tmp_path: Path, remote: Path) -> Iterator[Open]:
    """Opens a node by its name; the dataset is registered with it."""
    with ExitStack() as closing:

        def opening(name: str, **settings: str) -> Publisher:
            node = closing.enter_context(publisher(tmp_path / name, remote, **settings))
            registering.register_dataset(node.node, DATASET, str(remote))
            return node

        yield opening


@pytest.fixture
def alpha(open_node: Open) -> Publisher:
    return open_node("alpha")


def done(node: Publisher, files: dict[str, str]) -> str:
    """A run of these files that is published."""
    run = node.made(files)
    finish(node, run)
    return run


def finish(*nodes_and_runs: Publisher | str) -> None:
    """Have the nodes publish until these runs are."""
    nodes = [one for one in nodes_and_runs if isinstance(one, Publisher)]
    runs = {one for one in nodes_and_runs if isinstance(one, str)}
    for _ in range(6):
        for node in nodes:
            node.look_now()
            node.publish()
    states = {node.state(run) for node in nodes for run in runs if node.node.store.run(run)}
    assert states <= {"published"}, states


def set_back(remote: Path, to: str) -> None:
    """What a restored backup does."""
    git("update-ref", "refs/heads/main", to, cwd=remote)


def verify(node: Publisher, *, republish: bool = False) -> Verification:
    return verifying.verify(node.node, DATASET, republish=republish)


def missing(node: Publisher) -> list[str]:
    return [one.run for one in verify(node).missing]


def test_what_is_all_there_is_said_to_be(alpha: Publisher, remote: Path) -> None:
    empty = verify(alpha)
    assert (empty.published, empty.missing, empty.head, empty.rewritten) == (0, (), None, False)
    for number in range(3):
        done(alpha, {f"{number}.txt": str(number)})
    alpha.made({"kept.txt": "kept"}, publish=False)
    alpha.publish()

    found = verify(alpha)

    assert (found.dataset, found.remote, found.branch) == (DATASET, str(remote), "main")
    assert found.head == git("rev-parse", "main", cwd=remote)
    assert (found.published, found.missing, found.stopped, found.rewritten) == (3, (), 0, False)
    assert verify(alpha, republish=True) == found
    with pytest.raises(DatasetNotFound):
        verifying.verify(alpha.node, "nothing")


def test_a_restored_backup_is_noticed_and_stops_what_publishes_until_somebody_decides(
    alpha: Publisher, remote: Path
) -> None:
    done(alpha, {"1.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    lost = done(alpha, {"2.txt": "2", "day/3.txt": "3"})
    set_back(remote, backup)
    stopped = [alpha.made({"4.txt": "4"}), alpha.made({"5.txt": "5"})]
    alpha.publish()

    assert [(alpha.state(run), alpha.publication(run).cause) for run in stopped] == [
        ("blocked", "remote-rewritten")
    ] * 2
    assert published(remote) == {"1.txt": "1"}
    found = verify(alpha)
    assert (found.published, found.rewritten, found.stopped, found.head) == (2, True, 2, backup)
    (one,) = found.missing
    assert (one.run, one.files, one.gone, one.can_be_republished) == (lost, ("2.txt", "day/3.txt"), (), True)
    assert (one.republished, one.commit) == (False, alpha.publication(lost).commit)
    assert verify(alpha) == found, "looking decides nothing"
    alpha.publish()
    assert published(remote) == {"1.txt": "1"}


def test_what_a_restored_backup_lacks_is_published_again_once(alpha: Publisher, open_node: Open, remote: Path) -> None:
    beta = open_node("beta")
    done(alpha, {"1.txt": "1"})
    done(beta, {"beta-1.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    done(alpha, {"2.txt": "2"})
    done(beta, {"beta-2.txt": "2"})
    done(alpha, {"3.txt": "3"})
    whole = published(remote)
    runs = sorted(trailers(remote, "MAO-Run"))
    set_back(remote, backup)
    stopped = alpha.made({"4.txt": "4"})
    alpha.publish()
    alpha.look_now()
    alpha.publish()
    assert alpha.state(stopped) == "blocked"

    again = verify(alpha, republish=True)
    assert [one.republished for one in again.missing] == [True, True]
    assert (again.rewritten, again.stopped) == (True, 1)
    finish(alpha, stopped)
    assert len(verify(beta, republish=True).missing) == 1
    finish(beta, alpha)

    assert published(remote) == whole | {"4.txt": "4"}
    assert sorted(trailers(remote, "MAO-Run")) == sorted([*runs, stopped])
    for node in (alpha, beta):
        after = verify(node, republish=True)
        assert (after.missing, after.rewritten) == ((), False)
    assert sorted(trailers(remote, "MAO-Run")) == sorted([*runs, stopped])
    git("fsck", "--strict", cwd=remote)


def test_files_that_are_not_here_any_more_are_told_as_lost(alpha: Publisher, remote: Path) -> None:
    done(alpha, {"1.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    gone, partly, changed = (
        done(alpha, {f"{name}/a": "a", f"{name}/b": "b"}) for name in ("gone", "partly", "changed")
    )
    set_back(remote, backup)
    data = alpha.node.workspace.run_data
    remove_tree(data(gone))
    (data(partly) / "partly" / "a").unlink()
    (data(changed) / "changed" / "a").write_text("longer")

    found = verify(alpha, republish=True)
    for _ in range(3):
        alpha.publish()

    told = [(one.run, one.gone, one.can_be_republished, one.republished) for one in found.missing]
    assert told == [
        (gone, ("gone/a", "gone/b"), False, False),
        (partly, ("partly/a",), True, True),
        (changed, ("changed/a",), False, False),
    ]
    assert published(remote) == {"1.txt": "1", "partly/b": "b"}
    assert missing(alpha) == [gone, changed]


def test_an_update_of_a_path_is_published_again_over_the_nodes_own_older_one(alpha: Publisher, remote: Path) -> None:
    done(alpha, {"latest.txt": "1", "other.txt": "o"})
    backup = git("rev-parse", "main", cwd=remote)
    for content in ("2", "3"):
        done(alpha, {"latest.txt": content})
    set_back(remote, backup)

    verify(alpha, republish=True)
    alpha.publish()

    assert published(remote) == {"latest.txt": "3", "other.txt": "o"}
    assert git("show", "main~1:latest.txt", cwd=remote) == "2"
    done(alpha, {"latest.txt": "4", "other.txt": "o2"})
    assert published(remote) == {"latest.txt": "4", "other.txt": "o2"}


def test_what_somebody_else_has_put_at_the_path_meanwhile_stays(
    alpha: Publisher, open_node: Open, remote: Path
) -> None:
    done(alpha, {"1.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    lost = done(alpha, {"latest.txt": "of alpha"})
    set_back(remote, backup)
    beta = open_node("beta")
    done(beta, {"latest.txt": "of beta"})

    verify(alpha, republish=True)
    finish(alpha, lost)

    beside = f"latest.conflict-alpha-{lost}.txt"
    assert published(remote) == {"1.txt": "1", "latest.txt": "of beta", beside: "of alpha"}
    assert missing(alpha) == []


def test_a_lost_run_does_not_replace_what_a_later_one_of_its_node_has_put_there(alpha: Publisher, remote: Path) -> None:
    done(alpha, {"latest.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    lost = done(alpha, {"latest.txt": "2"})
    set_back(remote, backup)
    newer = alpha.made({"latest.txt": "3"})
    alpha.publish()
    assert alpha.state(newer) == "blocked"
    publishing.ask(alpha.node, alpha.run(newer))  # the history is accepted, and nothing published again
    finish(alpha, newer)
    assert published(remote) == {"latest.txt": "3"}

    verify(alpha, republish=True)
    finish(alpha, lost)

    assert published(remote) == {"latest.txt": "3", f"latest.conflict-alpha-{lost}.txt": "2"}
    done(alpha, {"latest.txt": "4"})
    assert published(remote)["latest.txt"] == "4"


def test_asking_for_one_run_decides_for_all_that_the_rewritten_history_has_stopped(
    alpha: Publisher, remote: Path
) -> None:
    done(alpha, {"latest.txt": "1"})
    backup = git("rev-parse", "main", cwd=remote)
    done(alpha, {"latest.txt": "2"})
    set_back(remote, backup)
    contents = {alpha.made({"latest.txt": content}): content for content in "345"}
    runs = sorted(contents)
    alpha.publish()
    assert {alpha.state(run) for run in runs} == {"blocked"}

    publishing.ask(alpha.node, alpha.run(runs[1]))
    finish(alpha, *runs)

    assert published(remote) == {"latest.txt": contents[runs[-1]]}, "the older one of this node is known to be its own"
    assert trailers(remote, "MAO-Run")[:3] == runs[::-1]


def test_a_rewriting_that_keeps_the_commits_loses_no_run(alpha: Publisher, remote: Path, tmp_path: Path) -> None:
    runs = [done(alpha, {f"{number}.txt": str(number), f"secret/{number}": "s"}) for number in range(3)]
    git("clone", "--quiet", remote, tmp_path / "work", cwd=tmp_path)
    script = "git rm -rq --cached --ignore-unmatch secret"
    git("filter-branch", "--index-filter", script, "main", cwd=tmp_path / "work")
    git("push", "--quiet", "--force", "origin", "main", cwd=tmp_path / "work")

    found = verify(alpha)
    assert (found.published, found.missing, found.rewritten) == (3, (), True)
    verify(alpha, republish=True)
    done(alpha, {"3.txt": "3"})

    assert published(remote) == {f"{number}.txt": str(number) for number in range(4)}
    assert trailers(remote, "MAO-Run")[1:] == runs[::-1]


def test_what_was_deleted_by_command_is_not_missing(alpha: Publisher, remote: Path) -> None:
    done(alpha, {"1.txt": "1"})
    changing.change(alpha.node, DATASET, Wish(Action.DELETE, ("1.txt",), "a fault"))
    assert missing(alpha) == []
    verify(alpha, republish=True)
    alpha.publish()
    assert published(remote) == {}


def test_a_dataset_whose_cache_and_branch_are_gone_is_published_again(alpha: Publisher, remote: Path) -> None:
    runs = [done(alpha, {f"{number}.txt": str(number)}) for number in range(2)]
    shutil.rmtree(alpha.cache.path)
    git("update-ref", "-d", "refs/heads/main", cwd=remote)

    assert missing(alpha) == runs
    verify(alpha, republish=True)
    finish(alpha, *runs)

    assert published(remote) == {"0.txt": "0", "1.txt": "1"}


def test_a_branch_that_has_another_name_now_is_searched(alpha: Publisher, remote: Path) -> None:
    done(alpha, {"1.txt": "1"})
    git("branch", "-m", "main", "trunk", cwd=remote)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=remote)

    found = verify(alpha)
    assert (found.branch, found.missing, found.rewritten) == ("trunk", (), False)
    verify(alpha, republish=True)
    done(alpha, {"2.txt": "2"})
    assert published(remote, "trunk") == {"1.txt": "1", "2.txt": "2"}


def test_a_restored_inbox_and_a_republished_run_give_one_commit(
    alpha: Publisher, open_node: Open, remote: Path
) -> None:
    done(open_node("beta"), {"first.txt": "0"})
    done(alpha, {"1.txt": "1"})
    run = alpha.made({"2.txt": "2"})
    alpha.cache.habits.saw_others()
    alpha.cache.habits.fold_seconds = 1.0
    alpha.publish()
    assert alpha.state(run) == "delivered"
    backup = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=remote)
    finish(alpha, run)
    for line in backup.splitlines():
        git("update-ref", *line.split(), cwd=remote)

    verify(alpha, republish=True)
    finish(alpha, run)

    assert trailers(remote, "MAO-Run").count(run) == 1
    assert published(remote) == {"first.txt": "0", "1.txt": "1", "2.txt": "2"}


def test_a_run_that_arrived_before_the_history_was_replaced_is_found_there(
    alpha: Publisher, remote: Path, tmp_path: Path
) -> None:
    done(alpha, {"1.txt": "1"})
    run = alpha.made({"2.txt": "2"})
    before = alpha.run(run)
    alpha.publish()
    alpha.node.store.save(before)  # as after a loss of power
    git("clone", "--quiet", remote, tmp_path / "work", cwd=tmp_path)
    git("filter-branch", "--msg-filter", "sed s/^sync/SYNC/", "main", cwd=tmp_path / "work")
    git("push", "--quiet", "--force", "origin", "main", cwd=tmp_path / "work")
    commit(tmp_path / "work", {"by-hand.txt": "x"})
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")
    alpha.publish()
    assert alpha.state(run) == "blocked"

    assert verify(alpha, republish=True).missing == ()
    assert alpha.state(run) == "published"
    assert trailers(remote, "MAO-Run").count(run) == 1


def test_a_remote_that_is_away_is_told_and_nothing_is_changed(alpha: Publisher, remote: Path, tmp_path: Path) -> None:
    run = done(alpha, {"1.txt": "1"})
    remote.rename(tmp_path / "away.git")
    for republish in (False, True):
        with pytest.raises(OutsideFailed):
            verify(alpha, republish=republish)
    assert alpha.state(run) == "published"
    (tmp_path / "away.git").rename(remote)
    assert missing(alpha) == []
