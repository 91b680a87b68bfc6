from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.workspace import remove_tree
from support import commit, eventually, git, published, trailers

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving

CHANGES = "/api/v1/datasets/probe-data/changes"


@pytest.fixture
def node(served: Serving, tool: Path) -> Serving:
    """A node that has published three files to `probe-data`."""
    served.install(tool)
    for name in ("a/1.txt", "a/2.txt", "b.txt"):
        assert served.ended(served.run("Write", name, name))["state"] == "succeeded"
    return served


def test_a_change_is_made_listed_and_shown(node: Serving, remote: Path) -> None:
    body = {"action": "delete", "paths": ["a/1.txt", "b.txt"], "reason": "a fault", "by": "Ada"}

    made = node.request("POST", CHANGES, body)

    head = git("rev-parse", "main", cwd=remote)
    assert (made.status, made.headers["location"]) == (201, f"{CHANGES}/{head}")
    at = made.json.pop("at")
    assert at.endswith("Z")
    assert made.json | {"at": 0} == {**body, "to": None, "node": "alpha", "commit": head, "at": 0}
    assert published(remote) == {"a/2.txt": "a/2.txt"}
    moved = node.api("POST", CHANGES[7:], {"action": "move", "paths": ["a"], "to": "c", "reason": "order"}, status=201)
    assert (moved["paths"], moved["to"], moved["by"]) == (["a"], "c", None)
    assert published(remote) == {"c/2.txt": "a/2.txt"}

    listed = node.api("GET", CHANGES[7:])["items"]
    assert [one["commit"] for one in listed] == [moved["commit"], head]
    assert node.api("GET", f"{CHANGES[7:]}/{head}") == listed[1]
    first = node.api("GET", f"{CHANGES[7:]}?page_size=1")
    second = node.api("GET", f"{CHANGES[7:]}?page_size=1&page_token={first['next_page_token']}")
    assert [*first["items"], *second["items"]] == listed
    assert second["next_page_token"] is None
    assert eventually(lambda: node.api("GET", "/datasets/probe-data")["head"] == moved["commit"])


def test_a_change_that_is_asked_for_again_with_its_key_is_made_once(node: Serving, remote: Path) -> None:
    body = {"action": "delete", "paths": ["b.txt"], "reason": "a fault"}
    first = node.request("POST", CHANGES, body, {"Idempotency-Key": "k1"})
    again = node.request("POST", CHANGES, body, {"Idempotency-Key": "k1"})

    assert (again.status, again.headers["location"]) == (201, first.headers["location"])
    assert {**again.json, "at": 0} == {**first.json, "at": 0}
    assert len(trailers(remote, "MAO-Action")) == 1
    other = node.request("POST", CHANGES, {**body, "paths": ["a"]}, {"Idempotency-Key": "k1"})
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")


def test_a_change_that_cannot_be_made_has_an_honest_status(node: Serving, remote: Path, tmp_path: Path) -> None:
    before = git("rev-parse", "main", cwd=remote)
    delete = {"action": "delete", "paths": ["b.txt"], "reason": "why"}
    move = {"action": "move", "paths": ["a"], "to": "b.txt", "reason": "why"}
    for body, status, code in (
        (delete | {"reason": " "}, 422, "bad-change"),
        (delete | {"paths": ["../b.txt"]}, 422, "bad-change"),
        (delete | {"paths": []}, 422, "bad-change"),
        (delete | {"action": "burn"}, 422, "bad-body"),
        ({"action": "delete", "paths": ["b.txt"]}, 422, "bad-body"),
        (delete | {"paths": ["b.txt", "b.tx"]}, 404, "path-not-found"),
        (move, 409, "path-taken"),
    ):
        reply = node.request("POST", CHANGES, body)
        assert (reply.status, reply.json["code"]) == (status, code), body
    assert node.request("POST", "/api/v1/datasets/probe-dta/changes", delete).json["code"] == "dataset-not-found"
    assert node.request("GET", f"{CHANGES}/{before}").json["code"] == "change-not-found"
    assert node.request("GET", f"{CHANGES}?page_token=eHg=").json["code"] == "bad-page"
    remote.rename(tmp_path / "away.git")
    assert node.request("POST", CHANGES, delete).status == 502
    assert node.request("GET", CHANGES).status == 502
    (tmp_path / "away.git").rename(remote)
    assert git("rev-parse", "main", cwd=remote) == before


