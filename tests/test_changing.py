"""What is published is deleted and moved by a commit that says why, whole or not at all, without fetching any file."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from mao import changing, registering
from mao.change import Action
from mao.changing import Wish
from mao.errors import BadChange, DatasetNotFound, OutsideFailed, PathNotFound, PathTaken, RemoteRewritten
from publishers import DATASET, Publisher, publisher
from support import bare, commit, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.change import Change

    Open = Callable[..., Publisher]

FILES = {"a/1.csv": "1", "a/2.csv": "2", "a/deep/er/3.csv": "3", "b/4.csv": "4", "top.csv": "5"}


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
    """A node that has published `FILES`, and has nothing of them in its cache."""
    node = open_node("alpha")
    node.made(FILES)
    node.publish()
    node.cache.fill()
    return node


def delete(node: Publisher, *paths: str, reason: str = "a fault of the sensor", by: str | None = None) -> Change:
    return changing.change(node.node, DATASET, Wish(Action.DELETE, paths, reason, by=by))


def move(node: Publisher, source: str, to: str, reason: str = "the new order") -> Change:
    return changing.change(node.node, DATASET, Wish(Action.MOVE, (source,), reason, to))


def without(*paths: str) -> dict[str, str]:
    return {path: content for path, content in FILES.items() if path not in paths}


def kinds(node: Publisher) -> list[str]:
    """What the cache has of files."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", cwd=node.cache.path)
    return [kind for kind in listed.split() if kind == "blob"]


def test_a_deletion_is_one_commit_that_says_what_why_and_who(alpha: Publisher, remote: Path) -> None:
    before = git("rev-parse", "main", cwd=remote)

    made = delete(alpha, "a/1.csv", "b", reason=" a fault\nof the sensor ", by="Ada")

    assert published(remote) == without("a/1.csv", "b/4.csv")
    assert git("rev-parse", "main", "main~1", cwd=remote).split() == [made.commit, before]
    assert git("log", "-1", "--format=%s", "main", cwd=remote) == f"delete {made.at:%Y-%m-%d}: 2 paths"
    told = git("log", "-1", "--format=%(trailers:unfold)", "main", cwd=remote).splitlines()
    assert told[-1].startswith("MAO-Version: ")
    assert told[:-1] == [
        "MAO-Action: delete",
        "MAO-Reason: a fault of the sensor",
        'MAO-Paths: ["a/1.csv","b"]',
        "MAO-Node: alpha",
        "MAO-By: Ada",
    ]
    assert git("show", "main~1:b/4.csv", cwd=remote) == "4", "the history has it"
    assert kinds(alpha) == []
    git("fsck", "--strict", cwd=remote)


@pytest.mark.parametrize(
    ("source", "to", "moved"),
    [
        ("top.csv", "a/deep/top.csv", {"a/deep/top.csv": "5"}),
        ("a", "x/y/z", {"x/y/z/1.csv": "1", "x/y/z/2.csv": "2", "x/y/z/deep/er/3.csv": "3"}),
        ("a/deep/er", "er", {"er/3.csv": "3"}),
        ("a/deep/er/", "a/deep/and", {"a/deep/and/3.csv": "3"}),
        ("b/4.csv", "b/5.csv", {"b/5.csv": "4"}),
    ],
)
def test_a_file_or_a_whole_folder_is_moved_without_being_fetched(
    alpha: Publisher, remote: Path, source: str, to: str, moved: dict[str, str]
) -> None:
    made = move(alpha, source, to)

    left = {path: content for path, content in FILES.items() if not f"{path}/".startswith(f"{source.rstrip('/')}/")}
    assert published(remote) == left | moved
    assert json.loads(trailers(remote, "MAO-Paths")[0]) == {source.rstrip("/"): to}
    assert (made.action, made.paths, made.to, made.by) == ("move", (source.rstrip("/"),), to, None)
    assert kinds(alpha) == []
    git("fsck", "--strict", cwd=remote)


@pytest.mark.parametrize("filters", [True, False])
def test_it_needs_no_remote_that_serves_partial_clones(tmp_path: Path, *, filters: bool) -> None:
    remote = bare(tmp_path / "plain.git", filters=filters)
    with publisher(tmp_path / "gamma", remote) as node:
        registering.register_dataset(node.node, DATASET, str(remote))
        node.made(FILES)
        node.publish()
        move(node, "a", "moved/a")
        delete(node, "moved/a/deep", "top.csv")

        assert published(remote) == {"moved/a/1.csv": "1", "moved/a/2.csv": "2", "b/4.csv": "4"}


