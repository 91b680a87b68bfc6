from __future__ import annotations

import json
import logging
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cli.place import Mao
from conftest import settings
from mao.attending import Announcement, url_of
from mao.catalogue import Node, node_key
from mao.errors import NodeTaken
from mao.local_node import opened
from mao.registering import register_dataset, register_tool, withdraw_dataset, withdraw_tool
from mao.registry import Edit
from mao.values import new_id, now
from mao.workspace import Workspace
from support import ServedNode, commit, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from mao.local_node import LocalNode

KEY = node_key("alpha")


def own(node: LocalNode) -> Node | None:
    """What the registry says of the node called alpha, if that is this one."""
    found = node.registry.get(KEY)
    value = Node.model_validate_json(found.value) if found else None
    return value if value is not None and value.id == node.workspace.id() else None


def revision(node: LocalNode) -> int:
    found = node.registry.get(KEY)
    return found.revision if found else 0


@contextmanager
def announced(node: LocalNode) -> Iterator[Announcement]:
    announcement = Announcement(node)
    announcement.start()
    try:
        yield announcement
    finally:
        announcement.stop()


def another(**different: object) -> bytes:
    """The entry of another node called alpha."""
    value = Node(name="Alpha", id=new_id(), url="https://10.9.9.9:8443", version="1", tools={}, since=now())
    return value.model_copy(update=different).model_dump_json().encode()


def test_a_node_is_in_the_registry_while_it_serves(node: LocalNode) -> None:
    with announced(node):
        shown = own(node)
        assert shown is not None
        assert (shown.name, shown.url, shown.tools) == ("alpha", None, {})
        assert node.mirror.get(KEY) == node.registry.get(KEY)
    assert revision(node) == 0


def test_its_entry_outlives_its_lease_and_is_written_once(node: LocalNode) -> None:
    node.config.values["registry.lease"] = 2
    with announced(node):
        first = revision(node)
        node.registry.write(Edit("/mao/v1/probe", b"", 0), lease=node.registry.grant(4))
        eventually(lambda: node.registry.get("/mao/v1/probe") is None)
        assert revision(node) == first


def test_an_entry_that_was_lost_is_put_back(node: LocalNode) -> None:
    with announced(node):
        assert node.lease is not None
        node.registry.revoke(node.lease)
        eventually(lambda: own(node))
        assert node.lease is not None
        node.registry.write(Edit(KEY, None, revision(node)))
        eventually(lambda: own(node))


def test_a_name_that_another_node_has_is_refused_at_the_start(node: LocalNode) -> None:
    node.registry.write(Edit(KEY, another(), 0))
    announcement = Announcement(node)
    with pytest.raises(NodeTaken, match=r"'Alpha': it has served since .*, at https://10\.9\.9\.9:8443"):
        announcement.start()
    assert own(node) is None


def test_the_entry_of_an_earlier_life_is_taken_over(node: LocalNode) -> None:
    node.registry.write(Edit(KEY, another(id=node.workspace.id()), 0))
    with announced(node):
        shown = own(node)
        assert shown is not None
        assert shown.url is None


