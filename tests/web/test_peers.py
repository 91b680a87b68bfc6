from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from mao.errors import BadSetting
from mao.web import peers
from mao.web.peers import client_context, server_context
from peering import Authority, ask, expired
from scheduled import installation
from serving import serving
from support import PATIENCE, free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from serving import Serving

JOIN = "/api/v1/cluster/join"


@pytest.fixture
def cluster(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def node(tmp_path: Path, cluster: Authority) -> Iterator[Serving]:
    """The node alpha, which takes runs from beta."""
    with serving(tmp_path / "home", **flags(cluster, MAO_CLUSTER__RUNS_FROM="Beta")) as served:
        yield served


def flags(cluster: Authority, name: str = "alpha", **more: str) -> dict[str, str]:
    return {key.removeprefix("MAO_").lower(): text for key, text in cluster.settings(name, **more).items()}


def others(node: Serving) -> int:
    """The port where the other nodes reach it."""
    port: int = node.node.config["cluster.listen"][1]
    return port


def test_who_shows_no_certificate_may_join_and_nothing_else(node: Serving, cluster: Authority) -> None:
    stranger, port = cluster.context(None), others(node)
    assert ask(stranger, port, "GET", "/healthz").json["node"] == "alpha"
    # The route is another part's: what matters here is that the request gets as far as that.
    assert ask(stranger, port, "POST", JOIN, b"{}").status != 403
    for method, path in (("GET", "/api/v1/tools"), ("POST", "/api/v1/runs"), ("GET", "/metrics")):
        refused = ask(stranger, port, method, path, b"{}" if method == "POST" else None)
        assert (refused.status, refused.json["code"]) == (403, "denied"), path
        assert "certificate" in refused.json["detail"]


def test_a_node_of_the_cluster_may_look_at_all_that_the_api_shows(node: Serving, cluster: Authority) -> None:
    gamma, port = cluster.context("gamma"), others(node)
    for path in (
        "/tools",
        "/datasets",
        "/installations",
        "/runs",
        "/clones",
        "/schedules",
        "/schedules/summary",
        "/nodes",
        "/nodes/alpha",
        "/openapi.json",
    ):
        assert ask(gamma, port, "GET", f"/api/v1{path}").status == 200, path
    assert ask(gamma, port, "HEAD", "/api/v1/tools").status == 200
    assert ask(gamma, port, "GET", "/healthz").status == 200
    assert ask(gamma, port, "GET", "/api/v1/nodes/beta").json["code"] == "node-not-found"
    for path in ("/metrics", "/readyz", "/regtools", "/docs", "/api/v1"):
        assert ask(gamma, port, "GET", path).status == 403, path


RUNS = (
    ("POST", "/runs"),
    ("POST", "/runs/x/cancel"),
    ("POST", "/runs/x/publish"),
    ("POST", "/installations"),
    ("POST", "/clones"),
    ("POST", "/schedules"),
    ("POST", "/schedules/x/pause"),
    ("POST", "/schedules/x/resume"),
    ("POST", "/schedules/x/backfill"),
    ("PATCH", "/schedules/x"),
    ("DELETE", "/schedules/x"),
)


def test_only_nodes_that_are_named_may_leave_runs_here(node: Serving, cluster: Authority) -> None:
    port = others(node)
    for method, path in RUNS:
        body = None if method == "DELETE" else b"{}"
        refused = ask(cluster.context("gamma"), port, method, f"/api/v1{path}", body)
        assert refused.status == 403
        assert "'alpha' takes no runs from node 'gamma': its cluster.runs_from" in refused.json["detail"]
        assert ask(cluster.context("beta"), port, method, f"/api/v1{path}", body).status in {404, 422}, path


def test_a_node_may_take_runs_from_all(tmp_path: Path, cluster: Authority) -> None:
    with serving(tmp_path / "home", **flags(cluster, MAO_CLUSTER__RUNS_FROM="*")) as served:
        refused = ask(cluster.context("gamma"), others(served), "POST", "/api/v1/runs", b"{}")
    assert refused.json["code"] == "bad-body"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/tools"),
        ("POST", "/api/v1/datasets"),
        ("DELETE", "/api/v1/tools/probe"),
        ("DELETE", "/api/v1/installations/probe"),
        ("DELETE", "/api/v1/clones/probe-data"),
        ("DELETE", "/api/v1/runs"),
        ("DELETE", "/api/v1/schedules"),
        ("DELETE", "/api/v1/schedules/"),
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/secrets/x"),
        ("PUT", "/api/v1/secrets/x"),
        ("DELETE", "/api/v1/secrets/x"),
        ("PATCH", "/api/v1/runs/x"),
        ("POST", "/api/v1/schedules/x"),
        ("POST", "/api/v1/installations/probe/update"),
        ("POST", "/api/v1/runs/x/more/publish"),
        ("POST", "/runs"),
        ("POST", "/run"),
        ("GET", "/api/v1/nodes/beta/api/tools"),
        ("GET", "/api/v1/nodes/alpha/api/tools"),
        ("GET", "/api/v1/nodes%2Fbeta%2Fapi%2Ftools"),
        ("POST", "/api/v1/nodes/beta/api/runs"),
    ],
)
def test_nothing_else_is_for_others_and_nothing_is_passed_on(
    node: Serving, cluster: Authority, method: str, path: str
) -> None:
    body = None if method in {"GET", "DELETE"} else b"{}"
    before = node.count()
    assert ask(cluster.context("beta"), others(node), method, path, body).status == 403
    assert node.count() == before


