from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from support import commit, eventually, git, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving


def test_a_tool_is_registered_found_and_withdrawn(served: Serving, tool: Path) -> None:
    created = served.request("POST", "/api/v1/tools", {"url": f"file://{tool}"})

    assert (created.status, created.headers["location"]) == (201, "/api/v1/tools/probe")
    shown = served.request("GET", created.headers["location"])
    assert (shown.status, shown.body, shown.headers["etag"]) == (200, created.body, created.headers["etag"])
    assert shown.json["commit"] == git("rev-parse", "HEAD", cwd=tool)
    assert shown.json["definition"]["Name"] == "probe"
    assert served.api("GET", "/tools")["items"] == [shown.json]
    assert served.api("GET", "/datasets/PROBE-DATA")["produced_by"] == ["probe"]

    withdrawn = served.request("DELETE", "/api/v1/tools/probe")

    assert (withdrawn.status, withdrawn.body) == (204, b"")
    assert served.request("GET", "/api/v1/tools/probe").status == 404
    assert served.api("GET", "/tools")["items"] == []


def test_what_cannot_be_registered_has_an_honest_status(served: Serving, tool: Path, tmp_path: Path) -> None:
    served.api("POST", "/tools", {"url": str(tool)})
    commit(tmp_path / "bad", {"mao.yaml": "Name: [1]\nColour: red\n"})
    commit(tmp_path / "none", {"x": "x"})
    before = served.count()

    asked = [
        ({"url": str(tool)}, 409, "name-taken"),
        ({"url": str(tool), "name": "other"}, 409, "name-differs"),
        ({"url": str(tmp_path / "nowhere")}, 502, "remote-refused"),
        ({"url": str(tool), "ref": "gone"}, 502, "git-failed"),
        ({"url": str(tool), "ref": "-x"}, 422, "bad-remote"),
        ({"url": "ext::sh -c id"}, 422, "bad-remote"),
        ({"url": "tool"}, 422, "bad-remote"),
        ({"url": str(tmp_path / "bad")}, 422, "bad-definition"),
        ({"url": str(tmp_path / "none")}, 422, "bad-definition"),
        ({"url": str(tool), "colour": "red"}, 422, "bad-body"),
    ]
    for body, status, code in asked:
        reply = served.request("POST", "/api/v1/tools", body)
        assert (reply.status, reply.json["code"]) == (status, code), body
    assert served.count() == before
    faults = served.request("POST", "/api/v1/tools", {"url": str(tmp_path / "bad")}).json["errors"]
    assert {(fault["path"], fault["line"]) for fault in faults} >= {("Name", 1), ("Colour", 2)}


def test_a_tool_is_replaced_by_who_has_seen_what_it_replaces(served: Serving, tool: Path, remote: Path) -> None:
    tag = served.request("POST", "/api/v1/tools", {"url": str(tool)}).headers["etag"]
    new = commit(tool, tool_files(remote, more="License: MIT"))

    replaced = served.request("POST", "/api/v1/tools", {"url": str(tool)}, {"If-Match": tag})
    assert (replaced.status, replaced.json["commit"]) == (200, new)
    assert replaced.headers["etag"] not in {tag, ""}

    stale = served.request("POST", "/api/v1/tools", {"url": str(tool)}, {"If-Match": tag})
    assert (stale.status, stale.json["code"]) == (409, "stale-revision")
    stale = served.request("DELETE", "/api/v1/tools/probe", headers={"If-Match": tag})
    assert (stale.status, stale.json["code"]) == (409, "stale-revision")
    for nonsense in ("3", "W/x", '"a"', '"-1"', '"²"'):
        reply = served.request("DELETE", "/api/v1/tools/probe", headers={"If-Match": nonsense})
        assert (reply.status, reply.json["code"]) == (422, "bad-body"), nonsense
    assert served.request("DELETE", "/api/v1/tools/probe", headers={"If-Match": replaced.headers["etag"]}).status == 204


def test_a_dataset_is_replaced_by_who_has_seen_what_it_replaces(served: Serving, remote: Path) -> None:
    body = {"name": "mine", "url": str(remote), "description": "old"}
    tag = served.request("POST", "/api/v1/datasets", body).headers["etag"]

    replaced = served.request("POST", "/api/v1/datasets", body | {"description": "new"}, {"If-Match": tag})

    assert (replaced.status, replaced.json["description"]) == (200, "new")
    stale = served.request("POST", "/api/v1/datasets", body, {"If-Match": tag})
    assert (stale.status, stale.json["code"]) == (409, "stale-revision")
    stale = served.request("DELETE", "/api/v1/datasets/mine", headers={"If-Match": tag})
    assert (stale.status, stale.json["code"]) == (409, "stale-revision")


def test_who_is_no_administrator_is_denied_with_how_to_become_one(served: Serving, tool: Path) -> None:
    served.api("POST", "/tools", {"url": str(tool)})
    asked = "as_administrator=true"

    for method, path, body in (
        ("POST", f"/tools?{asked}", {"url": str(tool)}),
        ("POST", f"/datasets?{asked}", {"name": "mine", "url": str(tool)}),
        ("DELETE", f"/tools/probe?{asked}", None),
        ("DELETE", f"/datasets/probe-data?{asked}", None),
    ):
        reply = served.request(method, f"/api/v1{path}", body)
        assert (reply.status, reply.json["code"]) == (403, "denied"), path
        assert "node.administrator = true" in reply.json["detail"]