def test_a_node_whose_name_is_taken_later_says_so_once_and_speaks_for_nobody(
    node: LocalNode, tool: Path, remote: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node.config.values["registry.lease"] = 2
    with caplog.at_level(logging.WARNING), announced(node):
        register_tool(node, str(tool))
        node.registry.write(Edit(KEY, another(), revision(node)))
        eventually(lambda: caplog.messages)
        node.registry.write(Edit("/mao/v1/probe", b"", 0), lease=node.registry.grant(4))
        eventually(lambda: node.registry.get("/mao/v1/probe") is None)
        assert [message.partition(":")[0] for message in caplog.messages] == ["the node is not announced"]
        assert own(node) is None
        for speak in (
            lambda: register_tool(node, str(tool)),
            lambda: register_dataset(node, "more", str(remote)),
            lambda: withdraw_tool(node, "probe"),
            lambda: withdraw_dataset(node, "probe-data"),
        ):
            with pytest.raises(NodeTaken, match="Alpha"):
                speak()

        node.registry.write(Edit(KEY, None, revision(node)))
        eventually(lambda: own(node))
        register_dataset(node, "more", str(remote))
    assert caplog.messages[1:] == ["the node is announced again"]


def test_a_node_is_not_announced_again_by_what_happens_here_while_the_registry_is_away(
    own_etcd: Callable[..., EtcdCluster], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    etcd = own_etcd(size=1)
    shared = settings(tmp_path / "home", **{"registry.url": etcd.url, "registry.lease": "60"})
    with opened(shared) as node, announced(node) as announcement:
        etcd.kill(0)
        announcement._renew_at = 0.0
        for _ in range(3):  # the first asks etcd, the second does not, the third is to know that the second was done
            announcement._woken.set()
            eventually(lambda: not announcement._woken.is_set())
        said = [record.message for record in caplog.records if record.name == "mao.attending"]
        assert [message.partition(":")[0] for message in said] == ["the node is not announced"]


def test_of_a_node_and_the_copy_of_its_home_the_later_one_has_the_name(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), announced(node):
        node.registry.write(Edit(KEY, another(id=node.workspace.id()), revision(node)))
        eventually(lambda: caplog.messages)
        written = revision(node)
    assert revision(node) == written


def test_a_home_keeps_its_id_and_no_other_has_it(tmp_path: Path) -> None:
    ids = []
    for home in ("one", "one", "two"):
        workspace = Workspace(tmp_path / home)
        (tmp_path / home).mkdir(exist_ok=True)
        ids.append(workspace.id())
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "one" / "id").stat().st_mode & 0o777 == 0o600


def test_the_address_of_a_node_is_that_where_others_reach_it(tmp_path: Path) -> None:
    assert url_of(settings(tmp_path)) is None
    assert url_of(settings(tmp_path, **{"cluster.listen": "[::1]:8443"})) == "https://[::1]:8443"
    given = {"cluster.listen": "0.0.0.0:8443", "cluster.url": "https://alpha.example.org:8443"}
    assert url_of(settings(tmp_path, **given)) == "https://alpha.example.org:8443"


def listed(node: ServedNode) -> dict[str, str]:
    """The tools that the node's entry names, with their commits."""
    (item,) = node.api("GET", "/nodes")["items"]
    tools: dict[str, str] = item["tools"]
    return tools


def test_its_entry_says_which_tools_are_installed(serve: Callable[..., ServedNode], tool: Path) -> None:
    node = serve()
    assert listed(node) == {}
    first = node.install(tool)["commit"]
    eventually(lambda: listed(node) == {"probe": first})
    second = commit(tool, {"more": "more"})
    node.api("POST", "/installations", {"tool": "probe", "commit": second})
    eventually(lambda: listed(node) == {"probe": second})
    node.api("DELETE", "/installations/probe")
    eventually(lambda: listed(node) == {})


# With a registry that nodes share.


@pytest.fixture
def cluster(etcd: EtcdCluster) -> dict[str, str]:
    """Settings of nodes that share the registry, with short leases."""
    etcd.empty()
    return {"MAO_REGISTRY__URL": etcd.url, "MAO_REGISTRY__LEASE": "2"}


def names(node: ServedNode) -> set[str]:
    return {item["name"] for item in node.api("GET", "/nodes")["items"]}


def since(node: ServedNode, name: str) -> str:
    """When the node called `name` was started, as `node` sees it."""
    return str(node.api("GET", f"/nodes/{name}")["since"])


def test_nodes_see_each_other_and_one_that_dies_is_gone_with_its_lease(
    serve: Callable[..., ServedNode], cluster: dict[str, str]
) -> None:
    alpha, beta = serve("alpha", **cluster), serve("beta", **cluster)
    assert names(beta) == {"alpha", "beta"}
    eventually(lambda: names(alpha) == {"alpha", "beta"})
    assert [(item["name"], item["here"]) for item in alpha.api("GET", "/nodes")["items"]] == [
        ("alpha", True),
        ("beta", False),
    ]
    beta.kill()
    eventually(lambda: names(alpha) == {"alpha"})
    assert alpha.request("GET", "/api/v1/nodes/beta").json["code"] == "node-not-found"


def test_a_node_that_stops_is_gone_at_once(
    serve: Callable[..., ServedNode], cluster: dict[str, str], etcd: EtcdCluster
) -> None:
    beta = serve("beta", **cluster | {"MAO_REGISTRY__LEASE": "3600"})
    assert "beta" in etcd.etcdctl("get", "/mao/v1/nodes/beta")
    beta.stop()
    assert etcd.etcdctl("get", "/mao/v1/nodes/beta") == ""


def test_a_node_that_is_killed_and_started_again_at_once_keeps_its_name(
    serve: Callable[..., ServedNode], cluster: dict[str, str], etcd: EtcdCluster
) -> None:
    settings = cluster | {"MAO_REGISTRY__LEASE": "5"}
    alpha, beta = serve("alpha", **settings), serve("beta", **settings)
    before = since(beta, "beta")
    beta.kill()
    beta.start()
    after = since(beta, "beta")
    assert after > before
    eventually(lambda: since(alpha, "beta") == after)
    key = "/mao/v1/nodes/beta"
    # The lease of its first life ends, and takes nothing with it: it had less to go than this one.
    lease = etcd.etcdctl("lease", "grant", "8").split()[1]
    etcd.etcdctl("put", "/mao/v1/probe", "", f"--lease={lease}")
    eventually(lambda: not etcd.etcdctl("get", "/mao/v1/probe"))
    assert after in etcd.etcdctl("get", key)
    assert since(alpha, "beta") == after


def test_a_name_that_is_taken_is_refused(
    serve: Callable[..., ServedNode], cluster: dict[str, str], tmp_path: Path
) -> None:
    alpha = serve("alpha", **cluster)
    (tmp_path / "elsewhere").mkdir()
    other = ServedNode(tmp_path / "elsewhere" / "home", "Alpha", cluster)
    refused = Mao(other)("serve")
    assert refused.returncode == 4
    assert "Another node of the cluster is called 'alpha': it has served since" in refused.stderr
    assert names(alpha) == {"alpha"}


def test_a_node_that_stood_still_for_longer_than_its_lease_is_announced_again(
    serve: Callable[..., ServedNode], cluster: dict[str, str]
) -> None:
    alpha, beta = serve("alpha", **cluster), serve("beta", **cluster)
    assert beta.process is not None
    before = since(beta, "beta")
    os.kill(beta.process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: names(alpha) == {"alpha"})
    finally:
        os.kill(beta.process.pid, signal.SIGCONT)
    eventually(lambda: names(alpha) == {"alpha", "beta"})
    assert since(alpha, "beta") == before


def test_whoever_takes_the_name_of_a_node_that_stood_still_has_it_until_it_goes(
    serve: Callable[..., ServedNode], cluster: dict[str, str], tmp_path: Path, tool: Path
) -> None:
    alpha, beta = serve("alpha", **cluster), serve("beta", **cluster)
    assert beta.process is not None
    os.kill(beta.process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: names(alpha) == {"alpha"})
        other = ServedNode(tmp_path / "elsewhere" / "home", "beta", cluster).start()
    finally:
        os.kill(beta.process.pid, signal.SIGCONT)
    try:
        # Until it has been told of the other one, it only knows that its own entry is gone.
        told = "another node has had its name, 'beta', since"
        taken = eventually(lambda: told in (said := Mao(beta)("node", "list").stderr) and said)
        findings = {finding["check"]: finding for finding in json.loads(Mao(beta)("doctor", "-o", "json").stdout)}
        assert (findings["announced"]["result"], taken.split("them: ")[1].strip()) == (
            "warn",
            findings["announced"]["advice"],
        )
        refused = beta.request("POST", "/api/v1/tools", {"url": str(tool)})
        assert (refused.status, refused.json["code"]) == (409, "node-taken")
    finally:
        other.stop()
    eventually(lambda: [item["name"] for item in beta.api("GET", "/nodes")["items"] if item["here"]] == ["beta"])
    beta.api("POST", "/tools", {"url": str(tool)})


def test_a_node_that_finds_its_name_taken_when_the_registry_is_back_goes_on_without_it(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tmp_path: Path
) -> None:
    etcd = own_etcd(size=1)
    shared = {"MAO_REGISTRY__URL": etcd.url, "MAO_REGISTRY__LEASE": "4"}
    alpha = serve("alpha", **shared)
    etcd.kill(0)
    other = ServedNode(tmp_path / "elsewhere" / "home", "alpha", shared).start()
    try:
        assert other.api("GET", "/runs")["items"] == []
        etcd.restart(0)
        log = tmp_path / "elsewhere" / "home.log"
        # Whoever announces it asks the registry itself, be it before or after the mirror is back in touch.
        eventually(lambda: "the node is not announced: Another node" in log.read_text())
        eventually(lambda: "another node has had its name" in Mao(other)("node", "list").stderr)
        assert [item["here"] for item in other.api("GET", "/nodes")["items"]] == [False]
        eventually(lambda: alpha.api("GET", "/nodes")["items"][0]["here"])
    finally:
        other.stop()
