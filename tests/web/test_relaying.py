from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mao.catalogue import Node, node_key
from mao.client import Client
from mao.errors import Denied, RunNotFound
from mao.registry import Edit
from mao.values import new_id, now
from peering import Authority, expired
from serving import follow, hanging_server, serving
from support import PATIENCE, ServedNode, commit, eventually, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from serving import Serving

GATE = 'for i in 1 2 3; do echo "line $i"; until [ -e "$1/$i" ]; do sleep 0.02; done; done; echo over\n'


@pytest.fixture
def cluster(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def alpha(tmp_path: Path, cluster: Authority) -> Iterator[Serving]:
    """The node that its users ask, in this process: it knows of others what a test writes into its registry."""
    flags = {key.removeprefix("MAO_").lower(): text for key, text in cluster.settings("alpha").items()}
    with serving(tmp_path / "home-alpha", **flags) as served:
        yield served


def know(alpha: Serving, name: str, url: str | None) -> None:
    """Have alpha see the node `name` in the cluster."""
    entry = Node(name=name, id=new_id(), url=url, version="1", tools={}, since=now())
    present = alpha.node.registry.get(node_key(name))
    body = entry.model_dump_json().encode()
    revision = alpha.node.registry.write(Edit(node_key(name), body, present.revision if present else 0))
    alpha.node.mirror.catch_up(revision)


@pytest.fixture
def beta(
    alpha: Serving, serve: Callable[..., ServedNode], cluster: Authority, tmp_path: Path, remote: Path
) -> ServedNode:
    """Another node, in a process of its own, which takes runs from alpha; with a tool that waits for leave."""
    node = serve("beta", **cluster.settings("beta", MAO_CLUSTER__RUNS_FROM="alpha"))
    know(alpha, "beta", f"https://127.0.0.1:{cluster.ports['beta']}")
    scripts = {"Gate": GATE, "Loop": "for i in $(seq 100000); do echo line $i; sleep 0.01; done\n"}
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts=scripts, arguments={"Gate": 1}))
    node.install(tmp_path / "remotes" / "probe")
    return node


@pytest.fixture
def client(alpha: Serving, beta: ServedNode) -> Client:
    """Asks beta, through alpha."""
    return Client(alpha.url, node=beta.name)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


def start(client: Client, command: str, *arguments: str) -> str:
    run = client.post("/runs", {"tool": "probe", "command": command, "arguments": list(arguments)})
    assert (run["node"], run["asked_by"]) == ("beta", "alpha")
    return str(run["id"])


