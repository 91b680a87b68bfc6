"""What the holder of a node's key can do in the cluster, and what not: each line of docs/explanation/stolen-keys.md.

The thief has `cluster/node.key` and `cluster/node.pem` of the node beta, and the programs that everybody has.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from etcd_cluster import need_etcd
from mao.catalogue import AUTHORITY, REVOKED, dataset_key, head_key, node_key, schedule_key, slots_below, tool_key
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.client import EtcdClient
from mao.etcd.members import list_members
from peering import ask
from sites import Site, tool_at
from support import ServedNode, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support import Reply

NOBODYS = tool_key("nobodys")


@dataclass
class Thief:
    """Somebody with the files of a node, at a machine of the network."""

    alpha: Site
    beta: Site
    gamma: Site
    files: Path

    def etcdctl(self, *args: str) -> subprocess.CompletedProcess[str]:
        shown = {"cacert": "authority.pem", "cert": "node.pem", "key": "node.key"}
        flags = [f"--{flag}={self.files / name}" for flag, name in shown.items()]
        command = ["etcdctl", f"--endpoints=127.0.0.1:{self.alpha.ports[0]}", *flags, "--command-timeout=2s", *args]
        environment = os.environ | {"ETCDCTL_API": "3"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def can(self, *args: str) -> str:
        done = self.etcdctl(*args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cannot(self, *args: str) -> None:
        done = self.etcdctl(*args)
        assert done.returncode != 0, f"{args} was done: {done.stdout}"
        assert "permission denied" in done.stderr, done.stderr

    def asks(self, method: str, path: str, body: Any = None, port: int = 2) -> Reply:
        """What the node alpha answers at its port for the other nodes."""
        return ask(self.tls(), self.alpha.ports[port], method, path, json.dumps(body).encode() if body else None)

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.files / "authority.pem"))
        context.check_hostname = False
        context.load_cert_chain(self.files / "node.pem", self.files / "node.key")
        return context


@pytest.fixture(scope="module")
def thief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thief]:
    """Three nodes: alpha has the authority, gamma a member of etcd too, and beta's key was copied."""
    need_etcd()
    place = tmp_path_factory.mktemp("stolen")
    alpha, beta, gamma = (Site(ServedNode(place / f"home-{name}", name)) for name in ("alpha", "beta", "gamma"))
    try:
        beta.join(alpha.init(), "--client")
        gamma.join(alpha.invitation())
        for one, name in ((alpha, "first"), (beta, "second"), (gamma, "third")):
            one.node.api("POST", "/tools", {"url": str(tool_at(place, name))})
        files = place / "copied"
        files.mkdir()
        for name in ("authority.pem", "node.pem", "node.key"):
            (files / name).write_bytes((beta.directory.path / name).read_bytes())
        yield Thief(alpha, beta, gamma, files)
    finally:
        for one in (alpha, beta, gamma):
            one.node.stop()
        for one in (alpha, gamma):
            one.directory.member.stop()


def test_it_cannot_write_what_is_another_nodes(thief: Thief) -> None:
    others = (node_key("alpha"), tool_key("first"), dataset_key("first-data"), tool_key("third"), schedule_key("x"))
    for key in (*others, NOBODYS, AUTHORITY, REVOKED, "/mao/v1/tool", "/mao/v1/nodes", "/elsewhere"):
        thief.cannot("put", key, "stolen")
        thief.cannot("del", key)
    thief.cannot("del", "--prefix", "/mao/v1/tools/")
    thief.cannot("del", "--prefix", "/mao/v1/")


def test_it_reads_what_the_cluster_shares_and_nothing_else(thief: Thief) -> None:
    assert tool_key("first") in thief.can("get", "--prefix", "/mao/v1/", "--keys-only")
    for range_of_keys in (["/elsewhere"], ["--prefix", "/"], ["--from-key", ""], ["--prefix", "/mao/v2/"]):
        thief.cannot("get", *range_of_keys)


