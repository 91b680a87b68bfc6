from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from mao.values import rfc3339
from serving import Serving, follow, serving
from support import EVERY_SECOND, WRITE, bare, commit, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAN = {"tool": "probe", "command": "Write", "cron": "monthly"}
SCRIPTS = {"Write": WRITE, "Slot": 'printf %s "$MAO_SLOT" > "$MAO_DATA_DIR/$MAO_RUN_ID"\n'}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare(tmp_path_factory.mktemp("remotes") / "data.git")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, remote: Path) -> Iterator[Serving]:
    """Shared by all tests: each looks only at the schedules that it adds."""
    directory = tmp_path_factory.mktemp("node")
    commit(directory / "probe", tool_files(remote, scripts=SCRIPTS))
    allowed = "Lateness: {Backfill: allowed}"
    commit(directory / "late", tool_files(remote, name="late", scripts=SCRIPTS, more=allowed))
    with serving(directory / "home") as served:
        served.install(directory / "probe")
        served.install(directory / "late", "late")
        yield served


def added(node: Serving, **more: Any) -> Any:
    return node.api("POST", "/schedules", PLAN | more)


def ids(page: Any) -> list[str]:
    return [schedule["id"] for schedule in page["items"]]


def test_a_schedule_is_added_and_shown_with_its_next_slot(node: Serving) -> None:
    body = {
        "tool": "PROBE",
        "command": "Write",
        "arguments": {"A2": "a.txt", "A1": "1"},
        "cron": "30 6 * * mon-fri",
        "timezone": "Europe/Berlin",
        "publish": True,
        "overlap": "queue-one",
        "spread": {"kind": "poisson", "seconds": 60},
        "retries": 2,
        "retry_pause": 30,
    }

    reply = node.request("POST", "/api/v1/schedules", body)

    assert (reply.status, reply.headers["location"]) == (201, f"/api/v1/schedules/{reply.json['id']}")
    assert {name: reply.json[name] for name in body} == body | {"tool": "probe"}
    assert (reply.json["state"], reply.json["node"], reply.json["last_slot"]) == ("active", "alpha", None)
    assert reply.json["next_at"] > reply.json["created_at"]
    shown = node.request("GET", reply.headers["location"])
    assert (shown.json, shown.headers["etag"]) == (reply.json, reply.headers["etag"])


def test_a_schedule_has_modest_defaults(node: Serving) -> None:
    schedule = added(node)

    given = {name: schedule[name] for name in ("arguments", "timezone", "publish", "overlap", "spread", "retries")}
    assert given == {
        "arguments": [],
        "timezone": "UTC",
        "publish": False,
        "overlap": "skip",
        "spread": None,
        "retries": 0,
    }


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"tool": "prob"}, 404, "not-installed", "did you mean 'probe'"),
        ({"command": "Wirte"}, 404, "command-not-found", "did you mean 'Write'"),
        ({"arguments": ["1", "2", "3"]}, 422, "bad-arguments", ""),
        ({"cron": "hourly-ish"}, 422, "bad-schedule", "hourly-ish"),
        ({"cron": "61 * * * *"}, 422, "bad-schedule", "61"),
        ({"timezone": "Europe/Neuchatel"}, 422, "bad-schedule", "Europe/Neuchatel"),
        ({"overlap": "maybe"}, 422, "bad-body", "overlap"),
        ({"spread": {"kind": "offset", "seconds": -1}}, 422, "bad-body", "spread"),
        ({"retries": 21}, 422, "bad-schedule", "retries"),
        ({"retry_pause": 0}, 422, "bad-schedule", "retry_pause"),
        ({"frequency": "daily"}, 422, "bad-body", "frequency"),
        ({"cron": None}, 422, "bad-body", "cron"),
    ],
)
def test_what_cannot_be_scheduled_adds_nothing(
    node: Serving, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    before = node.api("GET", "/schedules?page_size=500")

    reply = node.request("POST", "/api/v1/schedules", PLAN | body)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert words in reply.json["detail"]
    assert ids(node.api("GET", "/schedules?page_size=500")) == ids(before)


def test_a_key_adds_one_schedule_however_often_it_comes(node: Serving) -> None:
    found: list[str] = []

    def add() -> None:
        found.append(node.request("POST", "/api/v1/schedules", PLAN, {"Idempotency-Key": "one"}).json["id"])

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(found), len(set(found))) == (8, 1)
    other = node.request("POST", "/api/v1/schedules", PLAN | {"cron": "daily"}, {"Idempotency-Key": "one"})
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")


