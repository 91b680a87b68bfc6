from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from cli.place import another_tool
from cli.test_options import completed
from support import EVERY_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from cli.place import Place


def added(place: Place, *more: str, tool: str = "probe") -> str:
    return place.mao.ok("schedule", "add", tool, "Write", "--cron", "monthly", *more).stdout.strip()


def shown(place: Place, schedule: str) -> dict[str, str]:
    """What `show` says, by its labels."""
    lines = place.mao.ok("schedule", "show", schedule).stdout.splitlines()
    return {line[:11].strip(): line[11:] for line in lines}


def test_what_is_added_is_told_with_when_it_is_due_and_what_becomes_of_its_data(place: Place) -> None:
    done = place.mao.ok("schedule", "add", "probe", "Write", "--cron", "monthly", TZ="UTC")
    schedule = done.stdout.strip()
    assert re.search(r"probe Write is scheduled: monthly\. It is due next at \d{4}-\d\d-01 00:00:00\.", done.stderr)
    assert "committed on this node and not pushed: 'mao run publish RUN' pushes" in done.stderr
    assert shown(place, schedule)["data"] == "is committed on the node, and not pushed"
    pushed = place.mao.ok("schedule", "add", "probe", "Write", "--cron", "monthly", "--publish")
    assert "not pushed" not in pushed.stderr
    assert place.mao.json("schedule", "show", pushed.stdout.strip())["publish"] is True


