from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.schedule import DAY, Outcome, Slot
from mao.values import now
from serving import Serving, serving_probe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving_probe(tmp_path_factory.mktemp("node")) as served:
        yield served


@pytest.fixture
def schedule(node: Serving) -> str:
    body = {"tool": "probe", "command": "Write", "cron": "monthly", "timezone": "Europe/Zurich"}
    return str(node.api("POST", "/schedules", body)["id"])


def test_the_calendar_has_a_day_for_each_that_is_asked_for(node: Serving, schedule: str) -> None:
    calendar = node.api("GET", f"/schedules/{schedule}/calendar")
    assert (calendar["schedule"], calendar["timezone"], len(calendar["days"])) == (schedule, "Europe/Zurich", 60)
    assert len(node.api("GET", f"/schedules/{schedule}/calendar?days=400")["days"]) == 400
    for days in ("0", "401", "x"):
        assert node.request("GET", f"/api/v1/schedules/{schedule}/calendar?days={days}").status == 422


def test_a_day_says_how_its_slots_went(node: Serving, schedule: str) -> None:
    planned = now() - DAY
    slot = Slot(schedule=schedule, planned=planned, due_at=planned, tool="probe", node="alpha", over=True)
    slot = slot.model_copy(update={"outcome": Outcome.MISSED})
    node.node.store.save(slot)
    yesterday, today = node.api("GET", f"/schedules/{schedule}/calendar?days=2")["days"]
    assert (today["slots"], today["results"], today["verdict"]) == (0, {}, "none")
    assert (yesterday["slots"], yesterday["results"], yesterday["verdict"]) == (1, {"missed": 1}, "missing")
    assert yesterday["ends"] == today["begins"]


def test_there_is_no_calendar_of_nothing(node: Serving) -> None:
    assert node.request("GET", "/api/v1/schedules/nothing/calendar").json["code"] == "schedule-not-found"
