from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mao.schedule import Outcome, Slot
from mao.values import now
from serving import Serving, serving_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = {"Accept": "text/html"}
HOSTILE = '<script>alert(1)</script>"><img onerror=x>\u202e\x1b[31m' + "w" * 300


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Shared by all tests: each looks only at the schedules that it adds."""
    with serving_probe(tmp_path_factory.mktemp("node"), more="Lateness: {Backfill: allowed}") as served:
        yield served


def added(node: Serving, **more: object) -> str:
    body = {"tool": "probe", "command": "Write", "cron": "monthly", **more}
    return str(node.api("POST", "/schedules", body)["id"])


def put(node: Serving, schedule: str, planned: datetime, outcome: Outcome | None, detail: str | None = None) -> None:
    slot = Slot(schedule=schedule, planned=planned, due_at=planned, tool="probe", node="alpha", over=True)
    node.node.store.save(slot.model_copy(update={"outcome": outcome, "detail": detail}))


def page(node: Serving, path: str, token: str | None = None) -> str:
    reply = node.over_tcp("GET", path, headers=HTML, token=token) if token else node.request("GET", path, headers=HTML)
    assert reply.status == 200, reply.body.decode()
    return reply.body.decode()


def test_schedules_are_listed_by_tool_and_state(node: Serving) -> None:
    active, paused, removed = added(node), added(node), added(node)
    node.api("POST", f"/schedules/{paused}/pause", {"note": "x"})
    node.api("DELETE", f"/schedules/{removed}")

    def listed(query: str) -> list[bool]:
        text = page(node, f"/view/schedules{query}")
        return [f'id="schedule-{each}"' in text for each in (active, paused, removed)]

    assert listed("") == [True, True, False]
    assert listed("?state=paused") == [False, True, False]
    assert listed("?state=removed&tool=PROBE") == [False, False, True]
    assert listed("?tool=other") == [False, False, False]


def test_many_schedules_come_in_pages(node: Serving) -> None:
    first = node.node.store.schedule(added(node))
    assert first is not None
    known = [first.model_copy(update={"id": f"{first.id}-{number:03}", "tool": "many"}) for number in range(120)]
    node.node.store.save(*known)
    found, path = list[str](), "/view/schedules?tool=many"
    while path:
        text = page(node, path)
        found += re.findall(rf'id="schedule-{first.id}-(\d+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = "/view/schedules" + following[1].replace("&amp;", "&") if following else ""
    assert found == [f"{number:03}" for number in reversed(range(120))]


def test_a_schedule_shows_what_it_does_and_when_it_is_due_next(node: Serving) -> None:
    arguments = {"A1": "<b>hello</b>"}
    schedule = added(node, cron="30 2 * * *", timezone="Europe/Zurich", retries=3, arguments=arguments)
    text = page(node, f"/view/schedules/{schedule}")
    assert "A1=&lt;b&gt;hello&lt;/b&gt;" in text
    assert "it is tried again 3 times, first after" in text
    assert len(re.findall(r'<time datetime="[^"]+" data-zone="\d{4}-\d\d-\d\d 0[23]:\d\d:00 CES?T', text)) == 10
    assert f'data-live="schedule:{schedule} slot:{schedule} run:{schedule}"' in text
    assert node.request("GET", "/view/schedules/nothing", headers=HTML).status == 404


def test_the_ledger_is_shown_newest_first_in_pages_and_by_outcome(node: Serving) -> None:
    schedule = added(node)
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    for hour in range(120):
        put(node, schedule, begin + timedelta(hours=hour), Outcome.MISSED if hour % 40 == 0 else Outcome.RAN)
    found, path = list[str](), f"/view/schedules/{schedule}"
    while path:
        text = page(node, path)
        found += re.findall(r'id="slot-(\d+)"', text)
        following = re.search(r'rel="next" href="([^"]+)"', text)
        path = f"/view/schedules/{schedule}" + following[1].replace("&amp;", "&") if following else ""
    assert found == [str(int((begin + timedelta(hours=hour)).timestamp())) for hour in reversed(range(120))]
    missed = page(node, f"/view/schedules/{schedule}?outcome=missed")
    assert len(re.findall(r'id="slot-(\d+)"', missed)) == 3
    assert "No slot is like that" in page(node, f"/view/schedules/{schedule}?outcome=paused")
    assert node.request("GET", f"/view/schedules/{schedule}?outcome=x", headers=HTML).status == 422


def test_the_ledger_can_be_had_as_csv_by_a_link(node: Serving) -> None:
    schedule = added(node)
    put(node, schedule, now(), Outcome.MISSED)
    (link,) = re.findall(r'href="([^"]+format=csv)"', page(node, f"/view/schedules/{schedule}"))
    reply = node.request("GET", link, headers=HTML)
    assert reply.headers["content-type"].startswith("text/csv")
    assert [row["outcome"] for row in csv.DictReader(reply.body.decode().splitlines())] == ["missed"]


def test_several_slots_a_day_have_a_square_each(node: Serving) -> None:
    often, seldom = added(node, cron="0 * * * *"), added(node)
    for schedule in (often, seldom):
        put(node, schedule, now() - timedelta(hours=1), Outcome.MISSED)
    assert "The slots of the last two days" in page(node, f"/view/schedules/{often}")
    assert "The slots of the last two days" not in page(node, f"/view/schedules/{seldom}")


def test_days_to_look_at_lead_to_their_slots(node: Serving) -> None:
    schedule = added(node, timezone="Asia/Tokyo")
    planned = now() - timedelta(days=3)
    put(node, schedule, planned, Outcome.MISSED)
    put(node, schedule, planned + timedelta(days=2), Outcome.RAN)
    text = page(node, f"/view/schedules/{schedule}")
    (link,) = re.findall(r'<li><a href="([^"]+)#ledger"', text)
    assert re.findall(r'id="slot-(\d+)"', page(node, link)) == [str(int(planned.timestamp()))]


def test_what_others_wrote_is_text(node: Serving) -> None:
    schedule = added(node, arguments={"A1": HOSTILE.replace("\x1b", "")})
    node.api("POST", f"/schedules/{schedule}/pause", {"note": HOSTILE})
    put(node, schedule, now(), Outcome.PAUSED, HOSTILE)
    text = page(node, f"/view/schedules/{schedule}")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;alert(1)") == 3


def test_buttons_are_for_those_who_may_press_them(node: Serving) -> None:
    schedule = added(node)
    path = f"/view/schedules/{schedule}"

    def buttons(token: str | None) -> list[str]:
        return re.findall(r'data-send="\w+ /api/v1/schedules/[^/"]+/?(\w*)"', page(node, path, token))

    assert buttons(None) == ["pause", "", "backfill"]
    assert buttons(node.token("run")) == ["pause", "", "backfill"]
    assert buttons(node.token("run", "other")) == []
    assert buttons(node.token("read")) == []
    node.api("POST", f"/schedules/{schedule}/pause", {})
    assert buttons(None) == ["resume", "", "backfill"]
    node.api("DELETE", f"/schedules/{schedule}")
    assert buttons(None) == []