def test_a_run_on_another_node_is_followed_as_it_goes(
    alpha: Serving, beta: ServedNode, client: Client, gate: Path, remote: Path
) -> None:
    run = start(client, "Gate", str(gate))
    lines = ""
    for event in client.follow(f"/runs/{run}/log"):
        lines += json.loads(event.data) if event.name == "log" else ""
        if lines.endswith(("line 1\n", "line 2\n", "line 3\n")):
            (gate / lines.split()[-1]).touch()  # it goes on when its line has come through, not before
    assert lines == "line 1\nline 2\nline 3\nover\n"
    part = alpha.request("GET", f"/api/v1/nodes/beta/api/runs/{run}/log", headers={"Range": "bytes=-5"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"over\n", "bytes 21-25/26")
    ended = client.wait(f"/runs/{run}", lambda r: r["state"] == "succeeded")
    assert ended == beta.api("GET", f"/runs/{run}")
    assert published(remote) == {}


def test_answers_come_through_as_they_are(alpha: Serving, beta: ServedNode, client: Client) -> None:
    own = beta.request("GET", "/api/v1/installations?page_size=1")
    through = alpha.request("GET", "/api/v1/nodes/Beta/api/installations?page_size=1")
    assert (through.status, through.body) == (200, own.body)
    assert through.headers["content-type"] == own.headers["content-type"]
    assert beta.request("GET", "/api/v1/tools/probe").headers["etag"] == client.ask("GET", "/tools/probe").etag
    assert alpha.request("GET", "/api/v1/nodes/beta/api/tools").headers["x-mao-registry-age"] == "0"
    with pytest.raises(RunNotFound, match="x"):
        client.get("/runs/x")
    started = alpha.request(
        "POST", "/api/v1/nodes/beta/api/runs", {"tool": "probe", "command": "Loop"}, {"Idempotency-Key": "1"}
    )
    again = alpha.request(
        "POST", "/api/v1/nodes/beta/api/runs", {"tool": "probe", "command": "Loop"}, {"Idempotency-Key": "1"}
    )
    assert started.json["id"] == again.json["id"]
    location = started.headers["location"]
    assert location == f"/api/v1/nodes/beta/api/runs/{started.json['id']}"
    assert alpha.request("POST", f"{location}/cancel").status == 202
    assert alpha.request("GET", location, headers={"Prefer": "wait=60"}).json["state"] == "cancelled"


def test_schedules_of_another_node_are_changed_there(alpha: Serving, beta: ServedNode, client: Client) -> None:
    there = "/api/v1/nodes/beta/api/schedules"
    added = alpha.request("POST", there, {"tool": "probe", "command": "Loop", "cron": "monthly"})
    assert (added.status, added.json["node"]) == (201, "beta")
    assert added.headers["location"] == f"{there}/{added.json['id']}"
    path = f"/schedules/{added.json['id']}"

    assert client.post(f"{path}/pause", {"note": "moved"})["note"] == "moved"
    old = {"If-Match": added.headers["etag"]}
    assert (
        alpha.request("PATCH", f"{there}/{added.json['id']}", {"cron": "daily"}, old).json["code"] == "stale-revision"
    )
    assert client.ask("PATCH", path, {"cron": "daily"}).json["cron"] == "daily"
    assert [slot["planned"][11:16] for slot in client.get(f"{path}/preview", count=2)["items"]] == ["00:00", "00:00"]
    client.delete(path)
    assert beta.api("GET", path)["state"] == "removed"
    table = client.ask("GET", f"{path}/slots", headers={"Accept": "text/csv"})
    assert table.body.startswith(b"schedule,planned,")


def test_a_node_asked_by_its_own_name_answers_itself(alpha: Serving) -> None:
    own = alpha.request("GET", "/api/v1/tools")
    named = alpha.request("GET", "/api/v1/nodes/Alpha/api/tools")
    assert (named.status, named.body) == (200, own.body)
    assert alpha.request("GET", "/api/v1/nodes/alpha/api/runs/x").json["code"] == "run-not-found"
    body = {"tool": "x", "command": "y"}
    assert alpha.request("POST", "/api/v1/nodes/alpha/api/runs", body).json["code"] == "not-installed"


def test_a_request_is_passed_on_once(alpha: Serving) -> None:
    reply = alpha.request("GET", "/api/v1" + "/nodes/alpha/api" * 400 + "/runs")
    assert (reply.status, reply.json["code"]) == (403, "denied")


def test_the_other_node_decides(alpha: Serving, serve: Callable[..., ServedNode], cluster: Authority) -> None:
    gamma = serve("gamma", **cluster.settings("gamma"))
    know(alpha, "gamma", f"https://127.0.0.1:{cluster.ports['gamma']}")
    client = Client(alpha.url, node="gamma")
    assert client.get("/runs")["items"] == []
    with pytest.raises(Denied, match=r"'gamma' takes no runs from node 'alpha': its cluster\.runs_from"):
        client.post("/runs", {"tool": "probe", "command": "Loop"})
    with pytest.raises(Denied, match="own users"):
        client.post("/tools", {"url": "/x"})
    with pytest.raises(Denied, match="own users"):
        client.delete("/installations/probe")
    with pytest.raises(Denied, match="passes nothing on"):
        client.get("/nodes/alpha/api/runs")
    assert gamma.api("GET", "/runs")["items"] == []


def test_a_followed_log_goes_on_where_it_was_when_the_other_node_comes_back(
    beta: ServedNode, client: Client, gate: Path
) -> None:
    run = start(client, "Gate", str(gate))
    lines = ""
    for event in client.follow(f"/runs/{run}/log"):
        lines += json.loads(event.data) if event.name == "log" else ""
        if lines.endswith("line 1\n"):
            beta.kill()
            beta.start()
            (gate / "1").touch()
            (gate / "2").touch()
            (gate / "3").touch()
    assert lines == "line 1\nline 2\nline 3\nover\n"


def test_a_client_that_goes_ends_the_other_connection(alpha: Serving, client: Client) -> None:
    run = start(client, "Loop")
    stream = follow(alpha, f"/nodes/beta/api/runs/{run}/log")
    assert next(stream).event == "log"
    assert len(alpha.server._app.state.relayed) == 1
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    eventually(lambda: not alpha.server._app.state.relayed)
    client.post(f"/runs/{run}/cancel")


def test_a_node_that_stops_lets_go_of_what_it_passes_on(alpha: Serving, beta: ServedNode, client: Client) -> None:
    run = start(client, "Loop")
    stream = follow(alpha, f"/nodes/beta/api/runs/{run}/log")
    next(stream)
    alpha.server.should_exit = True
    assert "end" not in [event.event for event in stream]
    beta.api("POST", f"/runs/{run}/cancel")


def test_fifty_logs_are_followed_and_all_else_goes_on(alpha: Serving, client: Client, gate: Path) -> None:
    run = start(client, "Gate", str(gate))

    def read(stream: Iterator[Any]) -> str:
        return "".join(json.loads(event.data) for event in stream if event.event == "log")

    with ThreadPoolExecutor(50) as pool:
        logs = [pool.submit(read, follow(alpha, f"/nodes/beta/api/runs/{run}/log")) for _ in range(50)]
        eventually(lambda: len(alpha.server._app.state.relayed) == 50)
        assert client.get(f"/runs/{run}")["state"] == "running"
        assert alpha.request("GET", "/readyz").status == 200
        assert alpha.request("GET", "/api/v1/installations").status == 200
        for name in "123":
            (gate / name).touch()
        assert {log.result(PATIENCE) for log in logs} == {"line 1\nline 2\nline 3\nover\n"}


def test_what_cannot_be_reached_is_told_in_words(alpha: Serving, cluster: Authority) -> None:
    def failure(name: str, url: str | None) -> str:
        know(alpha, name, url)
        answer = alpha.request("GET", f"/api/v1/nodes/{name}/api/tools")
        assert (answer.status, answer.json["code"]) == (503, "node-unreachable")
        return str(answer.json["detail"])

    assert "tells no address" in failure("beta", None)
    assert "'beta' does not answer at https://127.0.0.1:1 (" in failure("beta", "https://127.0.0.1:1")
    # At this address alpha itself answers, with its own certificate.
    own = f"https://127.0.0.1:{cluster.ports['alpha']}"
    assert f"At {own} answers node 'alpha', not 'beta'. Nothing was asked of it." in failure("beta", own)
    unknown = alpha.request("GET", "/api/v1/nodes/bta/api/tools")
    assert (unknown.status, unknown.json["code"]) == (404, "node-not-found")
    assert "did you mean 'beta'?" in unknown.json["detail"]


def test_a_node_that_does_not_answer_holds_up_nobody_else(alpha: Serving, client: Client) -> None:
    with hanging_server() as (url, taken), ThreadPoolExecutor(40) as pool:
        know(alpha, "silent", url.replace("http:", "https:").removesuffix("/x.git"))
        asked = [pool.submit(alpha.request, "GET", "/api/v1/nodes/silent/api/tools") for _ in range(40)]
        eventually(lambda: len(taken) == 40)
        assert client.get("/tools")["items"]
        assert alpha.request("GET", "/api/v1/installations").status == 200
        assert {answer.result().status for answer in asked} == {503}


@pytest.mark.parametrize("kind", ["foreign", "expired", "none"])
def test_a_node_without_a_good_certificate_is_told_so(
    tmp_path: Path, serve: Callable[..., ServedNode], cluster: Authority, kind: str
) -> None:
    """Delta shows a certificate that beta does not take."""
    serve("beta", **cluster.settings("beta"))
    certificate, key = {
        "foreign": lambda: Authority(tmp_path / "other").signed("delta"),
        "expired": lambda: expired(cluster, "delta"),
        "none": lambda: (tmp_path / "absent", tmp_path / "absent"),
    }[kind]()
    flags = {"cluster__ca": str(cluster.ca), "cluster__certificate": str(certificate), "cluster__key": str(key)}
    with serving(tmp_path / "home-delta", node__name="delta", **flags) as delta:
        know(delta, "beta", f"https://127.0.0.1:{cluster.ports['beta']}")
        answer = delta.request("GET", "/api/v1/nodes/beta/api/tools")
    if kind == "none":
        assert (answer.status, "cluster.certificate" in answer.json["detail"]) == (422, True)
    else:
        assert (answer.status, answer.json["code"]) == (503, "node-unreachable")
        assert "it does not take this node's certificate" in answer.json["detail"]