def test_what_is_too_large_for_the_registry_is_refused_with_the_limit(served: Serving, remote: Path) -> None:
    body = {"name": "mine", "url": str(remote), "description": "x" * 1_500_001}

    reply = served.request("POST", "/api/v1/datasets", body)

    assert (reply.status, reply.json["code"]) == (422, "value-too-large")
    assert "1500000" in reply.json["detail"]


def test_answers_from_the_registry_say_how_old_they_are(served: Serving, tool: Path) -> None:
    served.api("POST", "/tools", {"url": str(tool)})

    for path in (
        "/api/v1/tools",
        "/api/v1/tools?search=probe",
        "/api/v1/tools/probe",
        "/api/v1/datasets",
        "/api/v1/datasets/probe-data",
        "/regtools",
        "/datasets",
    ):
        eventually(lambda path=path: served.request("GET", path).headers["x-mao-registry-age"] == "0")  # type: ignore[misc]  # mypy cannot infer it


def test_datasets_are_registered_found_and_withdrawn(served: Serving, remote: Path, tmp_path: Path) -> None:
    body = {"name": "Mine", "url": str(remote), "description": "What I measured"}

    created = served.request("POST", "/api/v1/datasets", body)

    assert (created.status, created.headers["location"]) == (201, "/api/v1/datasets/Mine")
    assert served.api("GET", "/datasets/mine") == created.json
    assert served.api("GET", "/datasets?search=MEASURED")["items"] == [created.json]
    assert served.api("GET", "/datasets?search=nothing")["items"] == []
    assert served.request("POST", "/api/v1/datasets", body).status == 409
    assert served.request("POST", "/api/v1/datasets", body | {"name": "a b"}).json["code"] == "bad-name"
    gone = served.request("POST", "/api/v1/datasets", {"name": "x", "url": str(tmp_path / "gone")})
    assert (gone.status, gone.json["code"]) == (502, "remote-refused")
    assert served.request("DELETE", "/api/v1/datasets/MINE").status == 204
    assert served.request("DELETE", "/api/v1/datasets/MINE").status == 404


def test_what_is_unknown_is_a_404_with_what_is_near(served: Serving, tool: Path) -> None:
    served.api("POST", "/tools", {"url": str(tool)})

    for path, near in (("tools/prob", "'probe'"), ("datasets/prob-data", "'probe-data'")):
        for method in ("GET", "DELETE"):
            reply = served.request(method, f"/api/v1/{path}")
            assert reply.status == 404
            assert f"did you mean {near}" in reply.json["detail"]


def test_search_looks_at_names_and_descriptions_whatever_the_case(
    served: Serving, tool: Path, tmp_path: Path, remote: Path
) -> None:
    served.api("POST", "/tools", {"url": str(tool)})
    files = tool_files(remote, name="Census")
    commit(tmp_path / "census", {**files, "mao.yaml": files["mao.yaml"].replace("A tool for tests", "Zählt Häuser")})
    served.api("POST", "/tools", {"url": str(tmp_path / "census")})

    def found(text: str) -> list[str]:
        return [item["name"] for item in served.api("GET", f"/tools?search={text}")["items"]]

    assert (found("CENS"), found("h%C3%84user"), found("for%20TESTS")) == (["Census"], ["Census"], ["probe"])
    assert found("zzz") == []
    served.api("DELETE", "/tools/census")
    assert found("cens") == []


def test_a_request_with_a_key_that_comes_again_is_answered_and_not_done_again(served: Serving, tool: Path) -> None:
    first = served.request("POST", "/api/v1/tools", {"url": str(tool)}, {"Idempotency-Key": "k1"})
    before = served.count()
    again = served.request("POST", "/api/v1/tools", {"url": str(tool)}, {"Idempotency-Key": "k1"})

    assert (again.status, again.body, again.headers["location"]) == (201, first.body, first.headers["location"])
    assert served.count() == before
    for path, body in (("tools", {"url": "/other"}), ("datasets", {"name": "d", "url": str(tool)})):
        other = served.request("POST", f"/api/v1/{path}", body, {"Idempotency-Key": "k1"})
        assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    served.api("DELETE", "/tools/probe")
    gone = served.request("POST", "/api/v1/tools", {"url": str(tool)}, {"Idempotency-Key": "k1"})
    assert (gone.status, gone.json["code"]) == (404, "tool-not-found")


def test_a_request_that_failed_can_be_made_again_with_its_key(served: Serving, tmp_path: Path, remote: Path) -> None:
    body = {"url": str(tmp_path / "tool")}
    assert served.request("POST", "/api/v1/tools", body, {"Idempotency-Key": "k"}).status == 502
    commit(tmp_path / "tool", tool_files(remote))

    assert served.request("POST", "/api/v1/tools", body, {"Idempotency-Key": "k"}).status == 201


def test_of_many_who_register_the_same_name_at_once_one_does(served: Serving, tool: Path) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(served.request("POST", "/api/v1/tools", {"url": str(tool)}).status)
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [201, 409, 409, 409, 409, 409]


def test_the_growth_of_a_dataset_is_told(served: Serving, tool: Path) -> None:
    served.install(tool)
    run = served.ended(served.run("Write", "42", "a/b.txt"))
    growth = served.api("GET", "/datasets/PROBE-DATA/growth")
    assert (growth["dataset"], growth["source"], growth["commits"], growth["files"], growth["size"]) == (
        "probe-data",
        "history",
        1,
        1,
        2,
    )
    assert (growth["shares"][0]["tool"], growth["shares"][0]["node"]) == ("probe", run["node"])
    assert growth["warnings"] == []
    reply = served.request("GET", "/api/v1/datasets/prob-data/growth")
    assert (reply.status, reply.json["code"]) == (404, "dataset-not-found")
