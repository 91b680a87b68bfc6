from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mao.schedule import Outcome, Slot
from mao.values import now, rfc3339
from serving import Serving, serving_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = datetime(2026, 3, 1, 6, tzinfo=UTC)
OUTCOMES = [Outcome.RAN, Outcome.MISSED, Outcome.PAUSED, Outcome.RAN, None]
CSV = {"Accept": "text/csv"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Shared by all tests: each looks only at the schedules that it adds."""
    with serving_probe(tmp_path_factory.mktemp("node")) as served:
        yield served


def added(node: Serving) -> str:
    body = {"tool": "probe", "command": "Write", "cron": "monthly"}
    return str(node.api("POST", "/schedules", body)["id"])


def put(node: Serving, schedule: str, planned: datetime, outcome: Outcome | None, **more: Any) -> Slot:
    slot = Slot(schedule=schedule, planned=planned, due_at=planned, tool="probe", node="alpha", outcome=outcome, **more)
    node.node.store.save(slot)
    return slot


@pytest.fixture
def ledger(node: Serving) -> str:
    """A schedule whose ledger has a slot for each of `OUTCOMES`, one a day, from `FIRST` on."""
    schedule = added(node)
    for day, outcome in enumerate(OUTCOMES):
        # So that it stays as it is: the node would give an outcome to one that waits for its turn.
        more: dict[str, Any] = {"over": True, "detail": 'a "note",\nof two lines'} if outcome else {"over": True}
        put(node, schedule, FIRST + timedelta(days=day), outcome, **more)
    return schedule


def days(page: Any) -> list[int]:
    return [int(slot["planned"][8:10]) for slot in page["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("?order=oldest", [1, 2, 3, 4, 5]),
        ("?outcome=ran", [4, 1]),
        ("?outcome=waiting", [5]),
        ("?outcome=ran-late", []),
        ("?since=2026-03-02", [5, 4, 3, 2]),
        ("?until=2026-03-02", [2, 1]),
        ("?since=2026-03-02T06:00:00Z&until=2026-03-03T05:59:59.999Z", [2]),
        ("?since=2026-03-02T06:00:00.001Z&until=2026-03-03T08:00:00%2B02:00&order=oldest", [3]),
        ("?since=2026-03-02&until=2026-03-04&outcome=ran", [4]),
        ("?since=2026-03-05&until=2026-03-01", []),
    ],
)
def test_the_ledger_is_filtered_by_outcome_and_time(node: Serving, ledger: str, query: str, found: list[int]) -> None:
    assert days(node.api("GET", f"/schedules/{ledger}/slots{query}")) == found


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_the_ledger_comes_in_pages(node: Serving, ledger: str, order: str) -> None:
    path = f"/schedules/{ledger}/slots?page_size=2&order={order}&since=2026-03-02"
    first = node.api("GET", path)
    second = node.api("GET", f"{path}&page_token={first['next_page_token']}")

    assert days(first) + days(second) == ([5, 4, 3, 2] if order == "newest" else [2, 3, 4, 5])
    assert second["next_page_token"] is None


@pytest.mark.parametrize(
    "query", ["outcome=perhaps", "since=yesterday", "until=2026-13-01", "order=odd", "until=9999-12-31T23:00:00-05:00"]
)
def test_a_filter_that_is_none_is_refused(node: Serving, ledger: str, query: str) -> None:
    assert node.request("GET", f"/api/v1/schedules/{ledger}/slots?{query}").json["code"] == "bad-body"


def test_each_ledger_is_that_of_one_schedule(node: Serving, ledger: str) -> None:
    assert days(node.api("GET", f"/schedules/{added(node)}/slots")) == []
    assert len(days(node.api("GET", f"/schedules/{ledger}/slots"))) == len(OUTCOMES)


def test_the_newest_slot_is_shown_with_its_schedule(node: Serving, ledger: str) -> None:
    shown = node.api("GET", f"/schedules/{ledger}")["last_slot"]
    assert shown == node.api("GET", f"/schedules/{ledger}/slots?page_size=1")["items"][0]


def test_the_ledger_is_a_table_for_programs_that_take_one(node: Serving, ledger: str) -> None:
    reply = node.request("GET", f"/api/v1/schedules/{ledger}/slots?order=oldest", headers=CSV)

    assert reply.headers["content-type"].startswith("text/csv; charset=utf-8")
    rows = list(csv.DictReader(reply.body.decode().splitlines(keepends=True)))
    assert [row["outcome"] for row in rows] == ["ran", "missed", "paused", "ran", ""]
    assert rows[0]["detail"] == 'a "note",\nof two lines'
    assert (rows[0]["planned"], rows[0]["started_at"]) == (rfc3339(FIRST), "")
    assert (rows[0]["over"], rows[0]["runs"]) == ("true", "")
    filtered = node.request("GET", f"/api/v1/schedules/{ledger}/slots?outcome=missed", headers=CSV)
    assert filtered.body.count(b"\r\n") == 2


def test_a_table_has_all_slots_however_many(node: Serving) -> None:
    schedule = added(node)
    planned = [FIRST + timedelta(seconds=second) for second in range(1203)]
    made = [
        Slot(schedule=schedule, planned=at, due_at=at, tool="probe", node="alpha", outcome=Outcome.RAN, over=True)
        for at in planned
    ]
    node.node.store.save(*made)

    reply = node.request("GET", f"/api/v1/schedules/{schedule}/slots", headers=CSV)

    rows = list(csv.DictReader(reply.body.decode().splitlines()))
    assert [row["planned"] for row in rows] == [rfc3339(at) for at in reversed(planned)]


def test_a_rule_is_previewed_before_it_is_a_schedule(node: Serving) -> None:
    query = "cron=30+6+*+*+mon&timezone=Europe/Berlin&count=3"
    found = node.api("GET", f"/schedules/preview?{query}")["items"]

    assert {firing["local"][11:19] for firing in found} == {"06:30:00"}
    assert {datetime.fromisoformat(firing["planned"]).weekday() for firing in found} == {0}
    for wrong in ("cron=often", "cron=daily&timezone=Mars/Base"):
        assert node.request("GET", f"/api/v1/schedules/preview?{wrong}").json["code"] == "bad-schedule"
    for wrong in ("", "cron=daily&count=0"):
        assert node.request("GET", f"/api/v1/schedules/preview?{wrong}").json["code"] == "bad-body"


def test_a_preview_tells_what_daylight_saving_time_does(node: Serving) -> None:
    query = "cron=30+2+31+3+*&timezone=Europe/Zurich&count=40"
    found = node.api("GET", f"/schedules/preview?{query}")["items"]
    # The last day of March is a Sunday, on which the clocks go from 2 to 3, several times in 40 years.
    assert {firing["local"][5:16] for firing in found if firing["note"]} == {"03-31 03:00"}
    assert {firing["local"][5:16] for firing in found if not firing["note"]} == {"03-31 02:30"}


def test_a_schedule_is_previewed_as_it_will_be_due(node: Serving) -> None:
    schedule = added(node)
    found = node.api("GET", f"/schedules/{schedule}/preview?count=2")["items"]
    assert found[0]["due_at"] == node.api("GET", f"/schedules/{schedule}")["next_at"]
    assert [firing["planned"][8:16] for firing in found] == ["01T00:00"] * 2
    node.api("DELETE", f"/schedules/{schedule}")
    assert node.api("GET", f"/schedules/{schedule}/preview")["items"] == []


def test_what_went_wrong_of_late_is_counted(node: Serving, ledger: str) -> None:
    paused = added(node)
    node.api("POST", f"/schedules/{paused}/pause")
    for minutes in (1, 2):
        put(node, ledger, now() - timedelta(minutes=minutes), Outcome.TOOL_MISSING, over=True)
    put(node, paused, now(), Outcome.PAUSED, over=True)

    summary = node.api("GET", "/schedules/summary")

    assert summary["schedules"]["paused"] == 1
    assert summary["schedules"]["active"] >= 1
    assert summary["troubled"] == [
        {"schedule": ledger, "tool": "probe", "command": "Write", "outcome": "tool-missing", "slots": 2}
    ]