def test_what_is_not_there_is_refused_with_what_is_near_and_nothing_is_changed(alpha: Publisher, remote: Path) -> None:
    before = git("rev-parse", "main", cwd=remote)

    for path, near in (("a/1.cvs", "a/1.csv"), ("A/1.csv", "a"), ("a/deap/er", "a/deep"), ("tip.csv", "top.csv")):
        with pytest.raises(PathNotFound, match=f"nothing at '{path}'; did you mean '{near}'"):
            delete(alpha, "b", path)
    with pytest.raises(PathNotFound, match=r"nothing at 'nowhere/at/all'\. Nothing"):
        delete(alpha, "nowhere/at/all")
    with pytest.raises(PathNotFound, match=r"nothing at 'top\.csv/x'"):
        move(alpha, "top.csv/x", "y")
    assert git("rev-parse", "main", cwd=remote) == before


def test_nothing_is_moved_onto_what_is_there(alpha: Publisher, remote: Path) -> None:
    before = git("rev-parse", "main", cwd=remote)

    for to, taken in (("b/4.csv", "b/4.csv"), ("b", "b"), ("b/4.csv/deeper", "b/4.csv")):
        with pytest.raises(PathTaken, match=f"has '{taken}' already"):
            move(alpha, "top.csv", to)
    with pytest.raises(PathTaken):
        move(alpha, "a", "b")
    assert git("rev-parse", "main", cwd=remote) == before


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", ".", "a//b", "./a", ".git/config", "a/.GIT/x", "a\0b"])
def test_what_can_be_no_path_in_a_dataset_is_refused(open_node: Open, path: str) -> None:
    node = open_node("alpha")
    for wish in (
        Wish(Action.DELETE, ("b", path), "why"),
        Wish(Action.MOVE, (path,), "why", "to"),
        Wish(Action.MOVE, ("b",), "why", path),
    ):
        with pytest.raises(BadChange, match="no path in a dataset"):
            changing.change(node.node, DATASET, wish)


def test_a_change_without_a_reason_or_that_makes_no_sense_is_refused(open_node: Open) -> None:
    node = open_node("alpha")
    for wish, words in (
        (Wish(Action.DELETE, ("a",), " \n"), "reason"),
        (Wish(Action.DELETE, (), "why"), "Name the paths"),
        (Wish(Action.DELETE, ("a",), "why", "b"), "Name the paths"),
        (Wish(Action.MOVE, ("a",), "why"), "Name the paths"),
        (Wish(Action.MOVE, ("a", "b"), "why", "c"), "Name the paths"),
        (Wish(Action.MOVE, ("a",), "why", "a"), "is or would be in it"),
        (Wish(Action.MOVE, ("a",), "why", "a/b"), "is or would be in it"),
    ):
        with pytest.raises(BadChange, match=words):
            changing.change(node.node, DATASET, wish)
    with pytest.raises(DatasetNotFound):
        changing.change(node.node, "nothing", Wish(Action.DELETE, ("a",), "why"))
    with pytest.raises(PathNotFound):
        delete(node, "a")  # the dataset is empty


def test_names_that_git_would_quote_are_taken_as_they_are(open_node: Open, remote: Path) -> None:
    names = ['say "hi".csv', "back\\slash", "new\nline", "ä ö", "-x", ":(top)", "D a"]
    node = open_node("alpha")
    node.made({f"odd/{name}": name for name in names})
    node.publish()

    for name in names[:4]:
        move(node, f"odd/{name}", f"even/{name}")
    delete(node, *(f"odd/{name}" for name in names[4:]))

    listed = git("ls-tree", "-r", "-z", "--name-only", "main", cwd=remote).split("\0")
    assert sorted(filter(None, listed)) == sorted(f"even/{name}" for name in names[:4])


