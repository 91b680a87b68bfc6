from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from mao import __version__
from mao.run import RunState
from mao.schedule import WAITING, Outcome, ScheduleState, Slot
from mao.values import now

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving


def measured(node: Serving) -> dict[tuple[str, str], float]:
    reply = node.request("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, sample.labels.get("state") or sample.labels.get("outcome", "")): sample.value
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

    told = {gauge: {state for name, state in found if name == gauge} for gauge, _ in found}
    assert told["mao_runs"] == set(RunState)
    assert told["mao_schedules"] == set(ScheduleState)
    assert told["mao_slots"] == {*Outcome, WAITING}
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


def test_schedules_and_slots_are_counted_by_what_became_of_them(served: Serving, tool: Path) -> None:
    served.install(tool)
    body = {"tool": "probe", "command": "Write", "cron": "monthly"}
    schedules = [served.api("POST", "/schedules", body)["id"] for _ in range(3)]
    served.api("POST", f"/schedules/{schedules[0]}/pause")
    served.api("DELETE", f"/schedules/{schedules[1]}")
    for month, outcome in enumerate((Outcome.RAN, Outcome.RAN, Outcome.MISSED), 1):
        at = datetime(2026, month, 1, tzinfo=UTC)
        slot = Slot(
            schedule=schedules[0], planned=at, due_at=at, tool="probe", node="alpha", outcome=outcome, over=True
        )
        served.node.store.save(slot)

    found = measured(served)

    assert [found["mao_schedules", state] for state in ("active", "paused", "removed")] == [1, 1, 1]
    assert (found["mao_slots", "ran"], found["mao_slots", "missed"], found["mao_slots", "paused"]) == (2, 1, 0)