def test_conflicts_are_listed_from_the_branch_or_from_the_runs_here(
    node: Serving, remote: Path, tmp_path: Path
) -> None:
    git("clone", "--quiet", remote, tmp_path / "work", cwd=tmp_path)
    commit(tmp_path / "work", {"x.txt": "by hand", "y.txt": "by hand"})
    git("push", "--quiet", "origin", "main", cwd=tmp_path / "work")
    runs = [node.ended(node.run("Write", "of a run", name)) for name in ("x.txt", "y.txt")]

    found = node.api("GET", "/datasets/probe-data/conflicts")["items"]

    told = [(one["path"], one["published_as"], one["run"], one["node"]) for one in found]
    expected = [
        (f"{n}.txt", f"{n}.conflict-alpha-{run['id']}.txt", run["id"], "alpha")
        for n, run in zip("xy", runs, strict=True)
    ]
    assert told == expected[::-1]
    assert [one["commit"] for one in found] == [run["publication"]["commit"] for run in runs[::-1]]
    first = node.api("GET", "/datasets/probe-data/conflicts?page_size=1")
    second = node.api("GET", f"/datasets/probe-data/conflicts?page_size=1&page_token={first['next_page_token']}")
    assert [*first["items"], *second["items"]] == found
    remote.rename(tmp_path / "away.git")
    assert node.request("GET", "/api/v1/datasets/probe-data/conflicts").status == 502
    here = node.api("GET", "/datasets/probe-data/conflicts?here=true")["items"]
    assert [one["published_as"] for one in here] == [one["published_as"] for one in found]


def test_what_a_dataset_has_lost_is_told_and_published_again(node: Serving, remote: Path) -> None:
    path = "/datasets/probe-data/verification"
    assert node.api("GET", path) | {"missing": 0} == {
        "dataset": "probe-data",
        "remote": str(remote),
        "branch": "main",
        "head": git("rev-parse", "main", cwd=remote),
        "rewritten": False,
        "stopped": 0,
        "published": 3,
        "missing": 0,
    }
    whole = published(remote)
    runs = trailers(remote, "MAO-Run")
    git("update-ref", "refs/heads/main", "main~2", cwd=remote)
    stopped = node.ended(node.run("Write", "more", "more.txt"))
    assert stopped["publication"]["cause"] == "remote-rewritten"
    remove_tree(node.home / "runs" / runs[0] / "data")

    found = node.api("GET", path)
    assert (found["published"], found["rewritten"], found["stopped"]) == (3, True, 1)
    assert [(one["run"], one["can_be_republished"]) for one in found["missing"]] == [(runs[1], True), (runs[0], False)]
    assert [one["gone"] for one in found["missing"]] == [[], ["b.txt"]]
    assert node.api("POST", path, {"republish": False}) == found
    assert node.request("POST", f"/api/v1{path}", {"publish": True}).json["code"] == "bad-body"
    again = node.api("POST", path, {"republish": True}, Idempotency_Key="k")
    assert [one["republished"] for one in again["missing"]] == [True, False]
    for run in (stopped, {"id": runs[1]}):
        assert node.finished(run, "succeeded")["publication"]["state"] == "published"
    node.api("POST", path, {"republish": True}, Idempotency_Key="k")

    assert published(remote) == {name: text for name, text in whole.items() if name != "b.txt"} | {"more.txt": "more"}
    assert [one["run"] for one in node.api("GET", path)["missing"]] == [runs[0]]