def test_it_cannot_change_members_users_or_roles_nor_copy_the_database(thief: Thief) -> None:
    member = thief.can("member", "list").split(",")[0]
    for refused in (
        ("member", "add", "x", "--peer-urls=https://127.0.0.1:9"),
        ("member", "remove", member),
        ("member", "update", member, "--peer-urls=https://127.0.0.1:9"),
        ("user", "list"),
        ("user", "add", "x:x"),
        ("user", "delete", "alpha"),
        ("user", "grant-role", "beta", "root"),
        ("role", "grant-permission", "node:beta", "readwrite", "/mao/", "--prefix=true"),
        ("auth", "disable"),
    ):
        thief.cannot(*refused)
    for command in (["defrag"], ["snapshot", "save", str(thief.files / "copy")]):
        assert "permission denied" in thief.etcdctl(*command).stderr
    with pytest.raises((ssl.SSLError, OSError)):
        thief.asks("GET", "/members", port=1)


def test_it_cannot_have_the_authority_give_it_what_is_another_nodes(thief: Thief) -> None:
    for key in (tool_key("first"), dataset_key("third-data"), AUTHORITY, REVOKED, node_key("alpha"), "/mao/v1/tools/"):
        assert thief.asks("POST", "/api/v1/cluster/grants", {"keys": [key]}).status == 403, key
    for wish in ({"what": "remove"}, {"what": "promote"}):
        members = json.loads(thief.can("member", "list", "-w", "json", "--hex=false"))["members"]
        other = next(one["ID"] for one in members if one["name"] == "gamma")
        assert thief.asks("POST", "/api/v1/cluster/members", wish | {"member": other}).status == 403
    added = thief.asks("POST", "/api/v1/cluster/members", {"what": "add", "peer_url": "https://127.0.0.1:9"})
    assert (added.status, "was not admitted with a member" in added.json["detail"]) == (403, True)
    for method, path in (("DELETE", "/api/v1/tools/first"), ("POST", "/api/v1/tools"), ("POST", "/api/v1/runs")):
        assert thief.asks(method, path, {"url": "x"}).status == 403
    assert thief.asks("POST", "/api/v1/cluster/invitations", {}).status == 403


def test_it_can_write_what_is_its_nodes_and_what_all_nodes_write(thief: Thief) -> None:
    for key in (dataset_key("second-data"), head_key("first-data"), f"{slots_below('x')}2026", "/mao/bars/x"):
        before = thief.can("get", "--print-value-only", key).rstrip("\n")
        thief.can("put", key, before or "{}")
    thief.can("del", f"{slots_below('x')}2026")
    assert thief.asks("POST", "/api/v1/cluster/grants", {"keys": [NOBODYS]}).status == 204
    thief.can("put", NOBODYS, "{}")
    thief.can("del", NOBODYS)
    assert thief.asks("POST", "/api/v1/cluster/grants", {"keys": [schedule_key("stolen")]}).status == 204
    assert thief.asks("GET", "/api/v1/runs").status == 200


def test_it_can_disturb_etcd_as_that_asks_nobody_for_it(thief: Thief) -> None:
    """What etcd 3.4 lets everybody do whose certificate it takes."""
    revision = json.loads(thief.can("get", "/mao/v1/", "-w", "json"))["header"]["revision"]
    thief.can("compact", str(revision))
    lease = thief.can("lease", "list").split()[-1]
    thief.can("lease", "keep-alive", "--once", lease)
    held = thief.etcdctl("lease", "revoke", lease)
    assert (held.returncode != 0) == ("permission denied" in held.stderr)
    ca, certificate, key = (thief.files / name for name in ("authority.pem", "node.pem", "node.key"))
    client = EtcdClient([f"127.0.0.1:{thief.alpha.ports[0]}"], ca, certificate, key)
    first, second = list_members(client)
    raised = rpc.AlarmRequest(memberID=first.id, alarm="NOSPACE")
    raised.MergeFromString(b"\x08\x01")  # to raise it, which MAO never does
    client.call("/etcdserverpb.Maintenance/Alarm", raised, rpc.AlarmResponse)
    client.close()
    assert "space exceeded" in thief.etcdctl("put", head_key("first-data"), "{}").stderr
    assert any("NOSPACE" in words for words in thief.alpha.node.api("GET", "/cluster")["advice"])
    thief.can("alarm", "disarm")
    for member in (first, second):
        assert "permission denied" not in thief.etcdctl("move-leader", f"{member.id:x}").stderr