def test_who_loses_a_race_looks_again_and_changes_what_is_newest(
    alpha: Publisher, open_node: Open, remote: Path
) -> None:
    beta = open_node("beta")
    nodes = (alpha, beta)
    errors: list[Exception] = []

    def delete_all(node: Publisher, paths: list[str]) -> None:
        try:
            for path in paths:
                delete(node, path)
        except Exception as error:  # noqa: BLE001  # of a thread
            errors.append(error)

    threads = [
        threading.Thread(target=delete_all, args=(node, paths))
        for node, paths in zip(nodes, (["a/1.csv", "a/2.csv"], ["a/deep", "b"]), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert published(remote) == {"top.csv": "5"}
    assert len(trailers(remote, "MAO-Action")) == 4


def test_what_somebody_else_deleted_first_is_not_there(alpha: Publisher, open_node: Open) -> None:
    delete(open_node("beta"), "b")
    with pytest.raises(PathNotFound):
        delete(alpha, "b/4.csv")


def test_a_run_writes_again_what_was_deleted_or_moved(alpha: Publisher, remote: Path) -> None:
    delete(alpha, "a", "top.csv")
    move(alpha, "b", "c")
    run = alpha.made({"a/1.csv": "again", "top.csv": "5", "b/4.csv": "new"})
    alpha.publish()

    assert alpha.state(run) == "published"
    assert published(remote) == {"a/1.csv": "again", "top.csv": "5", "b/4.csv": "new", "c/4.csv": "4"}


def test_a_run_replaces_its_nodes_own_file_where_it_was_moved_to_and_no_others(
    alpha: Publisher, open_node: Open, remote: Path
) -> None:
    move(alpha, "a", "moved")
    ours = alpha.made({"moved/1.csv": "newer"})
    alpha.publish()
    beta = open_node("beta")
    theirs = beta.made({"moved/2.csv": "of beta"})
    beta.publish()

    assert (alpha.state(ours), beta.state(theirs)) == ("published", "published")
    found = {path: content for path, content in published(remote).items() if path.startswith("moved")}
    assert found == {
        "moved/1.csv": "newer",
        "moved/2.csv": "2",
        f"moved/2.conflict-beta-{theirs}.csv": "of beta",
        "moved/deep/er/3.csv": "3",
    }


def test_what_is_on_its_way_meanwhile_is_added(alpha: Publisher, open_node: Open, remote: Path) -> None:
    beta = open_node("beta")
    late = beta.made({"a/9.csv": "9"})
    beta.cache.fill()
    beta.cache.habits.saw_others()
    beta.cache.habits.fold_seconds = 1.0
    beta.publish()
    assert beta.state(late) == "delivered"

    delete(beta, "a")
    assert published(remote) == without("a/1.csv", "a/2.csv", "a/deep/er/3.csv")
    pending = alpha.made({"a/8.csv": "8"})
    alpha.publish()
    for node in (beta, alpha):
        node.look_now()
        node.publish()

    assert (alpha.state(pending), beta.state(late)) == ("published", "published")
    assert {path for path in published(remote) if path.startswith("a/")} == {"a/8.csv", "a/9.csv"}


def test_a_run_whose_push_had_arrived_without_an_answer_is_not_sent_twice(alpha: Publisher, remote: Path) -> None:
    run = alpha.made({"late.csv": "1"})
    before = alpha.run(run)
    alpha.publish()
    alpha.node.store.save(before.with_publication(commit=alpha.publication(run).commit))  # as after a kill
    (alpha.cache.path / "tip.json").unlink()

    delete(alpha, "b")
    alpha.publish()

    assert alpha.state(run) == "published"
    assert trailers(remote, "MAO-Run").count(run) == 1


def test_a_rewritten_history_is_not_changed_before_somebody_has_decided(alpha: Publisher, remote: Path) -> None:
    alpha.made({"more.csv": "6"})
    alpha.publish()
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)

    with pytest.raises(RemoteRewritten, match="verify NAME --republish"):
        delete(alpha, "b")
    assert published(remote) == FILES


def test_a_remote_that_refuses_or_is_away_is_told_and_nothing_is_changed(
    alpha: Publisher, remote: Path, tmp_path: Path
) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(OutsideFailed) as refused:
        delete(alpha, "b")
    assert refused.value.cause == "hook-declined"
    hook.unlink()
    remote.rename(tmp_path / "away.git")
    with pytest.raises(OutsideFailed):
        delete(alpha, "b")
    (tmp_path / "away.git").rename(remote)
    assert published(remote) == FILES
    delete(alpha, "b")
    assert published(remote) == without("b/4.csv")


def test_a_change_that_arrived_although_no_answer_came_is_known_to_be_there(alpha: Publisher, remote: Path) -> None:
    hook = remote / "hooks" / "post-receive"  # it runs when the branch has been changed
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nkill -9 $(ps -o ppid= -p $PPID) $PPID\n")
    hook.chmod(0o755)

    made = delete(alpha, "b")

    assert git("rev-parse", "main", cwd=remote) == made.commit
    assert published(remote) == without("b/4.csv")


def test_what_others_committed_by_hand_can_be_changed_too(alpha: Publisher, remote: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", remote, tmp_path / "work", cwd=tmp_path)
    commit(tmp_path / "work", {"by-hand/x.txt": "x", "by-hand/y.txt": "y"})
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")

    delete(alpha, "by-hand/x.txt")
    move(alpha, "by-hand", "notes")

    assert published(remote) == FILES | {"notes/y.txt": "y"}
