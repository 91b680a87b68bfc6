from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.place import COUNTS, SCRIPTS, Mao, Place, opened
from peering import Authority
from support import bare, commit, eventually, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from support import ServedNode


def test_the_node_itself_is_listed_and_shown(place: Place) -> None:
    (listed,) = place.mao.json("node", "list")
    assert (listed["name"], listed["here"], listed["url"]) == ("alpha", True, None)
    assert listed["last_seen"] > listed["since"]
    table = place.mao.ok("node", "list")
    assert "alpha (here)" in table.stdout
    assert table.stderr == ""
    shown = place.mao.ok("node", "show", "ALPHA").stdout
    assert "url        none: other nodes cannot ask it" in shown
    commit = place.mao.json("tool", "show", "probe")["commit"]
    assert f"  probe at commit {commit}\n" in shown.replace("\ntools", "\n     ")


def test_a_node_that_is_not_there_ends_with_3_and_the_nearest_name(place: Place) -> None:
    for done in (place.mao("node", "show", "alpa"), place.mao("run", "list", "--node", "alpa")):
        assert done.returncode == 3
        assert "No node 'alpa' is in the cluster now; did you mean 'alpha'?" in done.stderr


def test_a_node_can_be_asked_by_its_own_name(place: Place) -> None:
    assert place.mao.json("tool", "installed", "--node", "alpha") == place.mao.json("tool", "installed")


@pytest.fixture
def nodes(tmp_path: Path, etcd: EtcdCluster, serve: Callable[..., ServedNode]) -> tuple[Mao, ServedNode]:
    """The command line of the node alpha, and the node beta, which takes runs from alpha and has the tool."""
    etcd.empty()
    authority = Authority(tmp_path / "authority")
    shared = {"MAO_REGISTRY__URL": etcd.url}
    alpha = serve("alpha", **shared, **authority.settings("alpha"))
    beta = serve("beta", **shared, **authority.settings("beta", MAO_CLUSTER__RUNS_FROM="alpha"))
    remote = bare(tmp_path / "remotes" / "data.git")
    tool = tmp_path / "remotes" / "probe"
    commit(tool, tool_files(remote, scripts=SCRIPTS, arguments=COUNTS, installer="echo preparing\n"))
    alpha.api("POST", "/tools", {"url": str(tool)})
    mao = Mao(alpha)
    eventually(lambda: len(mao.json("node", "list")) == 2)
    return mao, beta


def test_a_tool_is_installed_run_and_looked_after_on_another_node(
    nodes: tuple[Mao, ServedNode], tmp_path: Path, gate: Path
) -> None:
    mao, _beta = nodes
    installed = mao.ok("tool", "install", "--node", "beta", "probe")
    assert "preparing" in installed.stderr
    assert "'mao tool help probe --node beta' shows what it can do." in installed.stderr
    assert mao.json("tool", "installed") == []
    assert [tool["tool"] for tool in mao.json("tool", "installed", "--node", "beta")] == ["probe"]
    eventually(lambda: list(mao.json("node", "show", "beta")["tools"]) == ["probe"])

    done = mao.ok("tool", "run", "--node", "beta", "probe", "Write", "--wait", "--", "from afar")
    assert done.stdout == "written\n"
    assert list(published(tmp_path / "remotes" / "data.git").values()) == ["from afar"]
    (run,) = mao.json("run", "list", "--node", "beta")
    assert (run["node"], run["asked_by"]) == ("beta", "alpha")
    assert "beta, asked by node alpha" in mao.ok("run", "show", "--node", "beta", run["id"]).stdout
    assert mao.json("run", "list") == []

    live = mao.start("tool", "run", "--node", "beta", "probe", "Gate", "--wait", "--", str(gate))
    assert live.stdout is not None
    assert live.stdout.readline() == "line 1\n"
    opened(gate, "1", "2", "3")
    assert live.communicate()[0] == "line 2\nline 3\nover\n"
    assert live.returncode == 0

    (gate / "3").unlink()
    started = mao.ok("tool", "run", "--node", "beta", "probe", "Gate", "--", str(gate))
    assert f"'mao run log -f {started.stdout.strip()} --node beta' follows it" in started.stderr
    cancelled = mao.json("run", "cancel", "--node", "beta", started.stdout.strip())
    assert cancelled["state"] == "cancelled"
    assert mao("tool", "run", "--node", "beta", "probe", "Fail", "--wait").returncode == 8


def test_the_log_goes_on_while_the_other_node_is_started_again(nodes: tuple[Mao, ServedNode], gate: Path) -> None:
    mao, beta = nodes
    mao.ok("tool", "install", "--node", "beta", "probe")
    live = mao.start("tool", "run", "--node", "beta", "probe", "Gate", "--wait", "--", str(gate))
    assert live.stdout is not None
    assert live.stdout.readline() == "line 1\n"
    beta.stop()  # its entry in the registry is gone, until it is back
    opened(gate, "1")
    beta.start()
    opened(gate, "2", "3")
    out, err = live.communicate()
    assert out == "line 2\nline 3\nover\n"
    assert live.returncode == 0, err


def test_the_other_node_decides_and_says_by_which_setting(nodes: tuple[Mao, ServedNode]) -> None:
    _mao, beta = nodes
    other = Mao(beta)
    eventually(lambda: len(other.json("node", "list")) == 2)
    refused = other("tool", "install", "--node", "alpha", "probe")
    assert refused.returncode == 7
    assert "Node 'alpha' takes no runs from node 'beta': its cluster.runs_from" in refused.stderr
    assert other("tool", "withdraw", "--node", "alpha", "probe").returncode == 7
    assert other.json("run", "list", "--node", "alpha") == []


def test_the_doctor_asks_the_node_where_others_ask_it(nodes: tuple[Mao, ServedNode]) -> None:
    mao, _ = nodes
    findings = {finding["check"]: finding for finding in json.loads(mao.ok("doctor", "-o", "json").stdout)}
    url = mao.node.settings["MAO_CLUSTER__URL"]
    assert (findings["announced"]["result"], findings["announced"]["found"]) == ("ok", f"'alpha', at {url}")
    assert (findings["cluster"]["result"], findings["cluster"]["found"]) == ("ok", f"{url} answers with 200")
    elsewhere = mao("doctor", "-o", "json", MAO_CLUSTER__URL="https://127.0.0.1:1")
    findings = {finding["check"]: finding for finding in json.loads(elsewhere.stdout)}
    assert elsewhere.returncode == 1
    assert "does not answer at https://127.0.0.1:1" in findings["cluster"]["found"]
