from __future__ import annotations

from typing import TYPE_CHECKING

from mao import certificates
from mao.cluster_directory import ClusterDirectory
from mao.invitation import parse
from mao.values import now
from peering import Authority
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from serving import Serving
    from support import ServedNode


def with_authority(home: Path) -> ClusterDirectory:
    directory = ClusterDirectory(home)
    directory.prepare()
    directory.found_authority("cluster")
    directory.write_settings({"cluster.url": "https://10.0.0.1:8443"})
    return directory


def asked(name: str, secret: str) -> dict[str, object]:
    csr = certificates.request(certificates.new_key(), name).decode()
    return {"secret": secret, "name": name, "hosts": ["10.0.0.2"], "request": csr}


def test_a_node_without_a_cluster_says_how_to_begin_one(served: Serving) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/join", None),
        ("POST", "/invitations", {}),
        ("POST", "/join", asked("beta", "s")),
    ):
        reply = served.request(method, f"/api/v1/cluster{path}", body)
        assert (reply.status, "mao cluster init" in reply.json["detail"]) == (409, True), (method, path)


def test_who_is_invited_by_the_api_joins_by_the_api(serve: Callable[..., ServedNode]) -> None:
    node = serve(start=False)
    directory = with_authority(node.home)
    node.start()
    made = node.api("POST", "/cluster/invitations", {"name": "beta", "hours": 2}, status=201)
    invitation = parse(made["invitation"])
    authority = node.api("GET", "/cluster/join")["certificate"]
    assert certificates.fingerprint(authority.encode()) == invitation.authority
    asking = asked("beta", invitation.secret)
    admitted = node.api("POST", "/cluster/join", asking)
    assert certificates.expires(admitted["certificate"].encode()) > now()
    assert directory.given("beta")["key"] == certificates.key_fingerprint(str(asking["request"]).encode())
    refused = node.request("POST", "/api/v1/cluster/join", asking | {"secret": "x" * 32})
    assert (refused.status, refused.json["code"]) == (403, "invitation-refused")
    for hours in (0, 1000):
        assert node.request("POST", "/api/v1/cluster/invitations", {"hours": hours}).status == 422


def test_the_clocks_of_nodes_are_compared_and_who_does_not_answer_is_told(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tmp_path: Path
) -> None:
    authority, url = Authority(tmp_path / "authority"), own_etcd(size=1).url
    alpha, beta = (serve(name, **authority.settings(name, MAO_REGISTRY__URL=url)) for name in ("alpha", "beta"))
    eventually(lambda: len(alpha.api("GET", "/nodes")["items"]) == 2)
    state = alpha.api("GET", "/cluster")
    (clock,) = state["clocks"]
    assert (clock["node"], clock["error"]) == ("beta", None)
    assert abs(clock["offset"]) <= clock["within"] + 0.005
    beta.kill()
    state = alpha.api("GET", "/cluster")
    (clock,) = state["clocks"]
    assert clock["offset"] is None
    assert clock["error"] in state["advice"]
    assert clock["error"].count("does not answer") == 1
