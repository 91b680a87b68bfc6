from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from support import git, published

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving


def test_the_eight_endpoints_do_what_they_always_did(served: Serving, tool: Path, remote: Path) -> None:
    assert [served.request("GET", path).json for path in ("/regtools", "/datasets", "/installed")] == [[], [], []]

    registered = served.request("POST", "/register", {"name": "probe", "url": str(tool)})
    assert registered.status == 201
    assert registered.json == {"name": "probe", "url": str(tool), "commit": git("rev-parse", "HEAD", cwd=tool)}
    assert served.request("GET", "/regtools").json == ["probe"]
    assert served.request("GET", "/datasets").json == ["probe-data"]

    asked = served.request("POST", "/install", {"name": "probe"})
    assert (asked.status, asked.headers["location"]) == (202, "/api/v1/installations/probe")
    assert asked.json == {"name": "probe", "state": "installing", "location": asked.headers["location"]}
    served.installed()
    assert served.request("GET", "/installed").json == ["probe"]

    helped = served.request("POST", "/help", {"name": "probe"})
    assert (helped.status, helped.json) == (200, served.api("GET", "/installations/probe/help"))

    body = {"name": "probe", "command": "Write", "arguments": ["42", "a.txt"], "cron": False, "frequency": ""}
    started = served.request("POST", "/run", body)
    assert (started.status, started.headers["location"]) == (202, f"/api/v1/runs/{started.json['id']}")
    assert served.ended(started.json)["state"] == "succeeded"
    assert published(remote) == {"a.txt": "42"}

    retrieved = served.request("POST", "/retrieve", {"name": "probe-data"})
    assert (retrieved.status, retrieved.headers["location"]) == (202, "/api/v1/clones/probe-data")
    assert retrieved.json["state"] == "cloning"
    assert served.api("GET", "/clones/probe-data", Prefer="wait=60")["state"] == "ready"


def test_arguments_may_be_absent_null_or_by_name(served: Serving, tool: Path) -> None:
    served.install(tool)

    given: tuple[dict[str, object], ...] = ({}, {"arguments": None}, {"arguments": []}, {"arguments": {"A1": "1"}})
    for arguments in given:
        started = served.request("POST", "/run", {"name": "probe", "command": "Write"} | arguments)
        assert started.status == 202
        assert served.ended(started.json)["state"] == "succeeded"


def test_what_failed_is_not_called_done(served: Serving, tool: Path) -> None:
    served.install(tool)
    before = served.count()
    run = {"name": "probe", "command": "Write", "arguments": [], "cron": True}

    asked = [
        ("register", {"name": "probe", "url": str(tool)}, 409, "name-taken"),
        ("register", {"name": "other", "url": str(tool)}, 409, "name-differs"),
        ("register", {"name": "x", "url": f"{tool}-gone"}, 502, "remote-refused"),
        ("register", {"url": str(tool)}, 422, "bad-body"),
        ("install", {"name": "prope"}, 404, "tool-not-found"),
        ("help", {"name": "prope"}, 404, "not-installed"),
        ("run", {"name": "prope", "command": "Write", "arguments": []}, 404, "not-installed"),
        ("run", {"name": "probe", "command": "Wrote", "arguments": []}, 404, "command-not-found"),
        ("run", {"name": "probe", "command": "Write", "arguments": ["1", "2", "3"]}, 422, "bad-arguments"),
        ("run", run, 422, "bad-body"),
        ("run", run | {"frequency": None}, 422, "bad-body"),
        ("run", run | {"frequency": ""}, 422, "bad-body"),
        ("run", run | {"frequency": "hourly"}, 422, "bad-body"),
        ("run", run | {"frequency": "0 6 * * *"}, 422, "bad-body"),
        ("run", run | {"frequency": "daily", "name": "prope"}, 404, "not-installed"),
        ("run", run | {"frequency": "daily", "command": "Wrote"}, 404, "command-not-found"),
        ("run", run | {"frequency": "daily", "arguments": ["1", "2", "3"]}, 422, "bad-arguments"),
        ("retrieve", {"name": "probe-dta"}, 404, "dataset-not-found"),
    ]
    for path, body, status, code in asked:
        reply = served.request("POST", f"/{path}", body)
        assert (reply.status, reply.json["code"]) == (status, code), (path, body)
    assert served.count() == before


def test_cron_adds_a_schedule_whose_data_is_not_pushed(served: Serving, tool: Path) -> None:
    served.install(tool)
    body = {"name": "probe", "command": "Write", "arguments": ["42"], "cron": True}

    for frequency, hour in (("daily", "T00:00:00"), ("weekly", "T00:00:00"), ("monthly", "01T00:00:00")):
        added = served.request("POST", "/run", body | {"frequency": frequency})

        assert (added.status, added.headers["location"]) == (202, f"/api/v1/schedules/{added.json['id']}")
        assert added.json == {"id": added.json["id"], "state": "active", "location": added.headers["location"]}
        schedule = served.request("GET", added.headers["location"]).json
        assert (schedule["cron"], schedule["timezone"], schedule["publish"]) == (frequency, "UTC", False)
        assert schedule["arguments"] == ["42"]
        assert schedule["next_at"][:19].endswith(hour)
        if frequency == "weekly":
            assert datetime.fromisoformat(schedule["next_at"]).isoweekday() == 7
    assert served.api("GET", "/runs")["items"] == []


def test_a_frequency_without_cron_counts_for_nothing(served: Serving, tool: Path) -> None:
    served.install(tool)
    started = served.request("POST", "/run", {"name": "probe", "command": "Write", "cron": False, "frequency": "daily"})
    assert started.headers["location"] == f"/api/v1/runs/{started.json['id']}"
    served.ended(started.json)
    assert served.api("GET", "/schedules")["items"] == []


def test_a_frequency_that_is_none_is_told_with_those_there_are(served: Serving) -> None:
    body = {"name": "probe", "command": "Write", "cron": True, "frequency": "hourly"}
    detail = served.request("POST", "/run", body).json["detail"]
    assert detail.startswith("With 'cron', 'frequency' must be one of daily, weekly, monthly; it is 'hourly'.")
    assert "Nothing was added" in detail
