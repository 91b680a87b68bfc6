from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mao.web.access import _PATIENT
from serving import hanging_server, serving
from support import commit, eventually, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from support import Reply


def test_remotes_that_hang_stop_nothing_that_is_quick_nor_the_end_of_the_node(tmp_path: Path, tool: Path) -> None:
    replies: list[Reply] = []
    with hanging_server() as (url, taken), serving(tmp_path / "home", git__allow_http="true") as node:
        node.install(tool)
        run = node.ended(node.run("Write", "1"))
        threads = [
            threading.Thread(target=lambda: replies.append(node.request("POST", "/api/v1/tools", {"url": url})))
            for _ in range(_PATIENT + 10)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: len(taken) >= _PATIENT, "as many requests as may wait for git do")

        for path in ("/readyz", "/regtools", "/installed", "/metrics", "/healthz"):
            assert node.request("GET", path).status == 200
        for path in (f"/runs/{run['id']}", "/runs", "/tools", "/installations/probe/help", "/clones"):
            node.api("GET", path)
        assert node.request("GET", f"/api/v1/runs/{run['id']}/log").body == b"written\n"
        assert node.ended(node.run("Write", "2"))["state"] == "succeeded"
        assert replies == []

    for thread in threads:
        thread.join()
    assert {(reply.status, reply.json["code"]) for reply in replies} == {(503, "stopping")}


def test_who_waits_for_an_end_is_let_go_when_the_node_stops(tmp_path: Path) -> None:
    replies: list[Reply] = []
    with hanging_server() as (url, taken), serving(tmp_path / "home", git__allow_http="true") as node:
        commit(tmp_path / "probe", tool_files(url))
        node.api("POST", "/tools", {"url": str(tmp_path / "probe")})
        node.api("POST", "/installations", {"tool": "probe"})
        eventually(lambda: taken, "the dataset is being cloned")
        path = "/api/v1/installations/probe"
        waiter = threading.Thread(
            target=lambda: replies.append(node.request("GET", path, headers={"Prefer": "wait=60"}))
        )
        waiter.start()
        eventually(lambda: len(node.server.server_state.tasks) == 1, "it waits")

    waiter.join()
    assert [(reply.status, reply.json["attempt"]["step"]) for reply in replies] == [(200, "dataset")]


def test_a_request_with_a_key_that_comes_again_while_it_is_worked_on_is_not_begun_twice(tmp_path: Path) -> None:
    replies: list[Reply] = []
    key = {"Idempotency-Key": "k"}
    with hanging_server() as (url, taken), serving(tmp_path / "home", git__allow_http="true") as node:
        first = threading.Thread(
            target=lambda: replies.append(node.request("POST", "/api/v1/tools", {"url": url}, key))
        )
        first.start()
        eventually(lambda: taken, "git asks the remote")

        again = node.request("POST", "/api/v1/tools", {"url": url}, key)

        assert (again.status, again.json["code"]) == (409, "in-use")
        assert len(taken) == 1
    first.join()
    assert [reply.json["code"] for reply in replies] == ["stopping"]