def test_what_is_due_is_run_and_told_as_it_happens(node: Serving, remote: Path) -> None:
    events = follow(node, "/events")
    next(events)
    schedule = added(node, command="Slot", cron=EVERY_SECOND)

    told: set[str] = set()
    while not told >= {"schedule", "slot", "run"}:
        told.add(next(events).event)
    ran = node.slots(schedule["id"], "ran")
    node.api("DELETE", f"/schedules/{schedule['id']}")

    slot = ran[-1]
    run = node.ended({"id": slot["runs"][0]})
    assert (run["schedule"], run["slot"], run["state"]) == (schedule["id"], slot["planned"], "succeeded")
    assert run["publication"]["state"] == "kept"
    node.api("POST", f"/runs/{run['id']}/publish")
    node.finished(run, "succeeded")
    assert published(remote)[run["id"]] == slot["planned"]


def test_schedules_are_listed_in_pages_and_by_filters(node: Serving) -> None:
    mine = [added(node, tool="late")["id"] for _ in range(3)]
    node.api("POST", f"/schedules/{mine[0]}/pause")
    node.api("DELETE", f"/schedules/{mine[1]}")

    first = node.api("GET", "/schedules?tool=LATE&page_size=1")
    second = node.api("GET", f"/schedules?tool=late&page_size=1&page_token={first['next_page_token']}")

    assert (ids(first), ids(second), second["next_page_token"]) == ([mine[0]], [mine[2]], None)
    assert ids(node.api("GET", "/schedules?tool=late&state=paused")) == [mine[0]]
    removed = node.api("GET", "/schedules?tool=late&state=removed")
    assert (ids(removed), removed["items"][0]["next_at"]) == ([mine[1]], None)
    assert node.request("GET", "/api/v1/schedules?state=asleep").json["code"] == "bad-body"


def test_an_edit_changes_what_it_names(node: Serving) -> None:
    schedule = added(node, arguments=["1"], spread={"kind": "offset", "seconds": 5})

    edited = node.api("PATCH", f"/schedules/{schedule['id']}", {"cron": "daily", "spread": None, "publish": True})

    changed = {name for name, value in edited.items() if schedule[name] != value}
    assert changed <= {"cron", "spread", "publish", "changed_at", "reckoned_until", "next_at"}
    assert (edited["cron"], edited["spread"], edited["publish"]) == ("daily", None, True)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({}, 422, "bad-body"),
        ({"tool": "late"}, 422, "bad-body"),
        ({"anywhere": True}, 422, "bad-body"),
        ({"cron": None}, 422, "bad-schedule"),
        ({"cron": "never"}, 422, "bad-schedule"),
        ({"timezone": "Mars/Base"}, 422, "bad-schedule"),
        ({"arguments": ["1", "2", "3"]}, 422, "bad-arguments"),
        ({"command": "Wrote"}, 404, "command-not-found"),
    ],
)
def test_an_edit_that_cannot_be_changes_nothing(node: Serving, changes: dict[str, Any], status: int, code: str) -> None:
    schedule = added(node)

    reply = node.request("PATCH", f"/api/v1/schedules/{schedule['id']}", changes)

    assert (reply.status, reply.json["code"]) == (status, code)
    assert node.api("GET", f"/schedules/{schedule['id']}") == schedule


