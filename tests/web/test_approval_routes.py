"""One node that wants all commits approved, and takes runs from beta."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from peering import Authority, ask
from serving import serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving import Serving
    from support import Reply


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "of")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, cluster: Authority) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("strict") / "home"
    flags = cluster.settings("alpha", MAO_CLUSTER__RUNS_FROM="beta", MAO_POLICY__APPROVE="all")
    with serving(home, **{name.removeprefix("MAO_").lower(): text for name, text in flags.items()}) as served:
        yield served


@pytest.fixture
def registered(node: Serving, tmp_path: Path) -> Any:
    """A tool of its own for each test, registered and not installed."""
    repository = tmp_path / "probe"
    commit(repository, tool_files(bare(tmp_path / "data.git"), name=tmp_path.name[:40].strip("_")))
    return node.api("POST", "/tools", {"url": str(repository)})


def of_beta(node: Serving, cluster: Authority, method: str, path: str, body: Any = None) -> Reply:
    port = node.node.config["cluster.listen"][1]
    return ask(cluster.context("beta"), port, method, path, json.dumps(body).encode() if body else None)


def test_nothing_gets_round_the_policy_by_any_door(node: Serving, cluster: Authority, registered: Any) -> None:
    name, commit_id = registered["name"], registered["commit"]
    refusals = [
        node.request("POST", "/api/v1/installations", {"tool": name}),
        node.request("POST", "/api/v1/installations", {"tool": name, "commit": commit_id}),
        node.request("POST", "/install", {"name": name}),
        of_beta(node, cluster, "POST", "/api/v1/installations", {"tool": name}),
    ]
    for refused in refusals:
        assert (refused.status, refused.json["code"]) == (409, "not-approved")
        assert f"'mao tool approve {name} {commit_id}'" in refused.json["detail"]
    assert node.node.store.installation(name) is None


def test_other_nodes_see_what_is_approved_and_approve_nothing(
    node: Serving, cluster: Authority, registered: Any
) -> None:
    name, commit_id = registered["name"], registered["commit"]
    asked = {"tool": name, "commit": commit_id}
    assert of_beta(node, cluster, "POST", "/api/v1/approvals", asked).status == 403
    assert node.api("GET", f"/approvals?tool={name}")["items"] == []

    seen = node.node.store.last_seq()
    approval = node.api("POST", "/approvals", asked, status=201)
    assert [event.kind for event in node.node.store.events(seen)] == ["approval"]
    assert approval["approved_by"] == "owner"
    assert node.api("GET", f"/approvals?tool={name.upper()}")["items"] == [approval]
    assert of_beta(node, cluster, "GET", f"/api/v1/approvals?tool={name}").json["items"] == [approval]
    assert of_beta(node, cluster, "DELETE", f"/api/v1/approvals/{name}/{commit_id}").status == 403

    assert of_beta(node, cluster, "POST", "/api/v1/installations", {"tool": name}).status == 202
    assert node.installed(name)["commit"] == commit_id

    assert node.request("DELETE", f"/api/v1/approvals/{name}/{commit_id}").status == 204
    gone = node.request("DELETE", f"/api/v1/approvals/{name}/{commit_id}")
    assert (gone.status, gone.json["code"]) == (404, "approval-not-found")
    assert node.api("GET", f"/installations/{name}")["commit"] == commit_id


def test_what_is_approved_is_a_commit_of_a_registered_tool(node: Serving, registered: Any) -> None:
    name = registered["name"]
    assert node.request("POST", "/api/v1/approvals", {"tool": "nowhere", "commit": "a" * 40}).status == 404
    assert node.request("POST", "/api/v1/approvals", {"tool": name, "commit": "main"}).status == 422
    assert node.request("POST", "/api/v1/approvals", {"tool": name, "commit": "a" * 40}).status == 502
    assert node.request("POST", "/api/v1/approvals", {"tool": name, "commit": "a" * 40, "by": "me"}).status == 422
    assert node.api("GET", f"/approvals?tool={name}")["items"] == []


def test_a_first_installation_is_shown_as_a_whole(node: Serving, registered: Any) -> None:
    name, commit_id = registered["name"], registered["commit"]
    shown = node.api("GET", f"/installations/{name}/update?text=true")
    assert (shown["old_commit"], shown["new_commit"], shown["error"]) == (None, commit_id, "not-approved")
    assert (shown["old_remote"], shown["old_url"], shown["new_url"]) == (None, None, registered["url"])
    assert "+Version: 1\n" in shown["definition_diff"]
    assert [file["path"] for file in shown["files"]] == ["Write.sh", "mao.yaml"]
    assert "+echo written\n" in shown["text"]
