"""What nodes of a cluster do while etcd is away, and when it is back; and who of two is first."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent import futures
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from conftest import settings
from etcd_cluster import ENVIRONMENT, EtcdCluster, need_etcd
from mao import registering
from mao.catalogue import Dataset, Tool
from mao.errors import NameTaken
from mao.local_node import opened
from mao.registry import STALE
from serving import follow
from support import ServedNode, bare, commit, eventually, free_port, git, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.local_node import LocalNode
    from serving import SentEvent
    from support import Reply

AGE = "x-mao-registry-age"
SOON = 15.0
"""Seconds in which a node that cannot do something says so; etcd gets six."""


def held(etcd: EtcdCluster) -> dict[str, Any]:
    """What etcd holds of tools and datasets."""
    found: list[Any] = []
    for kind in ("tools", "datasets", "heads"):
        listed = json.loads(etcd.etcdctl("get", "--prefix", f"/mao/v1/{kind}/", "--write-out=json"))
        found += listed.get("kvs", [])
    return {kv["key"]: (kv["value"], kv["mod_revision"]) for kv in found}


def names(node: ServedNode, what: str = "tools") -> list[str]:
    return [item["name"] for item in node.api("GET", f"/{what}")["items"]]


def age(node: ServedNode, path: str = "/api/v1/tools") -> int:
    return int(node.request("GET", path).headers[AGE])


def grows(node: ServedNode, path: str) -> None:
    first = eventually(lambda: age(node, path), f"{path} is old")
    eventually(lambda: age(node, path) > first, f"{path} grows older")


def mao(node: ServedNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, asking `node`."""
    command = [sys.executable, "-m", "mao", *arguments]
    return subprocess.run(
        command, env=node.environment(), cwd=node.home.parent, capture_output=True, text=True, check=True
    )


def told(node: ServedNode, last: str | None = None) -> Iterator[SentEvent]:
    """What is told of tools and datasets."""
    return (event for event in follow(node, "/events", last) if event.event != "node")


def refused(node: ServedNode, method: str, path: str, body: Any = None) -> None:
    """The node says soon that its registry is away."""
    begun = time.monotonic()
    reply = node.request(method, f"/api/v1{path}", body)
    assert (reply.status, reply.json["code"]) == (503, "registry-unavailable"), reply.body
    assert time.monotonic() - begun < SOON


def another_tool(place: Path, name: str) -> Path:
    commit(place / name, tool_files(bare(place / f"{name}.git"), name=name))
    return place / name


def test_a_node_goes_on_while_its_registry_is_away_and_makes_up_for_it(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path, remote: Path
) -> None:
    etcd = own_etcd(size=1)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.install(tool)
    more = another_tool(tool.parent, "more")
    node.api("POST", "/tools", {"url": str(more)})
    new = another_tool(tool.parent, "new")
    assert age(node) == 0
    before = held(etcd)

    etcd.kill(0)

    for path in ("/api/v1/tools", "/api/v1/tools/probe", "/api/v1/datasets", "/api/v1/datasets/probe-data"):
        grows(node, path)
    assert age(node, "/regtools") > 0
    assert age(node, "/datasets") > 0
    assert names(node) == ["more", "probe"]
    the_command_line_says_so(node)
    assert node.request("GET", "/readyz").status == 200
    assert b"\nmao_registry_age_seconds 0.0" not in node.request("GET", "/metrics").body
    refused(node, "POST", "/tools", {"url": str(new)})
    refused(node, "DELETE", "/tools/probe")
    refused(node, "POST", "/datasets", {"name": "d", "url": str(remote)})
    refused(node, "DELETE", "/datasets/probe-data")
    assert "The registry is away" in node.request("GET", "/api/v1/tools/new").json["detail"]
    assert node.api("GET", "/installations/probe/help")["commands"][0]["name"] == "Write"
    node.finished(node.run("Write", "1", "while-away.txt"), "succeeded")
    assert published(remote)["while-away.txt"] == "1"
    node.api("POST", "/installations", {"tool": "more"})
    assert node.installed("more")["state"] == "installed"
    assert node.api("GET", "/datasets/probe-data")["head"] is None

    etcd.restart(0)

    eventually(lambda: age(node) == 0)
    eventually(lambda: node.api("GET", "/datasets/probe-data")["head"] == git("rev-parse", "main", cwd=remote))
    changed = {key for key, value in held(etcd).items() if before.get(key) != value}
    assert len(changed) == len(held(etcd).keys() - before.keys()) + 1  # the dataset's head alone
    assert held(etcd).keys() == before.keys()
    node.api("POST", "/tools", {"url": str(new)})
    assert names(node) == ["more", "new", "probe"]
    log = (node.home.parent / f"{node.home.name}.log").read_text()
    assert (log.count("the registry is away"), log.count("the registry is back")) == (1, 1), log