def test_what_has_changed_since_it_was_read_is_not_changed(node: Serving) -> None:
    path = f"/api/v1/schedules/{added(node)['id']}"
    old = node.request("GET", path).headers["etag"]
    new = node.request("POST", f"{path}/pause", {"note": "first"}, {"If-Match": old}).headers["etag"]

    for method, verb, body in (
        ("PATCH", "", {"cron": "daily"}),
        ("DELETE", "", None),
        ("POST", "/pause", {"note": "second"}),
        ("POST", "/resume", None),
    ):
        refused = node.request(method, path + verb, body, {"If-Match": old})
        assert (refused.status, refused.json["code"]) == (409, "stale-revision")
    assert node.request("GET", path).json["note"] == "first"
    assert node.request("DELETE", path, None, {"If-Match": new}).status == 204


def test_a_pause_has_a_note_until_it_is_resumed(node: Serving) -> None:
    schedule = added(node)

    paused = node.api("POST", f"/schedules/{schedule['id']}/pause", {"note": "calibration"})
    resumed = node.api("POST", f"/schedules/{schedule['id']}/resume")

    assert (paused["state"], paused["note"], paused["next_at"]) == ("paused", "calibration", schedule["next_at"])
    assert (resumed["state"], resumed["note"]) == ("active", None)
    assert node.api("POST", f"/schedules/{schedule['id']}/pause")["note"] is None


def test_a_schedule_that_was_removed_stays_known_and_changes_no_more(node: Serving) -> None:
    path = f"/schedules/{added(node)['id']}"
    node.api("DELETE", path, status=204)

    assert node.api("GET", path)["state"] == "removed"
    assert node.api("GET", f"{path}/slots")["items"] == []
    for method, verb, body in (
        ("PATCH", "", {"cron": "daily"}),
        ("DELETE", "", None),
        ("POST", "/pause", {}),
        ("POST", "/resume", None),
    ):
        refused = node.request(method, f"/api/v1{path}{verb}", body)
        assert (refused.status, refused.json["code"]) == (409, "schedule-ended")


@pytest.mark.parametrize("schedule_id", ["x", "019a0000-0000-7000-8000-000000000000", "a%00b"])
def test_a_schedule_that_is_unknown_is_a_404(node: Serving, schedule_id: str) -> None:
    span = {"from": "2026-01-01", "to": "2026-01-02"}
    for method, verb, body in (
        ("GET", "", None),
        ("GET", "/slots", None),
        ("GET", "/preview", None),
        ("PATCH", "", {"cron": "daily"}),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/backfill", span),
    ):
        reply = node.request(method, f"/api/v1/schedules/{schedule_id}{verb}", body)
        assert (reply.status, reply.json["code"]) == (404, "schedule-not-found"), (method, verb)


def test_slots_of_the_past_are_run_on_request_where_the_tool_allows_it(node: Serving) -> None:
    span = {"from": "2026-03-01", "to": "2026-03-03"}
    refused = node.request("POST", f"/api/v1/schedules/{added(node)['id']}/backfill", span)
    assert (refused.status, refused.json["code"]) == (409, "backfill-refused")
    schedule = added(node, tool="late", cron="daily")

    reply = node.request("POST", f"/api/v1/schedules/{schedule['id']}/backfill", span)

    assert (reply.status, reply.headers["location"]) == (202, f"/api/v1/schedules/{schedule['id']}/slots")
    assert [slot["planned"][:10] for slot in reply.json["items"]] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    for slot in reply.json["items"]:
        assert node.ended({"id": slot["backfill"]})["slot"] == slot["planned"]
    assert node.api("POST", f"/schedules/{schedule['id']}/backfill", span)["items"] == []
    for wrong in ({"from": "2026-03-01"}, {"from": "yesterday", "to": "2026-03-02"}):
        assert node.request("POST", f"/api/v1/schedules/{schedule['id']}/backfill", wrong).json["code"] == "bad-body"


def test_schedules_change_their_etag_with_their_rule_and_not_with_their_slots(node: Serving) -> None:
    schedule = added(node, command="Slot", cron=EVERY_SECOND)
    path = f"/api/v1/schedules/{schedule['id']}"
    before = node.request("GET", path).headers["etag"]

    node.slots(schedule["id"], "ran")

    assert node.request("GET", path).headers["etag"] == before
    last = node.request("GET", path).json["last_slot"]
    assert last["planned"] <= rfc3339(node.node.clock())
    assert node.request("DELETE", path, None, {"If-Match": before}).status == 204
