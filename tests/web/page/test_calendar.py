from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mao.schedule import DAY, Outcome, Slot
from mao.values import now
from mao.verdict import Verdict
from mao.web.page import calendar
from serving import Serving, serving_probe

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving_probe(tmp_path_factory.mktemp("node")) as served:
        yield served


def added(node: Serving, **more: object) -> str:
    body = {"tool": "probe", "command": "Write", "cron": "monthly", **more}
    return str(node.api("POST", "/schedules", body)["id"])


def put(node: Serving, schedule: str, outcome: Outcome, days: int, hour: int = 12) -> None:
    planned = now().replace(hour=hour, minute=0, second=0, microsecond=0) - days * DAY
    slot = Slot(schedule=schedule, planned=planned, due_at=planned, tool="probe", node="alpha", over=True)
    node.node.store.save(slot.model_copy(update={"outcome": outcome}))


def overview(node: Serving) -> str:
    reply = node.request("GET", "/", headers=HTML)
    assert reply.status == 200
    return reply.body.decode()


def test_without_a_schedule_the_overview_says_how_to_add_one(node: Serving) -> None:
    assert 'href="/view/schedules/new">Add one</a>' in overview(node)


def test_a_missed_day_stands_out_with_a_sign_in_words_and_first(node: Serving) -> None:
    calm, troubled = added(node), added(node)
    put(node, calm, Outcome.RAN, 1)
    put(node, troubled, Outcome.MISSED, 1)
    put(node, troubled, Outcome.RAN, 1, hour=13)
    text = overview(node)
    assert re.findall(r'id="calendar-([^"]+)"', text) == [troubled, calm]
    yesterday = (now() - DAY).date()
    assert (
        f'<i class="v-missing{" first" if yesterday.day == 1 else ""}" title="{yesterday}: 1 missed, 1 ran of 2">'
        in text
    )
    assert f'aria-label="60 days: 1 measurements are missing ({yesterday})"' in text
    assert text.index('id="measurements"') < text.index('id="now"')
    assert "style=" not in text


def test_a_schedule_that_was_removed_leaves_the_calendar(node: Serving) -> None:
    schedule = added(node)
    put(node, schedule, Outcome.MISSED, 1)
    assert f"calendar-{schedule}" in overview(node)
    node.api("DELETE", f"/schedules/{schedule}")
    assert f"calendar-{schedule}" not in overview(node)


def test_only_so_many_days_are_named(node: Serving) -> None:
    schedule = added(node, timezone="Asia/Tokyo")
    for days in range(1, 14):
        put(node, schedule, Outcome.MISSED, days)
    row = calendar.row(node.node, node.node.store.schedule(schedule))  # type: ignore[arg-type]  # it is there
    assert row.words.startswith("60 days: 13 measurements are missing (")
    assert row.words.count(", ") == 9
    assert row.words.endswith(" and earlier)")
    assert [day.verdict for day in row.troubled] == [Verdict.MISSING] * 13
    assert row.troubled[0].day > row.troubled[-1].day


def test_every_verdict_is_in_the_legend() -> None:
    assert set(calendar.LEGEND) == set(Verdict)
