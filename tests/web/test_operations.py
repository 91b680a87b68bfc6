from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from mao import __version__
from mao.run import RunState
from mao.values import now

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving


def measured(node: Serving) -> dict[tuple[str, str], float]:
    reply = node.request("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def test_a_node_that_serves_lives_and_is_ready(served: Serving) -> None:
    before = now()
    health = served.request("GET", "/healthz").json
    assert before <= datetime.fromisoformat(health.pop("time")) <= now()
    assert health == {"status": "ok", "version": __version__, "node": "alpha"}
    assert served.request("GET", "/readyz").json == {"status": "ready", "node": "alpha"}


def test_every_state_is_counted_from_the_beginning(served: Serving) -> None:
    found = measured(served)

    assert {state for name, state in found if name == "mao_runs"} == {state.value for state in RunState}
    assert set(found.values()) == {0}


def test_runs_and_installations_are_counted_by_their_states(served: Serving, tool: Path, remote: Path) -> None:
    served.install(tool)
    for _ in range(2):
        served.ended(served.run("Write", "1"))
    remote.rename(remote.with_name("away"))
    waiting = served.ended(served.run("Write", "2"))

    found = measured(served)

    assert waiting["state"] == "unpublished"
    assert found["mao_installations", "installed"] == 1
    assert (found["mao_runs", "succeeded"], found["mao_runs", "unpublished"]) == (2, 1)
    assert found["mao_unpublished_oldest_timestamp_seconds", ""] > 1_700_000_000