def test_a_name_is_its_nodes_until_another_node_gets_it(thief: Thief) -> None:
    thief.gamma.node.api("DELETE", "/tools/third")
    thief.cannot("put", tool_key("third"), "{}")
    assert thief.asks("POST", "/api/v1/cluster/grants", {"keys": [tool_key("third")]}).status == 204
    thief.can("put", tool_key("third"), '{"registered_by": "beta"}')
    refused = thief.gamma.node.request("DELETE", "/api/v1/tools/first")
    assert refused.status == 403
    thief.can("del", tool_key("third"))


def test_what_is_new_waits_for_the_authority_and_what_there_is_goes_on(thief: Thief, tmp_path: Path) -> None:
    thief.alpha.node.stop()
    fourth = {"url": str(tool_at(tmp_path, "fourth"))}
    refused = thief.gamma.node.request("POST", "/api/v1/tools", fourth)
    assert refused.status == 503
    assert "Node 'alpha', which has the key of the cluster's authority" in refused.json["detail"]
    assert "Nothing was changed" in refused.json["detail"]
    tag = thief.gamma.node.request("GET", "/api/v1/datasets/third-data")
    changed = {"name": "third-data", "url": tag.json["url"], "description": "changed without the authority"}
    thief.gamma.node.api("POST", "/datasets", changed, If_Match=tag.headers["etag"])
    thief.alpha.node.start()
    thief.gamma.node.api("POST", "/tools", fourth)


def test_a_key_that_is_revoked_can_do_nothing_any_more(thief: Thief) -> None:
    said = thief.alpha.ok("cluster", "revoke", "beta").stderr
    assert "Node 'beta' has no rights any more; 1 certificates are revoked" in said
    at = f"--endpoints=127.0.0.1:{thief.gamma.ports[0]}"  # that of alpha knows it already
    for refused in (("put", head_key("first-data"), "{}"), ("get", tool_key("first"))):
        assert thief.etcdctl(at, *refused).returncode != 0
    eventually(lambda: thief.etcdctl(at, "member", "list").returncode != 0, "every member refuses the certificate")
    looked = thief.asks("GET", "/api/v1/runs")
    assert (looked.status, "was revoked" in looked.json["detail"]) == (403, True)
    assert [one["name"] for one in thief.gamma.node.api("GET", "/nodes")["items"]] == ["alpha", "gamma"]


def test_a_cluster_that_asked_nobody_is_secured_by_a_command(thief: Thief) -> None:
    root = thief.alpha.directory
    files = {"cacert": root.authority, "cert": root.root_certificate, "key": root.root_key}
    flags = [f"--{flag}={path}" for flag, path in files.items()]
    for command in (["auth", "disable"], ["del", AUTHORITY]):
        thief.can(*flags, *command)
    state = thief.alpha.status()
    assert (state["secured"], "Every node can write everything" in " ".join(state["advice"])) == (False, True)
    for _ in range(2):
        thief.alpha.ok("cluster", "secure", "--administrator", "gamma")
    assert thief.can(*flags, "user", "list").split() == [
        "alpha",
        "gamma",
        "root",
    ]  # whose key was revoked is not let in
    assert thief.alpha.status()["secured"] is True
    thief.files = thief.gamma.directory.path
    thief.cannot("put", node_key("alpha"), "{}")
    thief.can("put", tool_key("first"), thief.can("get", "--print-value-only", tool_key("first")))


def test_it_can_take_its_node_out_of_the_cluster(thief: Thief) -> None:
    thief.files = thief.gamma.directory.path

    def left() -> bool:
        return thief.asks("POST", "/api/v1/cluster/members", {"what": "leave"}).status == 200

    eventually(left, "etcd lets the member go")
    thief.cannot("put", head_key("first-data"), "{}")
    assert len(thief.can("member", "list").splitlines()) == 1
