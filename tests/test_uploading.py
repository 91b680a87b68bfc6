"""Large files get into the dataset by git-lfs, whichever way their run takes; or nothing of the run is pushed."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from crashing import LARGE_STEPS
from lfs_host import LfsHost, cloned, needs_git_lfs, without_git_lfs
from mao import publishing
from publishers import Publisher, publisher
from remotes import http_remotes
from support import bare, commit, eventually, git, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import ServedNode

    Open = Callable[..., Publisher]

LARGE, OTHER, SMALL = b"large" * 1000, b"other" * 1000, b"small"
LINE = "/big.bin filter=lfs diff=lfs merge=lfs -text"
POINTER = "version https://git-lfs.github.com/spec/v1"


@pytest.fixture
def open_node(tmp_path: Path, remote: Path) -> Iterator[Open]:
    """Opens a node by its name, for which 1 kB is large; the same name opens the same home again."""
    given = {"publishing__large_file": "1 kB", "git__allow_http": "true"}
    with ExitStack() as closing:
        yield lambda name, **more: closing.enter_context(publisher(tmp_path / name, remote, **(given | more)))


@pytest.fixture
def alpha(open_node: Open) -> Publisher:
    return open_node("alpha")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sent(node: Publisher, files: dict[str, str | bytes]) -> str:
    """A run that was published."""
    run = node.made(files)
    node.publish()
    assert node.state(run) == "published", node.publication(run).message
    return run


def by_inbox(node: Publisher, files: dict[str, str | bytes]) -> str:
    """A run whose data is in the inbox."""
    run = node.made(files)
    node.cache.habits.saw_others()
    node.cache.habits.fold_seconds = 1.0
    node.publish()
    assert node.state(run) == "delivered"
    return run


def fold(node: Publisher) -> None:
    node.cache.habits.held = git("rev-parse", "refs/mao/fold", cwd=node.remote)
    node.look_now()
    node.publish()


@needs_git_lfs
def test_a_clone_of_the_dataset_has_the_large_file(alpha: Publisher, tmp_path: Path, remote: Path) -> None:
    run = sent(alpha, {"a/big.bin": LARGE, "a/small.txt": SMALL})

    there = published(remote)
    assert there["a/big.bin"] == f"{POINTER}\noid sha256:{sha256(LARGE)}\nsize {len(LARGE)}"
    assert (there["a/small.txt"], there["a/.gitattributes"]) == ("small", LINE)
    files = {file.path: (file.size, file.lfs) for file in alpha.publication(run).files}
    assert files == {"a/big.bin": (len(LARGE), sha256(LARGE)), "a/small.txt": (5, None)}
    assert (cloned(remote, tmp_path / "clone") / "a/big.bin").read_bytes() == LARGE
    assert (alpha.node.workspace.run_data(run) / "a/big.bin").read_bytes() == LARGE
    assert list(alpha.node.workspace.temporary.iterdir()) == []
    assert list(alpha.cache.path.rglob("lfs")) == []
    git("fsck", "--strict", cwd=remote)


@needs_git_lfs
def test_a_host_with_lfs_gets_it_by_http(open_node: Open, tmp_path: Path, remote: Path) -> None:
    host = LfsHost()
    with http_remotes(remote.parent, host) as url:
        git("config", "http.receivepack", "true", cwd=remote)
        alpha = open_node("alpha", url=f"{url}/data.git")
        sent(alpha, {"big.bin": LARGE})
        assert host.objects == {sha256(LARGE): LARGE}
        assert (cloned(f"{url}/data.git", tmp_path / "clone") / "big.bin").read_bytes() == LARGE


@needs_git_lfs
def test_a_host_without_lfs_gets_nothing_of_the_run_and_all_of_the_others(open_node: Open, remote: Path) -> None:
    with http_remotes(remote.parent) as url:
        git("config", "http.receivepack", "true", cwd=remote)
        alpha = open_node("alpha", url=f"{url}/data.git")
        before, large, after = alpha.made({"1": "1"}), alpha.made({"big.bin": LARGE, "2": "2"}), alpha.made({"3": "3"})
        alpha.publish()
        assert [alpha.state(run) for run in (before, large, after)] == ["published", "blocked", "published"]
        assert published(remote) == {"1": "1", "3": "3"}
        publication = alpha.publication(large)
        assert publication.cause == "large-file"
        message = publication.message or ""
        for word in ("big.bin (0.005 MB)", "publishing.large_file (0.001 MB)", "have the host turn LFS on", large):
            assert word in message
        assert "hunter2" not in message

        sent(alpha, {"4": "4"})  # it is in nobody's way


def test_once_the_limit_is_raised_it_goes_the_ordinary_way(open_node: Open, tmp_path: Path, remote: Path) -> None:
    with http_remotes(remote.parent) as url:
        git("config", "http.receivepack", "true", cwd=remote)
        given = {"url": f"{url}/data.git", "git__allow_http": "true"}
        with publisher(tmp_path / "alpha", remote, publishing__large_file="1 kB", **given) as alpha:
            run = alpha.made({"big.bin": LARGE})
            alpha.publish()
            assert (alpha.state(run), alpha.publication(run).cause) == ("blocked", "large-file")
        alpha = open_node("alpha", url=f"{url}/data.git", publishing__large_file="1 MB")
        from_blocked(alpha, run)
    assert published(remote) == {"big.bin": LARGE.decode()}
    assert [file.lfs for file in alpha.publication(run).files] == [None]


def from_blocked(node: Publisher, run: str) -> None:
    """Ask for a run to be published again, and have it so."""
    publishing.ask(node.node, node.run(run))
    node.publish()
    assert node.state(run) == "published", node.publication(run).message


@needs_git_lfs
def test_while_lfs_refuses_a_run_waits_and_the_others_do_not(open_node: Open, remote: Path) -> None:
    host = LfsHost(refusal=(403, "This repository is over its data quota."))
    with http_remotes(remote.parent, host) as url:
        git("config", "http.receivepack", "true", cwd=remote)
        alpha = open_node("alpha", url=f"{url}/data.git", publishing__longest_pause="0.001")
        large, small = alpha.made({"big.bin": LARGE}), alpha.made({"1": "1"})
        alpha.publish()
        assert (alpha.state(large), alpha.publication(large).cause) == ("waiting", "lfs-refused")
        assert "over its data quota" in (alpha.publication(large).message or "")
        assert alpha.state(small) == "published"
        sent(alpha, {"2": "2"})
        host.refusal = None
        alpha.publish()
        assert alpha.state(large) == "published"


@needs_git_lfs
def test_it_may_lose_its_race_and_come_by_way_of_the_inbox(
    alpha: Publisher, open_node: Open, tmp_path: Path, remote: Path
) -> None:
    beta = open_node("beta")
    sent(alpha, {"1": "1"})
    sent(beta, {"2": "2"})
    run = alpha.made({"f/big.bin": LARGE})
    alpha.publish()
    assert alpha.state(run) == "delivered"
    fold(alpha)
    assert alpha.state(run) == "published"
    assert [file.lfs for file in alpha.publication(run).files] == [sha256(LARGE)]
    assert (cloned(remote, tmp_path / "clone") / "f/big.bin").read_bytes() == LARGE


@needs_git_lfs
def test_two_nodes_and_somebody_else_write_attributes_and_all_lines_stay(
    alpha: Publisher, open_node: Open, tmp_path: Path, remote: Path
) -> None:
    work = tmp_path / "work"
    commit(work, {"f/.gitattributes": "*.csv text eol=lf", "f/x.csv": "x\n"})
    git("push", "--quiet", remote, "main", cwd=work)
    beta = open_node("beta")
    sent(alpha, {"f/1": "1"})
    sent(beta, {"f/2": "2"})
    ours = by_inbox(alpha, {"f/a.bin": LARGE})
    theirs = by_inbox(beta, {"f/b.bin": OTHER})
    git("pull", "--quiet", remote, "main", cwd=work)
    commit(work, {"f/.gitattributes": "*.csv text eol=lf\n*.nc -text\n"})
    git("push", "--quiet", remote, "main", cwd=work)
    fold(beta)
    alpha.look_now()
    alpha.publish()

    assert (alpha.state(ours), beta.state(theirs)) == ("published", "published")
    lines = published(remote)["f/.gitattributes"].splitlines()
    assert lines == ["*.csv text eol=lf", "*.nc -text", LINE.replace("big", "a"), LINE.replace("big", "b")]
    assert not [name for name in published(remote) if "conflict" in name]
    clone = cloned(remote, tmp_path / "clone")
    assert [(clone / "f" / name).read_bytes() for name in ("a.bin", "b.bin")] == [LARGE, OTHER]
    by_inbox(alpha, {"f/c.bin": OTHER})
    fold(alpha)
    assert len(published(remote)["f/.gitattributes"].splitlines()) == 5


@needs_git_lfs
def test_where_another_node_has_the_path_the_pointer_stands_beside_it_with_a_line_of_its_own(
    alpha: Publisher, open_node: Open, tmp_path: Path, remote: Path
) -> None:
    beta = open_node("beta")
    sent(alpha, {"f/big.bin": SMALL})
    direct = sent(beta, {"f/big.bin": LARGE})
    folded = by_inbox(beta, {"f/big.bin": OTHER})
    fold(beta)
    assert beta.state(folded) == "published"

    clone = cloned(remote, tmp_path / "clone") / "f"
    assert (clone / "big.bin").read_bytes() == SMALL
    for run, content in ((direct, LARGE), (folded, OTHER)):
        assert (clone / f"big.conflict-beta-{run}.bin").read_bytes() == content
    assert LINE not in published(remote)["f/.gitattributes"].splitlines()


@needs_git_lfs
@pytest.mark.parametrize("way", [sent, by_inbox])
def test_a_file_that_is_large_now_and_then_is_always_what_it_is(
    alpha: Publisher, tmp_path: Path, remote: Path, way: Callable[..., str]
) -> None:
    for number, content in enumerate((SMALL, LARGE, OTHER, SMALL + b"er", LARGE)):
        run = way(alpha, {"big.bin": content})
        if way is by_inbox:
            fold(alpha)
        assert alpha.state(run) == "published", alpha.publication(run).message
        clone = cloned(remote, tmp_path / f"clone-{number}")
        assert (clone / "big.bin").read_bytes() == content
        assert sorted(path.name for path in clone.iterdir() if path.name != ".git") in (
            [["big.bin"]] if number == 0 else [[".gitattributes", "big.bin"]]
        )


@needs_git_lfs
def test_runs_that_go_together_each_add_their_lines(alpha: Publisher, tmp_path: Path, remote: Path) -> None:
    runs = [alpha.made({"f/a.bin": LARGE}), alpha.made({"f/b.bin": OTHER}), alpha.made({"f/a.bin": OTHER, "c": "c"})]
    alpha.publish()
    assert {alpha.state(run) for run in runs} == {"published"}
    assert sorted(published(remote)) == ["c", "f/.gitattributes", "f/a.bin", "f/b.bin"]
    clone = cloned(remote, tmp_path / "clone") / "f"
    assert [(clone / name).read_bytes() for name in ("a.bin", "b.bin")] == [OTHER, OTHER]


@needs_git_lfs
def test_what_waits_in_the_inbox_is_replaced_by_the_next_one_of_the_same_node(
    alpha: Publisher, tmp_path: Path, remote: Path
) -> None:
    sent(alpha, {"f/a.bin": SMALL})
    runs = [by_inbox(alpha, {"f/a.bin": content}) for content in (LARGE, OTHER)]
    fold(alpha)
    assert {alpha.state(run) for run in runs} == {"published"}
    assert sorted(published(remote)) == ["f/.gitattributes", "f/a.bin"]
    assert (cloned(remote, tmp_path / "clone") / "f/a.bin").read_bytes() == OTHER


@needs_git_lfs
def test_an_empty_file_is_never_large(open_node: Open, tmp_path: Path, remote: Path) -> None:
    sent(open_node("alpha", publishing__large_file="0"), {"empty": "", "a": "a"})
    assert published(remote)["empty"] == ""
    assert (cloned(remote, tmp_path / "clone") / "a").read_text() == "a"


@needs_git_lfs
def test_the_same_large_file_again_is_no_commit(alpha: Publisher, remote: Path) -> None:
    sent(alpha, {"big.bin": LARGE})
    tip = git("rev-parse", "main", cwd=remote)
    again = alpha.made({"big.bin": LARGE})
    alpha.publish()
    assert alpha.state(again) == "unchanged"
    assert git("rev-parse", "main", cwd=remote) == tip


@needs_git_lfs
def test_a_tool_that_writes_attributes_itself_is_taken_at_its_word(
    alpha: Publisher, tmp_path: Path, remote: Path
) -> None:
    for number in range(2):
        sent(alpha, {".gitattributes": "*.csv text\n", "big.bin": LARGE + bytes([number])})
    assert published(remote)[".gitattributes"].splitlines() == ["*.csv text", LINE]
    assert (cloned(remote, tmp_path / "clone") / "big.bin").read_bytes() == LARGE + b"\1"


def test_attributes_of_tools_without_large_files_are_joined_too(
    alpha: Publisher, open_node: Open, remote: Path
) -> None:
    sent(alpha, {".gitattributes": "*.csv text\n"})
    sent(open_node("beta"), {".gitattributes": "*.nc -text\n"})
    assert published(remote) == {".gitattributes": "*.csv text\n*.nc -text"}


@needs_git_lfs
def test_files_of_any_name_may_be_large(alpha: Publisher, tmp_path: Path, remote: Path) -> None:
    names = ["with space", "gr\u00fcn.bin", 'quote"[x]*', "a\\b", "new\nline", os.fsdecode(b"\xff\xfe")]
    sent(alpha, {name: LARGE + name.encode("utf-8", "surrogateescape") for name in names})
    clone = cloned(remote, tmp_path / "clone")
    for name in names:
        assert (clone / name).read_bytes() == LARGE + name.encode("utf-8", "surrogateescape"), name


@needs_git_lfs
def test_a_link_to_a_large_file_stays_a_link(alpha: Publisher, tmp_path: Path, remote: Path) -> None:
    run = alpha.made({"big.bin": LARGE})
    (alpha.node.workspace.run_data(run) / ("l" * 20)).symlink_to("big.bin")
    alpha.publish()
    assert (cloned(remote, tmp_path / "clone") / ("l" * 20)).readlink().name == "big.bin"


@needs_git_lfs
def test_it_is_published_once_though_nobody_heard_the_answer(alpha: Publisher, remote: Path) -> None:
    sent(alpha, {"1": "1"})
    run = alpha.made({"big.bin": LARGE})
    before = alpha.run(run)
    sent_tip = alpha.cache.tip()
    alpha.publish()
    uploaded = alpha.run(run).publication
    assert uploaded is not None
    assert sent_tip is not None
    # as after a kill between the push and its record
    alpha.node.store.save(before.with_publication(files=uploaded.files, commit=uploaded.commit))
    alpha.cache.remember(sent_tip)
    alpha.publish()
    assert alpha.state(run) == "published"
    assert [file.lfs for file in alpha.publication(run).files] == [sha256(LARGE)]
    assert git("rev-list", "--count", "main", cwd=remote) == "2"
    sent(alpha, {"big.bin": OTHER})
    assert not [name for name in published(remote) if "conflict" in name], "what it replaces is its own"


@needs_git_lfs
def test_a_dataset_s_own_configuration_of_lfs_sends_nothing_elsewhere(
    alpha: Publisher, tmp_path: Path, remote: Path
) -> None:
    elsewhere = bare(tmp_path / "elsewhere.git")
    commit(tmp_path / "work", {".lfsconfig": f"[lfs]\n\turl = file://{elsewhere}\n"})
    git("push", "--quiet", remote, "main", cwd=tmp_path / "work")
    sent(alpha, {"big.bin": LARGE})
    assert not (elsewhere / "lfs").exists()
    assert (remote / "lfs").exists()


@needs_git_lfs
def test_once_git_lfs_is_installed_the_run_can_be_published(
    serve: Callable[..., ServedNode], tmp_path: Path, tool: Path, remote: Path
) -> None:
    node = serve(MAO_PUBLISHING__LARGE_FILE="10", PATH=without_git_lfs(tmp_path / "programs"))
    node.install(tool)
    run = node.ended(node.run("Write", "large" * 3, "big.bin"))
    assert (run["state"], run["publication"]["cause"]) == ("unpublished", "large-file")
    assert "install git-lfs on this node" in run["publication"]["message"]
    assert published(remote) == {}
    node.stop()

    del node.settings["PATH"]
    node.start()
    node.api("POST", f"/runs/{run['id']}/publish")
    run = node.finished(run, "succeeded")
    assert run["publication"]["files"][0]["lfs"] == sha256(b"large" * 3)
    assert (cloned(remote, tmp_path / "clone") / "big.bin").read_bytes() == b"large" * 3


@needs_git_lfs
@pytest.mark.parametrize("step", LARGE_STEPS)
def test_a_server_killed_at_any_step_publishes_a_large_file_once(
    serve: Callable[..., ServedNode], tmp_path: Path, tool: Path, remote: Path, step: str
) -> None:
    node = serve(MAO_PUBLISHING__LARGE_FILE="10")
    node.install(tool)
    node.ended(node.run("Write", "small", "0"))
    node.stop()
    node.start(crash_at=step)
    run = node.run("Write", "large" * 3, "big.bin")
    eventually(node.dead, f"the node dies at '{step}'")
    node.start()
    run = node.finished(run, "succeeded")
    assert run["publication"]["files"][0]["lfs"] == sha256(b"large" * 3)
    assert trailers(remote, "MAO-Run")[0] == run["id"]
    assert git("rev-list", "--count", "main", cwd=remote) == "2"
    assert (cloned(remote, tmp_path / "clone") / "big.bin").read_bytes() == b"large" * 3
    assert list((node.home / "tmp").iterdir()) == []


@needs_git_lfs
@pytest.mark.parametrize("has_git_lfs", [True, False], ids=["with git-lfs", "without"])
def test_a_node_clones_the_contents_if_git_lfs_is_there_and_else_says_how_many_are_missing(
    alpha: Publisher, serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, *, has_git_lfs: bool
) -> None:
    sent(alpha, {"big.bin": LARGE, "small": SMALL})
    settings = {} if has_git_lfs else {"PATH": without_git_lfs(tmp_path / "programs")}
    node = serve("beta", **settings)
    node.api("POST", "/datasets", {"name": "numbers", "url": str(remote)})
    for content_then in (b"then", b"later"):  # cloned, then refreshed
        node.api("POST", "/clones", {"dataset": "numbers"})
        clone = eventually(lambda: (c := node.api("GET", "/clones/numbers", Prefer="wait=1"))["state"] == "ready" and c)
        content = (node.home / "clones" / "numbers" / "big.bin").read_bytes()
        if has_git_lfs:
            assert (content, clone["pointers"]) == (LARGE, 0)
        else:
            assert (content.startswith(POINTER.encode()), clone["pointers"]) == (True, 1)
        sent(alpha, {"small": content_then})
    assert git("status", "--porcelain", cwd=node.home / "clones" / "numbers") == ""