def test_a_schedule_shows_all_that_it_was_told(place: Place) -> None:
    options = ("--timezone", "Europe/Berlin", "--overlap", "queue-one", "--spread", "10m", "--spread-as", "uniform")
    schedule = added(place, *options, "--retries", "2", "--retry-pause", "30", "--arg", "A1=it's")
    found = shown(place, schedule)
    assert (
        found
        | {
            "schedule": schedule,
            "state": "active",
            "arguments": 'A1 = "it\'s"',
            "rule": "monthly in Europe/Berlin",
            "last slot": "none yet",
            "overlap": "queue-one: a slot due while a run goes on is queued, one at a time; others are skipped",
            "spread": "uniform, at most 10 min 00 s",
            "retries": "2, the first after 30.0 s, then twice as long",
            "node": "alpha",
        }
        == found
    )


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        (["--cron", "often"], 2, "often"),
        ([], 2, "Give --cron"),
        (["--cron", "daily", "--timezone", "Mars/Base"], 2, "Mars/Base"),
        (["--cron", "daily", "--spread", "long"], 2, "must be a duration"),
        (["--cron", "daily", "--spread-as", "poisson"], 2, "--spread"),
        (["--cron", "daily", "--retries", "99"], 2, "--retries"),
        (["--cron", "daily", "--overlap", "fight"], 2, "--overlap"),
        (["--cron", "daily", "--arg", "A1=1", "--", "x"], 2, "not both"),
        (["--cron", "daily", "--", "1", "2"], 2, "2 arguments"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(place: Place, wrong: list[str], status: int, words: str) -> None:
    done = place.mao("schedule", "add", "probe", "Write", *wrong)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr


def test_schedules_are_listed_by_tool_and_state(place: Place, tmp_path: Path) -> None:
    place.node.install(another_tool(tmp_path, "listed"), "listed")
    first, second = added(place, tool="listed"), added(place, "--timezone", "Asia/Tokyo", tool="listed")
    place.mao.ok("schedule", "pause", first, "--note", "calibration")
    head, *lines = place.mao.ok("schedule", "list", "--tool", "LISTED").stdout.splitlines()
    assert head.split() == ["SCHEDULE", "STATE", "TOOL", "COMMAND", "RULE", "NEXT", "LAST", "SLOT"]
    assert [line.split()[:2] for line in lines] == [[first, "paused"], [second, "active"]]
    assert "monthly in Asia/Tokyo" in lines[1]
    assert shown(place, first)["state"] == "paused: calibration"
    place.mao.ok("schedule", "resume", first)
    done = place.mao.ok("schedule", "remove", first)
    assert f"mao schedule slots {first}" in done.stderr
    assert [each["id"] for each in place.mao.json("schedule", "list", "--tool", "listed")] == [second]
    assert [each["id"] for each in place.mao.json("schedule", "list", "--state", "removed", "--tool", "listed")] == [
        first
    ]
    assert shown(place, first)["next"] == "never"


def test_an_edit_changes_what_is_given_and_nothing_else(place: Place) -> None:
    schedule = added(place, "--spread", "1h", "--publish", "--", "old")
    before = place.mao.json("schedule", "show", schedule)
    done = place.mao.ok(
        "schedule", "edit", schedule, "--cron", "daily", "--spread", "none", "--no-publish", "--", "new"
    )
    assert "Changed: probe Write, daily. It is due next at" in done.stderr
    after = place.mao.json("schedule", "show", schedule)
    changed = {name: value for name, value in after.items() if before[name] != value}
    for name in ("changed_at", "reckoned_until", "next_at"):
        changed.pop(name, None)
    assert changed == {"cron": "daily", "spread": None, "publish": False, "arguments": ["new"]}
    other = place.mao.json("schedule", "edit", schedule, "--command", "Fail", "--no-arguments")
    assert (other["command"], other["arguments"]) == ("Fail", [])
    for wrong, status in (
        ([], 2),
        (["--cron", "often"], 2),
        (["--command", "Wrote"], 3),
        (["--no-arguments", "--", "1"], 2),
    ):
        assert place.mao("schedule", "edit", schedule, *wrong).returncode == status


def test_the_ledger_tells_what_became_of_each_slot(place: Place) -> None:
    schedule = place.mao.ok("schedule", "add", "probe", "Write", "--cron", EVERY_SECOND, "--", "1").stdout.strip()
    place.node.slots(schedule, "ran")
    place.mao.ok("schedule", "pause", schedule, "--note", "calibration")
    place.node.slots(schedule, "paused")
    place.mao.ok("schedule", "remove", schedule)

    head, *lines = place.mao.ok("schedule", "slots", schedule, "--limit", "0").stdout.splitlines()
    assert head.split() == ["PLANNED", "OUTCOME", "STARTED", "RUN", "DETAIL"]
    assert re.fullmatch(r"\S+ \S+ +paused +calibration", lines[0])
    ran = place.mao.json("schedule", "slots", schedule, "--outcome", "ran", "--since", "2026-01-01")
    assert lines[-1].split()[2:6:3] == ["ran", ran[-1]["runs"][0]]
    limited = place.mao.ok("schedule", "slots", schedule, "--limit", "1", "-o", "ndjson")
    assert json.loads(limited.stdout)["outcome"] == "paused"
    assert "--limit 10" in limited.stderr
    assert place.mao.json("schedule", "slots", schedule, "--until", "2026-01-01") == []
    run = place.mao.ok("run", "show", ran[-1]["runs"][0]).stdout
    assert re.search(rf"^slot +\S+ \S+ of schedule {schedule}$", run, re.MULTILINE)


def test_the_ledger_is_csv_for_other_programs(place: Place) -> None:
    schedule = place.mao.ok("schedule", "add", "probe", "Write", "--cron", EVERY_SECOND).stdout.strip()
    place.node.slots(schedule, "ran")
    place.mao.ok("schedule", "remove", schedule)

    done = place.mao.ok("schedule", "slots", schedule, "-o", "csv", "--outcome", "ran")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {(row["schedule"], row["outcome"]) for row in rows} == {(schedule, "ran")}
    assert place.mao("schedule", "slots", schedule, "-o", "csv", "--limit", "1").returncode == 2
    unknown = place.mao("schedule", "slots", "x", "-o", "csv")
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert unknown.stderr.startswith("mao: ")
    assert place.mao("schedule", "list", "-o", "csv").returncode == 2


def test_rules_and_schedules_are_previewed(place: Place) -> None:
    rule = place.mao.json("schedule", "preview", "--cron", "0 6 * * *", "--timezone", "Asia/Tokyo", "--count", "3")
    assert [firing["local"][10:] for firing in rule] == [" 06:00:00 JST (+09:00)"] * 3
    schedule = added(place)
    head, *lines = place.mao.ok("schedule", "preview", schedule).stdout.splitlines()
    assert (head.split(), len(lines)) == (["PLANNED", "DUE", "NOTE"], 10)
    for wrong in ([], [schedule, "--cron", "daily"], [schedule, "--timezone", "UTC"], ["--cron", "often"]):
        assert place.mao("schedule", "preview", *wrong).returncode == 2


def test_slots_of_the_past_are_run_where_the_tool_allows_it(place: Place, tmp_path: Path) -> None:
    place.node.install(another_tool(tmp_path, "later", more="Lateness: {Backfill: allowed}"), "later")
    schedule = added(place, tool="later")
    done = place.mao.ok("schedule", "backfill", schedule, "2026-02-01", "2026-04-30")
    assert len(done.stdout.splitlines()) == 4
    assert "Queued 3 runs." in done.stderr
    for line in done.stdout.splitlines()[1:]:
        place.node.ended({"id": line.split()[2]})
    again = place.mao.ok("schedule", "backfill", schedule, "2026-02-01", "2026-04-30")
    assert (again.stdout, "nothing was started" in again.stderr) == ("", True)
    refused = place.mao("schedule", "backfill", added(place), "2026-02-01", "2026-04-30")
    assert refused.returncode == 4
    assert "Backfill" in refused.stderr


def test_a_tool_that_is_removed_leaves_word_of_its_schedules(place: Place, tmp_path: Path) -> None:
    place.node.install(another_tool(tmp_path, "going"), "going")
    schedule = added(place, tool="going")
    done = place.mao.ok("tool", "remove", "going")
    assert "1 schedule" in done.stderr
    assert "tool-missing" in done.stderr
    assert schedule in done.stderr


def test_ids_of_schedules_are_completed(place: Place) -> None:
    schedule = added(place)
    for verb in ("show", "edit", "pause", "resume", "remove", "slots", "preview", "backfill"):
        assert schedule in completed(place, f"mao schedule {verb} {schedule[:8]}")


@pytest.mark.parametrize("verb", ["show", "edit", "pause", "resume", "remove", "slots", "preview", "backfill"])
def test_a_schedule_that_is_not_known_ends_with_3(place: Place, verb: str) -> None:
    more: dict[str, Any] = {"edit": ["--cron", "daily"], "backfill": ["2026-02-01", "2026-02-02"]}
    done = place.mao("schedule", verb, "no-such-schedule", *more.get(verb, []))
    assert done.returncode == 3
    assert "mao schedule list" in done.stderr