def test_users_of_other_nodes_get_no_secrets_but_those_for_the_tool_and_publish_none(
    node: Serving, cluster: Authority
) -> None:
    node.node.store.save(installation(arguments="[{Name: Key, Type: secret}]"))
    node.api("PUT", "/secrets/any", {"value": "s3cr3t-v4lue"})
    node.api("PUT", "/secrets/this", {"value": "s3cr3t-v4lue", "tools": ["probe"]})
    wish: dict[str, object] = {"tool": "probe", "command": "Write", "arguments": ["@keyring:any"]}
    own = node.api("POST", "/schedules", wish | {"cron": "daily"})
    wanted: dict[tuple[str, str], dict[str, object]] = {
        ("POST", "/runs"): wish,
        ("POST", "/schedules"): wish | {"cron": "daily"},
        ("PATCH", f"/schedules/{own['id']}"): {"publish": True},
    }
    for (method, path), body in wanted.items():
        refused = ask(cluster.context("beta"), others(node), method, f"/api/v1{path}", json.dumps(body).encode())
        assert (refused.status, refused.json["code"]) == (422, "bad-arguments")
        assert "'any' of node 'alpha' is not for the tool 'probe' when it is node 'beta'" in refused.json["detail"]
    for path in ("/runs", "/schedules"):
        body = wanted["POST", path] | {"arguments": ["@keyring:this"]}
        taken = ask(cluster.context("beta"), others(node), "POST", f"/api/v1{path}", json.dumps(body).encode())
        assert taken.json["asked_by"] == "beta"
    taken = node.api("PATCH", f"/schedules/{taken.json['id']}", {"cron": "weekly"})
    assert taken["asked_by"] == "beta"
    assert node.api("PATCH", f"/schedules/{taken['id']}", {"arguments": ["@keyring:any"]})["asked_by"] is None

    path = f"/api/v1/runs/{node.api('GET', '/runs')['items'][0]['id']}/publish"
    refused = ask(cluster.context("beta"), others(node), "POST", path, b'{"despite_secret": true}')
    assert (refused.status, "for the owner of the node" in refused.json["detail"]) == (403, True)


def test_no_header_says_who_asks_and_no_web_page_may(node: Serving, cluster: Authority) -> None:
    port = others(node)
    pretending = {"X-Peer": "beta", "MAO-Asked-By": "beta", "X-SSL-Client-CN": "beta", "X-Forwarded-For": "127.0.0.1"}
    assert ask(cluster.context(None), port, "GET", "/api/v1/tools", headers=pretending).status == 403
    assert node.request("GET", "/api/v1/tools", headers=pretending).status == 200
    of_a_page = ask(cluster.context("beta"), port, "GET", "/api/v1/tools", headers={"Origin": "https://127.0.0.1"})
    assert of_a_page.json["code"] == "foreign-origin"
    assert ask(cluster.context("beta"), port, "GET", "/api/v1/tools", headers={"Host": "elsewhere"}).status == 200


