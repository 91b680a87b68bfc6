from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from keys import put
from mao import cloning
from mao.git_environment import MARKER
from mao.processes import marked
from remotes import http_remotes
from serving import Serving, hanging_server, serving
from support import bare, commit, eventually, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.local_node import LocalNode
    from remotes import GitHandler


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path / "home") as node:
        yield node


@pytest.fixture
def dataset(served: Serving, tmp_path: Path) -> Path:
    """A registered dataset with two commits."""
    repository = tmp_path / "remotes" / "numbers"
    commit(repository, {"one.txt": "1"})
    commit(repository, {"two.txt": "2"})
    served.api("POST", "/datasets", {"name": "numbers", "url": str(repository)})
    return repository


def cloned(node: Serving, name: str = "numbers", **more: Any) -> Any:
    """Ask for a clone, or for it to be refreshed; what has become of it."""
    node.api("POST", "/clones", {"dataset": name, **more}, status=202)
    return node.api("GET", f"/clones/{name}", Prefer="wait=60")


def put_dataset(node: Serving, url: str) -> None:
    """Register a dataset `far` without asking its remote."""
    dataset = {"name": "far", "url": url, "registered_by": "alpha", "registered_at": "2026-01-01T00:00:00Z"}
    revision = put(node.node.registry, "/mao/v1/datasets/far", json.dumps(dataset).encode(), if_revision=0)
    node.node.mirror.catch_up(revision)


def directory(node: Serving, name: str = "numbers") -> Path:
    return node.node.workspace.clone(name)


def test_a_dataset_is_cloned_without_its_history(served: Serving, dataset: Path) -> None:
    asked = served.request("POST", "/api/v1/clones", {"dataset": "NUMBERS"})
    assert (asked.status, asked.headers["location"]) == (202, "/api/v1/clones/numbers")

    clone = served.api("GET", "/clones/Numbers", Prefer="wait=60")

    assert (clone["state"], clone["head"]) == ("ready", git("rev-parse", "HEAD", cwd=dataset))
    assert clone["path"] == str(directory(served))
    assert (directory(served) / "two.txt").read_text() == "2"
    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "1"
    assert served.api("GET", "/clones")["items"] == [clone]


def test_the_history_comes_on_request_and_stays(served: Serving, dataset: Path) -> None:
    cloned(served)

    assert cloned(served, history=True)["history"] is True
    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "2"

    commit(dataset, {"three.txt": "3"})
    assert cloned(served)["history"] is True
    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "3"


@pytest.mark.usefixtures("dataset")
def test_a_clone_can_begin_with_its_history(served: Serving) -> None:
    cloned(served, history=True)

    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "2"


def test_asking_again_brings_what_is_new_and_removes_what_is_gone(served: Serving, dataset: Path) -> None:
    first = cloned(served)
    (dataset / "one.txt").unlink()
    head = commit(dataset, {"three.txt": "3"})

    second = cloned(served)

    assert (second["state"], second["head"]) == ("ready", head)
    assert second["cloned_at"] == first["cloned_at"]
    assert sorted(path.name for path in directory(served).iterdir()) == [".git", "three.txt", "two.txt"]
    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "1"


def test_a_history_that_was_replaced_is_followed(served: Serving, dataset: Path) -> None:
    cloned(served)
    git("commit", "--quiet", "--amend", "--message", "another", cwd=dataset)

    assert cloned(served)["head"] == git("rev-parse", "HEAD", cwd=dataset)


@pytest.mark.parametrize("change", ["edit", "new file", "commit"])
def test_what_somebody_changed_in_a_clone_is_not_touched(served: Serving, dataset: Path, change: str) -> None:
    cloned(served)
    name = "one.txt" if change == "edit" else "mine.txt"
    (directory(served) / name).write_text("mine")
    if change == "commit":
        commit(directory(served), {})
    commit(dataset, {"three.txt": "3"})

    refreshed = served.request("POST", "/api/v1/clones", {"dataset": "numbers"})
    removed = served.request("DELETE", "/api/v1/clones/numbers")

    assert (refreshed.status, refreshed.json["code"]) == (409, "clone-changed")
    assert (removed.status, removed.json["code"]) == (409, "clone-changed")
    assert ("commits" if change == "commit" else name) in refreshed.json["detail"]
    assert (directory(served) / name).read_text() == "mine"
    assert served.api("GET", "/clones/numbers")["state"] == "ready"