def the_command_line_says_so(node: ServedNode) -> None:
    eventually(lambda: age(node) > STALE)
    listed = mao(node, "tool", "list")
    assert re.search(r"out of touch with its registry for .* stale, as it was at 20\d\d-", listed.stderr)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["NAME", "more", "probe"]
    for command in (("tool", "search", "pro"), ("tool", "show", "probe"), ("dataset", "list")):
        assert "stale" in mao(node, *command).stderr
    assert "the registry has been away for" in mao(node, "doctor").stdout


def test_a_node_that_starts_while_its_registry_is_away_goes_by_what_it_knew(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path, remote: Path
) -> None:
    etcd = own_etcd(size=1)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.install(tool)
    known = node.api("GET", "/tools")
    etcd.kill(0)
    node.finished(node.run("Write", "1"), "succeeded")
    stale = eventually(lambda: age(node))

    node.kill()
    node.start()

    assert age(node) >= stale
    assert node.api("GET", "/tools") == known
    assert node.api("GET", "/datasets/probe-data")["head"] is None
    node.finished(node.run("Write", "2"), "succeeded")
    node.kill()
    etcd.restart(0)
    node.start()
    eventually(lambda: node.api("GET", "/datasets/probe-data")["head"] == git("rev-parse", "main", cwd=remote))
    assert age(node) == 0


def test_a_head_of_before_a_kill_is_announced_without_anything_else_being_published(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path, remote: Path
) -> None:
    etcd = own_etcd(size=1)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.install(tool)
    etcd.kill(0)
    node.finished(node.run("Write", "1"), "succeeded")
    eventually(lambda: age(node))

    node.kill()
    node.start()
    etcd.restart(0)

    eventually(lambda: node.api("GET", "/datasets/probe-data")["head"] == git("rev-parse", "main", cwd=remote))


def test_a_node_that_never_reached_its_registry_does_not_say_that_there_is_nothing(
    serve: Callable[..., ServedNode], tmp_path: Path, tool: Path
) -> None:
    need_etcd()
    etcd = EtcdCluster(tmp_path / "etcd", size=1, ports=[(free_port(), free_port())])

    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)

    assert node.request("GET", "/readyz").status == 200
    for path in ("/tools", "/tools/probe", "/datasets", "/datasets/probe-data", "/tools?search=x"):
        refused(node, "GET", path)
    refused(node, "POST", "/installations", {"tool": "probe"})
    refused(node, "POST", "/clones", {"dataset": "probe-data"})
    assert node.request("GET", "/regtools").status == 503
    assert node.request("GET", "/api/v1/installations/probe").status == 404
    assert b"mao_registry_age_seconds +Inf" in node.request("GET", "/metrics").body
    stream = follow(node, "/events")
    assert next(stream).event == "hello"
    try:
        etcd.start()
        etcd.etcdctl("put", "/mao/v1/others/x", "{}")
        assert next(event for event in stream if event.event == "other").data == "{}"
        eventually(lambda: node.request("GET", "/api/v1/tools").status == 200)
        node.api("POST", "/tools", {"url": str(tool)})
        assert names(node) == ["probe"]
    finally:
        node.stop()
        etcd.stop()


