from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mao import __version__, diagnosing, probing

if TYPE_CHECKING:
    from serving import Serving


def test_a_node_tells_what_it_finds_of_itself_and_of_its_machine(served: Serving) -> None:
    reply = served.over_tcp("GET", "/api/v1/health", token=served.token("read"))

    assert reply.status == 200
    health: Any = reply.json
    assert (health["node"], health["version"]) == ("alpha", __version__)
    findings = {finding.pop("check"): finding for finding in health["findings"]}
    assert [*findings] == [*probing.CHECKS, *diagnosing.CHECKS, "cluster"]
    assert findings["announced"] == {
        "result": "ok",
        "found": "'alpha', without an address: other nodes cannot ask it",
        "advice": "",
    }
    assert findings["executor"]["result"] == "warn"
    assert findings["cluster"]["found"] == "cluster.listen is not set: other nodes cannot ask this one"
    assert {finding["result"] for finding in findings.values()} <= {"ok", "warn"}


def test_a_node_of_the_cluster_is_asked_for_its_health_through_another(served: Serving) -> None:
    assert served.api("GET", "/nodes/ALPHA/api/health")["node"] == "alpha"