def test_a_clone_of_a_folder_gets_others_besides_and_keeps_what_it_has(served: Serving, dataset: Path) -> None:
    git("config", "uploadpack.allowFilter", "true", cwd=dataset)
    commit(dataset, {"a/1.csv": "1", "b/1.csv": "2", "c/1.csv": "3"})

    first = cloned(served, folders=["a/"])
    second = cloned(served, folders=["b", "a"], since="2026-01-01")
    third = cloned(served, since="2026-06-01T00:00:00+02:00")

    assert [clone["folders"] for clone in (first, second, third)] == [["a"], ["a", "b"], ["a", "b"]]
    assert (third["since"], third["further"], third["state"]) == ("2026-01-01T00:00:00.000Z", [], "ready")
    names = {str(path.relative_to(directory(served))) for path in directory(served).rglob("*.csv")}
    assert names == {"a/1.csv", "b/1.csv"}
    assert git("rev-list", "--count", "HEAD", cwd=directory(served)) == "3"
    assert cloned(served, folders=["."])["folders"] == []
    assert (directory(served) / "c/1.csv").read_text() == "3"
    assert cloned(served, folders=["a"])["folders"] == []


def test_a_folder_that_is_not_there_fails_and_the_clone_stays_as_it_was(served: Serving, dataset: Path) -> None:
    commit(dataset, {"readings/1.csv": "1"})

    failed = cloned(served, folders=["readngs"])
    assert (failed["state"], failed["error"], failed["path"]) == ("failed", "folder-not-found", None)
    assert "did you mean 'readings'?" in failed["detail"]

    assert cloned(served, folders=["readings"])["state"] == "ready"
    failed = cloned(served, folders=["nothing"])
    assert (failed["state"], failed["error"], failed["folders"]) == ("failed", "folder-not-found", ["readings"])
    head = commit(dataset, {"readings/2.csv": "2"})
    ready = cloned(served)
    assert (ready["state"], ready["head"]) == ("ready", head)
    assert (directory(served) / "readings/2.csv").read_text() == "2"


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize(
    "asked",
    [
        {"folders": ["../up"]},
        {"folders": ["/etc"]},
        {"folders": ["a/.git/b"]},
        {"folders": ["a//b"]},
        {"folders": [""]},
        {"folders": ["a\nb"]},
        {"folders": "a"},
        {"since": "yesterday"},
        {"since": "2026-02-30"},
        {"since": "2026-11-01T06:00:00"},
        {"since": "1969-12-31"},
        {"since": 20261101},
    ],
)
def test_what_can_be_no_folder_or_date_is_refused_and_changes_nothing(served: Serving, asked: dict[str, Any]) -> None:
    before = served.count()

    reply = served.request("POST", "/api/v1/clones", {"dataset": "numbers", **asked})

    assert (reply.status, reply.json["code"]) == (422, "bad-body")
    assert served.count() == before


def test_a_branch_that_was_rewritten_is_followed_and_the_record_says_so(served: Serving, dataset: Path) -> None:
    git("config", "uploadpack.allowFilter", "true", cwd=dataset)
    first = cloned(served)
    assert first["replaced"] is None
    git("commit", "--quiet", "--amend", "--message", "another", cwd=dataset)

    assert cloned(served)["replaced"] == first["head"]
    assert cloned(served)["replaced"] is None


@pytest.mark.usefixtures("dataset")
def test_only_some_of_many_changes_are_named(served: Serving) -> None:
    cloned(served)
    for number in range(25):
        (directory(served) / f"{number}.txt").write_text("mine")

    detail = served.request("POST", "/api/v1/clones", {"dataset": "numbers"}).json["detail"]

    assert "and 15 more" in detail


@pytest.mark.usefixtures("dataset")
def test_a_clone_is_removed(served: Serving) -> None:
    cloned(served)

    assert served.request("DELETE", "/api/v1/clones/Numbers").status == 204
    assert not directory(served).exists()
    gone = served.request("GET", "/api/v1/clones/numbers")
    assert (gone.status, gone.json["code"]) == (404, "not-cloned")
    assert served.request("DELETE", "/api/v1/clones/numbers").status == 404
    assert cloned(served)["state"] == "ready"


@pytest.mark.usefixtures("dataset")
def test_what_is_unknown_is_a_404_with_what_is_near(served: Serving) -> None:
    reply = served.request("POST", "/api/v1/clones", {"dataset": "nubmers"})
    assert (reply.status, reply.json["code"]) == (404, "dataset-not-found")
    assert "did you mean 'numbers'" in reply.json["detail"]

    cloned(served)
    assert "did you mean 'numbers'" in served.request("GET", "/api/v1/clones/nubmers").json["detail"]


def test_a_clone_that_fails_says_gits_words_and_can_be_asked_for_again(served: Serving, dataset: Path) -> None:
    away = dataset.rename(dataset.with_name("away"))

    failed = cloned(served)

    assert (failed["state"], failed["error"], failed["path"]) == ("failed", "no-such-repository", None)
    assert "does not appear to be a git repository" in failed["detail"]
    assert not directory(served).exists()
    away.rename(dataset)
    ready = cloned(served)
    assert (ready["state"], ready["error"], ready["detail"]) == ("ready", None, None)


def test_a_refresh_that_fails_leaves_the_files_and_can_be_asked_for_again(served: Serving, dataset: Path) -> None:
    cloned(served)
    away = dataset.rename(dataset.with_name("away"))

    assert cloned(served)["state"] == "failed"
    assert (directory(served) / "two.txt").read_text() == "2"

    away.rename(dataset)
    assert cloned(served)["state"] == "ready"