def test_without_most_of_the_members_nothing_is_put_that_comes_to_be_later(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path
) -> None:
    etcd = own_etcd(size=3)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.install(tool)
    before = held(etcd)
    new = another_tool(tool.parent, "new")

    etcd.kill(1, 2)

    eventually(lambda: age(node) > 2)
    refused(node, "POST", "/tools", {"url": str(new)})
    refused(node, "DELETE", "/tools/probe")
    assert names(node) == ["probe"]
    etcd.restart(1, 2)
    eventually(lambda: age(node) == 0)
    assert held(etcd) == before
    assert node.request("POST", "/api/v1/tools", {"url": str(new)}).status == 201


def test_a_registry_that_was_set_back_is_told_of_to_who_follows(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path, tmp_path: Path
) -> None:
    etcd = own_etcd(size=1)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.api("POST", "/tools", {"url": str(tool)})
    etcd.etcdctl("snapshot", "save", str(tmp_path / "snapshot"))
    later = another_tool(tool.parent, "later")
    node.api("POST", "/tools", {"url": str(later)})
    stream = told(node)
    last = next(stream)

    etcd.kill(0)
    set_back(etcd, tmp_path / "snapshot")

    gone = {json.loads(next(stream).data)["key"] for _ in range(2)}
    assert gone == {"/mao/v1/tools/later", "/mao/v1/datasets/later-data"}
    assert names(node) == ["probe"]
    node.api("POST", "/tools", {"url": str(another_tool(tool.parent, "after"))})
    assert {next(stream).event, next(stream).event} == {"tool", "dataset"}
    again = told(node, last.id)
    assert next(again).event == "hello"
    named = sorted(json.loads(next(again).data).get("name", "") for _ in range(4))
    assert named == ["", "", "after", "after-data"]
    node.kill()
    node.start()
    again = told(node, last.id)
    assert {"hello", "tool", "dataset"} == {next(again).event for _ in range(5)}


def test_a_registry_that_was_set_back_is_told_anew_what_was_published_last(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tool: Path, remote: Path, tmp_path: Path
) -> None:
    etcd = own_etcd(size=1)
    node = serve("alpha", MAO_REGISTRY__URL=etcd.url)
    node.install(tool)
    etcd.etcdctl("snapshot", "save", str(tmp_path / "snapshot"))
    node.finished(node.run("Write", "1"), "succeeded")
    newest = git("rev-parse", "main", cwd=remote)
    eventually(lambda: node.api("GET", "/datasets/probe-data")["head"] == newest)

    etcd.kill(0)
    set_back(etcd, tmp_path / "snapshot")

    eventually(lambda: newest in etcd.etcdctl("get", "/mao/v1/heads/probe-data"))


def set_back(etcd: EtcdCluster, snapshot: Path) -> None:
    """Start the only member anew from a snapshot."""
    shutil.rmtree(etcd.data(0))
    subprocess.run(
        [
            "etcdctl",
            "snapshot",
            "restore",
            str(snapshot),
            "--name=m0",
            f"--data-dir={etcd.data(0)}",
            f"--initial-cluster={etcd.initial_cluster()}",
            f"--initial-cluster-token={etcd.token}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{etcd.ports[0][1]}",
        ],
        env=ENVIRONMENT | {"ETCDCTL_API": "3"},
        check=True,
        capture_output=True,
    )
    etcd.restart(0)


def own_tool(place: Path, node: str) -> Path:
    """A tool `probe` of one node's users, with a dataset of their own."""
    files = tool_files(bare(place / f"{node}.git"))
    files["mao.yaml"] = files["mao.yaml"].replace("probe-data", f"{node}-data")
    commit(place / node, files)
    return place / node


