"""Schedules are added, edited, paused and removed; slots of the past are run only when asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from conftest import settings
from mao import running, scheduling
from mao.errors import (
    BackfillRefused,
    BadArguments,
    BadSchedule,
    CommandNotFound,
    MaoError,
    NotInstalled,
    ScheduleEnded,
    ScheduleNotFound,
)
from mao.local_node import opened
from mao.run import RunState
from mao.schedule import Spread, SpreadKind
from mao.scheduling import Plan
from scheduled import START, Place, installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "home", "Lateness: {Backfill: allowed}")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("plan", "error", "words"),
    [
        ({"tool": "prob"}, NotInstalled, "prob"),
        ({"command": "Wrte"}, CommandNotFound, "Write"),
        ({"arguments": ["1", "2", "3"]}, BadArguments, "argument"),
        ({"cron": "hourly"}, BadSchedule, "'daily'"),
        ({"timezone": "Europe/Zürich"}, BadSchedule, "Europe/Zurich"),
        ({"retries": 21}, BadSchedule, "retries"),
        ({"retry_pause": 0}, BadSchedule, "retry_pause"),
    ],
)
def test_what_cannot_run_is_not_added(place: Place, plan: dict[str, Any], error: type[MaoError], words: str) -> None:
    with pytest.raises(error, match=words):
        scheduling.add(place.node, Plan(**({"tool": "probe", "command": "Write"} | plan)))
    assert place.node.store.bodies("schedule") == []


def test_a_schedule_names_its_secrets_which_are_found_anew_for_each_run(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")
    place.install("[{Name: Key, Type: secret}]")
    with pytest.raises(BadArguments, match="must be a reference") as caught:
        scheduling.add(place.node, Plan("probe", "Write", ["s3cr3t-v4lue"]))
    assert "s3cr3t" not in caught.value.detail
    with pytest.raises(BadArguments, match="no secret 'key'"):
        scheduling.add(place.node, Plan("probe", "Write", ["@keyring:key"]))
    place.node.keyring.set("key", "s3cr3t-v4lue")
    schedule = scheduling.add(place.node, Plan("probe", "Write", ["@keyring:key"], "0 * * * *"))
    place.node.keyring.remove("key")
    place.passes(hours=1)

    (run,) = place.runs(RunState.QUEUED)
    running.start(place.node, run.id)
    ended = running.find_run(place.node, run.id)
    assert (ended.state, ended.arguments) == (RunState.FAILED, {"Key": "@keyring:key"})
    assert "not started: Argument 'Key' cannot be had" in (ended.reason or "")
    assert scheduling.find_schedule(place.node, schedule.id).arguments == ["@keyring:key"]
    place.close()


def test_users_of_other_nodes_name_only_what_the_keyring_has_for_that_tool(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cr3t-v4lue")
    allowed = {"secrets.files": str(tmp_path), "secrets.environment": "PATH"}
    with opened(settings(tmp_path / "home", **allowed)) as node:
        node.store.save(installation(arguments="[{Name: Key, Type: secret}]"))
        node.keyring.set("any", "s3cr3t-v4lue")
        node.keyring.set("this", "s3cr3t-v4lue", ["Probe"])
        for reference in ("@keyring:any", "@env:PATH", f"@{tmp_path}/token"):
            own = Plan("probe", "Write", [reference])
            running.request_run(node, running.Wish("probe", "Write", [reference]))
            schedule = scheduling.add(node, own)
            with pytest.raises(BadArguments, match="node 'beta' that asks"):
                running.request_run(node, running.Wish("probe", "Write", [reference], asked_by="beta"))
            with pytest.raises(BadArguments, match="node 'beta' that asks"):
                scheduling.add(node, replace(own, asked_by="beta"))
            with pytest.raises(BadArguments, match="node 'beta' that asks"):
                scheduling.edit(node, schedule.id, {"publish": True, "asked_by": "beta"})
        running.request_run(node, running.Wish("probe", "Write", ["@keyring:this"], asked_by="beta"))
        assert scheduling.add(node, Plan("probe", "Write", ["@keyring:this"], asked_by="beta")).asked_by == "beta"


def test_an_edited_schedule_goes_by_its_new_rule_from_now_on(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    place.present += timedelta(hours=1)  # nobody has looked yet
    edited = scheduling.edit(place.node, schedule.id, {"cron": "*/30 * * * *", "publish": True})
    assert (edited.cron, edited.publish, edited.changed_at) == ("*/30 * * * *", True, place.present)
    place.passes(minutes=30)
    assert [slot.planned - START for slot in place.slots(schedule)] == [timedelta(hours=1), timedelta(hours=1.5)]
    with pytest.raises(BadSchedule):
        scheduling.edit(place.node, schedule.id, {"cron": "* *"})
    assert scheduling.find_schedule(place.node, schedule.id) == edited.model_copy(
        update={"reckoned_until": START + timedelta(hours=1.5)}
    )


def test_a_slot_that_the_spread_has_not_yet_brought_is_cancelled_by_an_edit(place: Place) -> None:
    schedule = place.add(cron="daily", spread=Spread(kind=SpreadKind.UNIFORM, seconds=3600))
    due = scheduling.next_firing(schedule)
    assert due is not None
    place.present = due.planned + (due.due - due.planned) / 2
    place.look()
    assert place.slots(schedule) == []
    scheduling.edit(place.node, schedule.id, {"cron": "weekly"})
    (slot,) = place.slots(schedule)
    assert (slot.outcome, slot.planned, slot.due_at) == ("cancelled", due.planned, due.due)


def test_what_was_removed_is_not_changed_any_more(place: Place) -> None:
    schedule = place.add()
    scheduling.remove(place.node, schedule.id)
    for change in (scheduling.pause, scheduling.resume, scheduling.remove):
        with pytest.raises(ScheduleEnded):
            change(place.node, schedule.id)
    with pytest.raises(ScheduleNotFound):
        scheduling.pause(place.node, "unknown")
    assert scheduling.next_firing(scheduling.find_schedule(place.node, schedule.id)) is None


def test_backfilling_runs_each_slot_that_has_no_good_run_and_leaves_what_became_of_it(place: Place) -> None:
    schedule = place.add(cron="0 * * * *")
    place.present += timedelta(hours=2)
    place.crash()
    place.look()
    place.run_all()
    place.passes(hours=1)
    place.run_all(RunState.FAILED)
    place.look()
    assert place.outcomes(schedule) == ["missed", "ran", "ran"]

    asked = scheduling.backfill(place.node, schedule.id, START - timedelta(hours=1), place.present)
    place.run_all()
    place.look()

    assert [slot.planned - START for slot in asked] == [timedelta(hours=hours) for hours in (-1, 0, 1, 3)]
    assert place.outcomes(schedule) == ["ran-late", "ran-late", "missed", "ran", "ran"]
    made = [running.find_run(place.node, slot.backfill or "") for slot in asked]
    assert [(run.slot, run.state) for run in made] == [(slot.planned, "succeeded") for slot in asked]
    assert scheduling.backfill(place.node, schedule.id, START - timedelta(hours=1), place.present) == []


def test_a_tool_that_does_not_say_so_is_not_run_for_the_past(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")
    schedule = place.add(cron="0 * * * *")
    with pytest.raises(BackfillRefused, match="Backfill: allowed"):
        scheduling.backfill(place.node, schedule.id, START - timedelta(days=1), START)
    assert place.runs() == []
    place.close()


def test_too_many_slots_are_not_run_at_once(place: Place) -> None:
    schedule = place.add(cron="* * * * *")
    with pytest.raises(BadSchedule, match="1000"):
        scheduling.backfill(place.node, schedule.id, START - timedelta(days=1), START)
    assert place.runs() == []