def test_locks_that_a_killed_git_left_are_no_hindrance(served: Serving, dataset: Path) -> None:
    cloned(served)
    head = commit(dataset, {"three.txt": "3"})
    for lock in ("index.lock", "shallow.lock", "refs/remotes/origin/main.lock", "HEAD.lock"):
        (directory(served) / ".git" / lock).touch()

    clone = cloned(served)

    assert (clone["state"], clone["head"], clone["detail"]) == ("ready", head, None)


def test_an_empty_dataset_can_be_cloned_and_filled_later(served: Serving, tmp_path: Path) -> None:
    remote = bare(tmp_path / "remotes" / "empty.git")
    served.api("POST", "/datasets", {"name": "empty", "url": str(remote)})

    empty = cloned(served, "empty")

    assert (empty["state"], empty["head"]) == ("ready", None)
    head = commit(tmp_path / "work", {"one.txt": "1"})
    git("push", "--quiet", remote, "HEAD:main", cwd=tmp_path / "work")
    filled = cloned(served, "empty")
    assert (filled["state"], filled["head"], filled["detail"]) == ("ready", head, None)
    assert (directory(served, "empty") / "one.txt").read_text() == "1"


def test_a_clone_whose_repository_is_gone_never_reaches_one_above_it(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    commit(outer, {"precious.txt": "1", ".gitignore": "home\n"})
    dataset = tmp_path / "numbers"
    commit(dataset, {"one.txt": "1"})
    git("remote", "add", "origin", dataset, cwd=outer)
    (outer / "precious.txt").write_text("not committed")
    with serving(outer / "home") as node:
        node.api("POST", "/datasets", {"name": "numbers", "url": str(dataset)})
        cloned(node)
        (directory(node) / ".git").rename(tmp_path / "gone")

        assert node.request("POST", "/api/v1/clones", {"dataset": "numbers"}).status == 502

    assert (outer / "precious.txt").read_text() == "not committed"


def test_while_a_remote_hangs_others_are_answered_and_the_clone_goes_on_after_a_restart(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hanging_server() as (url, taken):
        with serving(home, git__allow_http="true") as node:
            put_dataset(node, url)
            begun = node.api("POST", "/clones", {"dataset": "far"}, status=202)
            eventually(lambda: taken, "git asks the remote")

            assert node.api("POST", "/clones", {"dataset": "far"}, status=202)["state"] == begun["state"] == "cloning"
            assert node.request("POST", "/api/v1/clones", {"dataset": "far", "history": True}).json["code"] == "in-use"
            assert node.request("DELETE", "/api/v1/clones/far").json["code"] == "in-use"
            assert [item["dataset"] for item in node.api("GET", "/clones")["items"]] == ["far"]
        with serving(home, git__allow_http="true") as node:
            assert node.api("GET", "/clones/far")["state"] == "cloning"


def test_a_remote_that_hangs_is_given_up_at_the_time_limit(tmp_path: Path) -> None:
    with (
        hanging_server() as (url, _),
        serving(tmp_path / "home", git__allow_http="true", git__time_limit="0.5") as node,
    ):
        put_dataset(node, url)

        failed = cloned(node, "far")

    assert (failed["state"], failed["error"]) == ("failed", "timed-out")
    assert "0.5 s" in failed["detail"]


def test_git_does_not_go_on_where_what_it_does_cannot_be_recorded(
    node: LocalNode, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "seed", {"one.txt": "1"})
    git("push", "--quiet", remote, "main", cwd=tmp_path / "seed")

    def begin_and_hang(request: GitHandler) -> bool:
        """As a host does that has begun to send a pack (gitprotocol-v2(5))."""
        if request.command != "POST" or b"command=fetch" not in (body := request.body()):
            return request.command == "POST" and request.backend(body)
        said = b"\x02Receiving objects:  10% (1/10)\n"
        node.store.close()  # the next step cannot be recorded
        request.send_response(200)
        request.send_header("Content-Type", "application/x-git-upload-pack-result")
        request.end_headers()
        request.wfile.write(b"000dpackfile\n%04x%s" % (len(said) + 4, said))
        eventually(lambda: not marked(MARKER, str(node.git.home)), "git has ended")
        return True

    with http_remotes(remote.parent, begin_and_hang) as url:
        node.git.allow_http = True
        dataset = {
            "name": "far",
            "url": f"{url}/data.git",
            "registered_by": "a",
            "registered_at": "2026-01-01T00:00:00Z",
        }
        revision = put(node.registry, "/mao/v1/datasets/far", json.dumps(dataset).encode(), if_revision=0)
        node.mirror.catch_up(revision)
        cloning.request_clone(node, "far")
        with pytest.raises(apsw.ConnectionClosedError):
            cloning.advance(node, "far")
        assert marked(MARKER, str(node.git.home)) == set()