def at_once(*actions: Callable[[], object]) -> None:
    """Do all of these at the same moment."""
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], object]) -> None:
        barrier.wait()
        action()

    threads = [threading.Thread(target=act, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.timeout(600)
@pytest.mark.long
def test_of_two_nodes_that_register_one_name_at_the_same_moment_one_wins(etcd: EtcdCluster, tmp_path: Path) -> None:
    etcd.empty()
    repositories = {name: own_tool(tmp_path / "remotes", name) for name in ("alpha", "beta")}
    flags = {"registry.url": etcd.url}
    with ExitStack() as open_nodes:
        nodes = {
            name: open_nodes.enter_context(opened(settings(tmp_path / name, **flags, **{"node.name": name})))
            for name in repositories
        }
        wins = [one_wins(nodes, repositories) for _ in range(200)]
    assert len(wins) == 200


def one_wins(nodes: dict[str, LocalNode], repositories: dict[str, Path]) -> str:
    """Two nodes register one name at once; the winner, who withdraws it again."""
    won: dict[str, Tool] = {}
    lost: dict[str, NameTaken] = {}

    def register(name: str) -> None:
        try:
            won[name] = registering.register_tool(nodes[name], str(repositories[name]))
        except NameTaken as error:
            lost[name] = error

    at_once(*(partial(register, name) for name in nodes))
    (winner,), (loser,) = won, lost
    said = lost[loser].detail
    assert all(word in said for word in (f"'{winner}'", str(repositories[winner]), won[winner].commit[:12])), said
    entries, revision = nodes[loser].registry.entries("/mao/v1/")
    dataset, head, tool = entries
    assert head.key == f"/mao/v1/heads/{winner}-data"
    assert Tool.model_validate_json(tool.value) == won[winner]
    assert Dataset.model_validate_json(dataset.value).name == f"{winner}-data"
    nodes[loser].mirror.catch_up(revision)
    assert nodes[loser].mirror.entries("/mao/v1/") == entries
    registering.withdraw_tool(nodes[winner], "probe")
    registering.withdraw_dataset(nodes[winner], f"{winner}-data")
    _, revision = nodes[loser].registry.entries("/mao/v1/")
    nodes[loser].mirror.catch_up(revision)
    assert nodes[loser].mirror.entries("/mao/v1/") == []
    return winner


def test_the_loser_of_a_race_is_told_by_the_api_who_won(
    serve: Callable[..., ServedNode], etcd: EtcdCluster, tmp_path: Path
) -> None:
    etcd.empty()
    repositories = {name: own_tool(tmp_path / "remotes", name) for name in ("alpha", "beta")}
    nodes = {name: serve(name, MAO_REGISTRY__URL=etcd.url) for name in repositories}
    for _ in range(8):
        one_wins_by_the_api(nodes, repositories)


def one_wins_by_the_api(nodes: dict[str, ServedNode], repositories: dict[str, Path]) -> None:
    replies: dict[str, Reply] = {}

    def register(name: str) -> None:
        replies[name] = nodes[name].request("POST", "/api/v1/tools", {"url": str(repositories[name])})

    at_once(*(partial(register, name) for name in nodes))
    by_status = {reply.status: name for name, reply in replies.items()}
    assert sorted(by_status) == [201, 409]
    winner, loser = by_status[201], by_status[409]
    problem = replies[loser].json
    assert problem["code"] == "name-taken"
    assert f"by node '{winner}' from {repositories[winner]}" in problem["detail"]
    eventually(lambda: names(nodes[loser]) == ["probe"])
    assert names(nodes[loser], "datasets") == [f"{winner}-data"]
    for path in ("/tools/probe", f"/datasets/{winner}-data"):
        nodes[winner].api("DELETE", path)
    eventually(lambda: not names(nodes[loser]) and not names(nodes[loser], "datasets"))


def test_a_node_whose_registry_is_none_says_so_once(serve: Callable[..., ServedNode]) -> None:
    with futures.ThreadPoolExecutor() as pool:
        other = grpc.server(pool)
        port = other.add_insecure_port("127.0.0.1:0")
        other.start()
        try:
            node = serve("alpha", MAO_REGISTRY__URL=f"etcd://127.0.0.1:{port}")
            reply = node.request("GET", "/api/v1/tools")
            assert (reply.status, "Method not found" in reply.json["detail"]) == (503, True), reply.body
        finally:
            other.stop(None)
    log = (node.home.parent / f"{node.home.name}.log").read_text()
    assert (log.count("the registry is away"), log.count("Traceback")) == (1, 0), log