def test_bodies_have_the_same_limits_as_elsewhere(node: Serving, cluster: Authority) -> None:
    port = others(node)
    for context, path in ((cluster.context("beta"), "/api/v1/runs"), (cluster.context(None), JOIN)):
        refused = ask(context, port, "POST", path, b"[" + b"1," * 1_100_000 + b"1]")
        assert (refused.status, "bytes" in refused.json["detail"]) == (422, True)


def refused(context: ssl.SSLContext, port: int) -> bool:
    try:
        ask(context, port, "GET", "/healthz")
    except OSError:  # so says TLS, before anything is answered
        return True
    return False


def test_a_certificate_of_another_authority_or_one_that_has_expired_is_refused(
    node: Serving, cluster: Authority, tmp_path: Path
) -> None:
    port = others(node)
    foreign = cluster.context(None)
    foreign.load_cert_chain(*Authority(tmp_path / "other").signed("beta"))
    assert refused(foreign, port)
    late = cluster.context(None)
    late.load_cert_chain(*expired(cluster, "beta"))
    assert refused(late, port)
    assert not refused(cluster.context("beta"), port)


def test_without_tls_nothing_is_answered(node: Serving) -> None:
    with socket.create_connection(("127.0.0.1", others(node)), timeout=PATIENCE) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: alpha\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)


def test_strangers_who_say_nothing_hold_nobody_up(node: Serving, cluster: Authority) -> None:
    port, stranger = others(node), cluster.context(None)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    half = [
        stranger.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        for _ in range(peers._STRANGERS)
    ]
    half[0].sendall(b"GET /healthz HTTP/1.1\r\nHost:")
    assert refused(stranger, port)
    assert ask(cluster.context("beta"), port, "GET", "/api/v1/tools").status == 200
    half.pop().close()
    for connection in [*silent, *half]:
        connection.close()


def test_heads_without_end_are_cut_off(node: Serving, cluster: Authority) -> None:
    raw = socket.create_connection(("127.0.0.1", others(node)), timeout=PATIENCE)
    with cluster.context(None).wrap_socket(raw) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"."):
            endless.sendall((b"X-More: " + b"x" * 10_000 + b"\r\n") * 5000)


def test_an_answer_may_take_longer_than_a_request(node: Serving, cluster: Authority) -> None:
    raw = socket.create_connection(("127.0.0.1", others(node)), timeout=PATIENCE)
    with cluster.context("beta").wrap_socket(raw) as connection:
        for _ in range(3):  # on one connection, one behind the other
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: alpha\r\n\r\n" * 2)
            answered = b""
            while answered.count(b'"ok"') < 2:
                answered += connection.recv(65536)


def bad(tmp_path: Path, cluster: Authority, **more: str) -> str:
    given = {key.replace("__", "."): text for key, text in flags(cluster).items()} | more
    config = settings(tmp_path / "home", **given)
    with pytest.raises(BadSetting) as error:
        server_context(config)
    with pytest.raises(BadSetting):
        client_context(config)
    return error.value.detail


def test_files_that_are_missing_or_wrong_are_told_at_the_start(tmp_path: Path, cluster: Authority) -> None:
    (tmp_path / "junk").write_text("junk")
    _, other = cluster.signed("beta")
    assert "cluster.ca" in bad(tmp_path, cluster, **{"cluster.ca": str(tmp_path / "absent")})
    assert "cluster.ca" in bad(tmp_path, cluster, **{"cluster.ca": str(tmp_path / "junk")})
    assert "cluster.certificate is not set" in bad(tmp_path, cluster, **{"cluster.certificate": ""})
    assert "cluster.certificate" in bad(tmp_path, cluster, **{"cluster.certificate": str(tmp_path / "junk")})
    assert "cluster.key" in bad(tmp_path, cluster, **{"cluster.key": str(other)})
    with (
        pytest.raises(BadSetting, match=r"cluster\.key"),
        serving(tmp_path / "home", **flags(cluster, MAO_CLUSTER__KEY=str(tmp_path / "absent"))),
    ):
        pass


def test_an_address_for_others_that_is_taken_names_its_setting(tmp_path: Path, cluster: Authority) -> None:
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(BadSetting, match=r"cluster\.listen"),
        serving(tmp_path / "home", **flags(cluster, MAO_CLUSTER__LISTEN=f"127.0.0.1:{port}")),
    ):
        pass
