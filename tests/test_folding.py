"""Where many publish to one branch, each gives its data to the inbox, and somebody always folds it in: once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mao.workspace import remove_tree
from publishers import DATASET, Publisher, delivered, publisher, ready, refs
from support import bare, commit, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[..., Publisher]

INBOX = "refs/mao/inbox"


@pytest.fixture
def open_node(tmp_path: Path, remote: Path) -> Iterator[Open]:
    """Opens a node by its name; the same name opens the same home again."""
    with ExitStack() as closing:
        yield lambda name, **settings: closing.enter_context(publisher(tmp_path / name, remote, **settings))


@pytest.fixture
def alpha(open_node: Open) -> Publisher:
    """A node that has published; its way to the branch is contended for by `beta`, which has published since."""
    return ready(open_node("alpha"))


@pytest.fixture(autouse=True)
def beta(open_node: Open, alpha: Publisher) -> Publisher:
    assert refs(alpha.remote) == []
    return ready(open_node("beta"))


def left(node: Publisher) -> list[str]:
    """What is at the remote beside its branch when this node, which has folded, has looked once more."""
    node.look_now()
    node.publish()
    return refs(node.remote)


def log(remote: Path, form: str, count: int = 1) -> list[str]:
    return git("log", f"--format={form}", f"-{count}", "main", cwd=remote).splitlines()


def test_who_loses_a_race_is_on_the_branch_by_way_of_the_inbox(alpha: Publisher, remote: Path) -> None:
    late = alpha.made({"a/1.txt": "alpha"})  # beta has published since alpha looked
    alpha.publish()
    assert alpha.state(late) == "delivered"
    assert refs(remote) == ["refs/mao/fold", f"{INBOX}/alpha/{late}"]
    assert git("show", f"{INBOX}/alpha/{late}:a/1.txt", cwd=remote) == "alpha"
    alpha.look_now()
    alpha.publish()

    publication = alpha.publication(late)
    assert (publication.state.value, publication.commit) == ("published", git("rev-parse", "main", cwd=remote))
    assert publication.delivered_at is not None
    assert publication.pushed_at is not None
    assert publication.delivered_at <= publication.pushed_at
    assert published(remote) == {"a/1.txt": "alpha", "first/alpha": "0", "first/beta": "0"}
    assert trailers(remote, "MAO-Run")[0] == late
    assert git("rev-list", "--min-parents=2", "--count", "main", cwd=remote) == "0"
    assert refs(remote) == []
    git("fsck", "--strict", cwd=remote)


def test_whoever_folds_takes_all_that_waits_and_each_commit_says_whose_it_is(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    one = delivered(alpha, {"one.txt": "1"})
    two = delivered(beta, {"two.txt": "2"})
    three = delivered(beta, {"three.txt": "3"})
    alpha.look_now()
    alpha.publish()  # it was the first, so it is for it to fold

    assert alpha.state(one) == "published"
    assert trailers(remote, "MAO-Run")[:3] == [three, two, one]
    assert log(remote, "%an %cn", 3) == ["beta alpha", "beta alpha", "alpha alpha"]
    assert left(alpha) == []
    beta.look_now()
    beta.publish()
    assert [beta.state(run) for run in (two, three)] == ["published"] * 2
    assert [beta.publication(run).commit for run in (three, two)] == log(remote, "%H", 2)
    assert "MAO-Replaces" not in git("log", "main", cwd=remote)


def test_what_somebody_left_who_died_while_folding_is_folded_by_the_next(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    one = delivered(alpha, {"one.txt": "1"})  # and alpha is never heard of again
    two = delivered(beta, {"two.txt": "2"})
    beta.look_now()
    beta.publish()
    assert beta.state(two) == "delivered", "it leaves the fold to alpha at first"
    known, _ = beta.cache.habits.folding
    beta.cache.habits.folding = (known, time.monotonic() - 60)
    beta.look_now()
    beta.publish()

    assert beta.state(two) == "published"
    assert sorted(trailers(remote, "MAO-Run")[:2]) == sorted([one, two])
    assert left(beta) == []
    alpha.publish()
    alpha.look_now()
    alpha.publish()
    assert alpha.state(one) == "published"


def test_a_node_that_forgot_what_it_delivered_publishes_it_once(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    run = alpha.made({"a.txt": "a"})
    before = alpha.run(run)
    alpha.cache.habits.saw_others()
    alpha.publish()
    alpha.node.store.save(before)  # as after a loss of power
    other = delivered(beta, {"b.txt": "b"})
    beta.look_now()
    beta.publish()
    beta.cache.habits.folding = (beta.cache.habits.folding[0], time.monotonic() - 60)
    beta.look_now()
    beta.publish()
    for _ in range(2):
        alpha.look_now()
        alpha.publish()

    assert (alpha.state(run), beta.state(other)) == ("published", "published")
    assert sorted(trailers(remote, "MAO-Run")[:2]) == sorted([run, other])
    assert left(beta) != left(beta) == [], "it goes on while there is something of others"


def test_a_delivery_that_arrives_again_after_it_was_folded_adds_nothing(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    run = delivered(alpha, {"latest.txt": "1"})
    commit = alpha.publication(run).delivery
    alpha.look_now()
    alpha.publish()
    newer = delivered(alpha, {"latest.txt": "2"})
    alpha.look_now()
    alpha.publish()
    assert [alpha.state(run), alpha.state(newer)] == ["published"] * 2
    head = git("rev-parse", "main", cwd=remote)

    git("fetch", "--quiet", alpha.cache.path, f"{commit}:{INBOX}/alpha/{run}", cwd=remote)
    own = delivered(beta, {"other.txt": "x"})
    beta.look_now()
    beta.publish()

    assert beta.state(own) == "published"
    assert git("rev-parse", "main~1", cwd=remote) == head
    assert left(beta) == []


def test_both_versions_of_a_path_are_kept_by_whoever_folds(alpha: Publisher, beta: Publisher, remote: Path) -> None:
    ours = delivered(alpha, {"day/latest.txt": "alpha's"})
    theirs = delivered(beta, {"day/latest.txt": "beta's"})
    alpha.look_now()
    alpha.publish()
    beta.look_now()
    beta.publish()

    beside = f"day/latest.conflict-beta-{theirs}.txt"
    assert published(remote) | {"day/latest.txt": "alpha's", beside: "beta's"} == published(remote)
    assert [file.published_as for file in beta.publication(theirs).files] == [beside]
    assert [file.published_as for file in alpha.publication(ours).files] == [None]
    assert beside in (beta.run(theirs).reason or "")
    assert trailers(remote, "MAO-Beside") == [f'{{"day/latest.txt":"{beside}"}}']


def test_a_node_that_writes_a_path_again_replaces_its_own_file(alpha: Publisher, remote: Path) -> None:
    for content in ("1", "2"):
        alpha.made({"latest.txt": content})
        alpha.publish()
        alpha.look_now()
        alpha.publish()
    waiting = [delivered(alpha, {"latest.txt": "3"}), delivered(alpha, {"latest.txt": "4"})]
    alpha.look_now()
    alpha.publish()

    assert [alpha.state(run) for run in waiting] == ["published"] * 2
    assert {path: content for path, content in published(remote).items() if "latest" in path} == {"latest.txt": "4"}
    assert git("show", "main~1:latest.txt", cwd=remote) == "3"


def test_a_file_where_the_branch_has_a_folder_by_now_is_kept_and_said_and_holds_nobody_up(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    one = delivered(alpha, {"thing/in-it": "1"})
    two = delivered(beta, {"thing": "2"})
    three = delivered(beta, {"three.txt": "3"})
    alpha.look_now()
    alpha.publish()
    assert left(alpha) == [f"{INBOX}/beta/{two}"], "it is for beta to say what became of it"
    beta.look_now()
    beta.publish()

    assert alpha.state(one) == "published"
    assert beta.state(three) == "published"
    assert (beta.state(two), beta.publication(two).cause) == ("blocked", "path-clash")
    assert "'thing' is a file in the data of the run and a folder in the dataset" in (
        beta.publication(two).message or ""
    )
    assert (beta.node.workspace.run_data(two) / "thing").read_text() == "2"
    assert refs(remote) == []


def test_what_vanishes_from_the_inbox_is_published_anew(alpha: Publisher, remote: Path) -> None:
    run = delivered(alpha, {"a.txt": "a"})
    for ref in refs(remote):
        git("update-ref", "-d", ref, cwd=remote)
    for _ in range(3):
        alpha.look_now()
        alpha.publish()

    assert alpha.state(run) == "published"
    assert trailers(remote, "MAO-Run")[0] == run


def test_a_host_that_takes_no_other_refs_gets_all_on_the_branch(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    git("config", "receive.hideRefs", "refs/mao", cwd=remote)
    runs = []
    for number in range(3):
        for node in (alpha, beta):
            runs.append(node.made({f"{node.node.config.node}/{number}": str(number)}))
            node.publish()

    assert sorted(trailers(remote, "MAO-Run")[: len(runs)]) == sorted(runs)
    assert refs(remote) == []


def test_a_host_without_atomic_pushes_loses_nothing(alpha: Publisher, beta: Publisher, remote: Path) -> None:
    git("config", "receive.advertiseAtomic", "false", cwd=remote)
    one, two = delivered(alpha, {"one.txt": "1"}), delivered(beta, {"two.txt": "2"})
    alpha.look_now()
    alpha.publish()
    beta.look_now()
    beta.publish()

    assert (alpha.state(one), beta.state(two)) == ("published", "published")
    assert trailers(remote, "MAO-Run")[:2] == [two, one]
    assert left(alpha) == []


def test_what_is_no_delivery_is_left_alone(alpha: Publisher, remote: Path) -> None:
    git("update-ref", f"{INBOX}/somebody/1", "main", cwd=remote)
    run = delivered(alpha, {"a.txt": "a"})
    alpha.look_now()
    alpha.publish()

    assert alpha.state(run) == "published"
    assert refs(remote) == [f"{INBOX}/somebody/1"]


def test_large_files_of_others_are_left_to_their_own_node(alpha: Publisher, beta: Publisher, remote: Path) -> None:
    small = delivered(alpha, {"small.txt": "1"})
    large = delivered(beta, {"large.bin": "x" * 1_200_000})
    alpha.look_now()
    alpha.publish()
    assert alpha.state(small) == "published"
    assert refs(remote) == [f"{INBOX}/beta/{large}"]
    beta.look_now()
    beta.publish()

    assert beta.state(large) == "published"
    assert refs(remote) == []
    assert len(published(remote)["large.bin"]) == 1_200_000


def test_a_remote_whose_branch_is_slow_has_the_data_first_and_then_its_branch(alpha: Publisher, remote: Path) -> None:
    alpha.cache.habits.push_seconds = 5.0
    run = alpha.made({"a.txt": "a"})
    alpha.publish()

    assert alpha.state(run) == "published", "nobody else is there to be waited for"
    assert refs(remote) == []


def test_the_runs_of_a_node_stay_in_order_whatever_way_they_go(alpha: Publisher, beta: Publisher, remote: Path) -> None:
    runs = []
    for number in range(4):
        runs.append(alpha.made({f"{number}.txt": str(number)}))
        alpha.publish()
        beta.made({f"beta-{number}": "x"})
        beta.publish()
    while any(alpha.state(run) != "published" for run in runs):
        for node in (alpha, beta):
            node.look_now()
            node.publish()

    ours = [run for run in reversed(trailers(remote, "MAO-Run")) if run in runs]
    assert ours == runs


def test_an_empty_dataset_gets_its_first_commit_from_the_inbox_too(tmp_path: Path) -> None:
    remote = bare(tmp_path / "empty.git")
    with publisher(tmp_path / "gamma", remote) as gamma, publisher(tmp_path / "delta", remote) as delta:
        for node in (gamma, delta):
            node.made({"x": "0"}, publish=False)
            node.publish()  # both know the remote as empty
        runs = {node.made({f"{node.node.config.node}.txt": "1"}): node for node in (gamma, delta)}
        for run, node in runs.items():
            node.publish()
            node.look_now()
            node.publish()
            assert node.state(run) == "published"
        assert published(remote) == {"gamma.txt": "1", "delta.txt": "1"}


def test_a_file_of_somebody_else_is_never_folded_over(tmp_path: Path, alpha: Publisher, remote: Path) -> None:
    run = delivered(alpha, {"notes.txt": "of the run"})
    work = tmp_path / "by-hand"
    git("clone", "--quiet", remote, work, cwd=tmp_path)
    commit(work, {"notes.txt": "by hand"})
    git("push", "--quiet", "origin", "main", cwd=work)
    alpha.look_now()
    alpha.publish()

    assert alpha.state(run) == "published"
    assert published(remote)["notes.txt"] == "by hand"
    assert published(remote)[f"notes.conflict-alpha-{run}.txt"] == "of the run"
    assert alpha.node.store.own_blobs(DATASET, [b"notes.txt"]) == {}


def test_what_waits_is_folded_though_the_cache_was_thrown_away(alpha: Publisher, remote: Path) -> None:
    run = delivered(alpha, {"a.txt": "a"})
    remove_tree(alpha.cache.path)
    alpha.look_now()
    alpha.publish()
    assert alpha.state(run) == "published", alpha.publication(run).message
    assert published(remote)["a.txt"] == "a"


def test_a_run_that_changes_nothing_ends_though_others_fold(alpha: Publisher, beta: Publisher, remote: Path) -> None:
    delivered(alpha, {"other.txt": "x"})
    same = delivered(beta, {"first/beta": "0"})  # what it has published before
    alpha.look_now()
    alpha.publish()
    beta.look_now()
    beta.publish()

    assert beta.state(same) == "unchanged"
    assert f"{INBOX}/beta/{same}" not in refs(remote)


def test_a_remote_that_does_not_show_what_it_takes_is_not_asked_again_and_again(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    git("config", "uploadpack.hideRefs", "refs/mao", cwd=remote)
    run = delivered(alpha, {"a.txt": "a"})
    alpha.look_now()
    alpha.publish()

    assert alpha.state(run) == "published"
    assert beta.cache.tip() is not None


def test_one_delivery_that_the_branch_refuses_spoils_none_of_the_others(
    alpha: Publisher, beta: Publisher, remote: Path
) -> None:
    hook = remote / "hooks" / "update"
    hook.write_text('#!/bin/sh\ntest "$1" != refs/heads/main || ! git ls-tree -r --name-only "$3" | grep -q bad\n')
    hook.chmod(0o755)
    bad = delivered(alpha, {"bad.txt": "x"})
    good = [delivered(beta, {f"{number}.txt": "x"}) for number in range(4)]
    for _ in range(12):
        for node in (alpha, beta):
            node.look_now()
            node.publish()

    assert {beta.state(run) for run in good} == {"published"}
    assert (alpha.state(bad), alpha.publication(bad).cause) == ("waiting", "hook-declined")


@pytest.mark.parametrize("way", ["branch", "inbox"])
def test_of_a_run_whose_files_are_gone_nothing_is_claimed_and_the_others_go_on(
    alpha: Publisher, remote: Path, way: str
) -> None:
    gone, there = alpha.made({"gone.txt": "1", "left.txt": "2"}), alpha.made({"there.txt": "3"})
    (alpha.node.workspace.run_data(gone) / "gone.txt").unlink()
    if way == "inbox":
        alpha.cache.habits.saw_others()
    for _ in range(4):
        alpha.look_now()
        alpha.publish()

    assert alpha.state(there) == "published"
    assert (alpha.state(gone), alpha.publication(gone).cause) == ("waiting", "file-changed")
    assert [file.path for file in alpha.publication(gone).files] == ["gone.txt", "left.txt"]
    assert "left.txt" not in published(remote)


def test_a_fold_that_lost_a_race_is_finished_in_small_parts_without_waiting(
    tmp_path: Path, alpha: Publisher, remote: Path
) -> None:
    git("clone", "--quiet", remote, tmp_path / "other", cwd=tmp_path)
    quicker = commit(tmp_path / "other", {"quicker.txt": "x"})
    git("push", "--quiet", remote, "HEAD:refs/heads/side", cwd=tmp_path / "other")
    runs = [delivered(alpha, {f"{number}.txt": "x"}) for number in range(10)]
    hook = remote / "hooks" / "pre-receive"
    moved = f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {quicker}"
    hook.write_text(f"#!/bin/sh\ntest -e {tmp_path}/once || {{ touch {tmp_path}/once; {moved}; }}\n")
    hook.chmod(0o755)
    alpha.look_now()

    wait = alpha.publish()
    assert wait is not None
    assert wait <= 0.1
    assert {alpha.state(run) for run in runs} == {"delivered"}
    for parts in (8, 10):
        alpha.look_now()
        alpha.publish()
        assert sum(alpha.state(run) == "published" for run in runs) == parts
    assert git("merge-base", "main", quicker, cwd=remote) == quicker


def test_more_than_a_fold_takes_is_folded_in_order_and_what_cannot_be_folded_comes_last(
    alpha: Publisher, remote: Path
) -> None:
    for number in range(3):
        git("update-ref", f"{INBOX}/somebody/0{number}", "main", cwd=remote)
    runs = [delivered(alpha, {f"{number}.txt": "x"}) for number in range(9)]
    for _ in range(6):
        alpha.cache.habits.most = 4
        alpha.look_now()
        alpha.publish()

    assert list(reversed(trailers(remote, "MAO-Run")))[-9:] == runs
    assert refs(remote) == [f"{INBOX}/somebody/0{number}" for number in range(3)]
