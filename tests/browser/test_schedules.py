"""Schedules in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from support import EVERY_SECOND, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from support import ServedNode

    Visit = Callable[..., BrowserContext]


def test_a_schedule_is_added_while_its_rule_is_previewed_fills_its_ledger_is_paused_and_edited(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote))
    node = serve()
    node.install(tmp_path / "probe")
    page = visit(node, "run").new_page()
    page.goto("/")
    page.get_by_role("link", name="Add one").click()
    page.get_by_label("Tool and command").select_option("probe/Write")
    page.get_by_role("button", name="Go on").click()

    page.get_by_label("A1").fill("hello")
    page.get_by_label("Rule").fill("0 25 * * *")
    page.get_by_text("its hour is '25'").wait_for()
    page.get_by_label("Rule").fill("30 2 * 3 0L")
    page.get_by_label("By the clocks of").fill("Europe/Zurich")
    page.get_by_text("02:30 does not exist on this day").first.wait_for()
    page.get_by_label("Rule").fill(EVERY_SECOND)
    expect(page.get_by_text("does not exist")).to_have_count(0)
    page.get_by_role("button", name="Add it").click()

    page.wait_for_url(re.compile(r"/view/schedules/[0-9a-f-]{36}$"))
    page.get_by_role("cell", name="ran", exact=True).first.wait_for()
    assert page.get_by_text("A1=hello").is_visible()
    squares = page.get_by_role("img", name="60 days")
    expect(squares).to_have_accessible_name(re.compile("60 days: 1 "))

    page.get_by_label("Why").fill("for lunch")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.get_by_text("for lunch").first.wait_for()

    page.get_by_role("link", name="Edit").click()
    assert page.get_by_label("A1").input_value() == "hello"
    page.get_by_label("Rule").fill("weekly")
    page.get_by_role("button", name="Change it").click()
    page.get_by_role("heading", name="probe Write by weekly").wait_for()


def test_a_missed_day_is_seen_on_a_phone_and_nothing_leaves_the_page(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote))
    node = serve()
    node.install(tmp_path / "probe")
    node.api("POST", "/schedules", {"tool": "probe", "command": "Write", "cron": EVERY_SECOND})
    page = visit(node, viewport={"width": 390, "height": 800}).new_page()
    for path in ("/", "/view/schedules"):
        page.goto(path)
        squares = page.get_by_role("img", name=re.compile(r"^\d+ days"))
        squares.wait_for()
        assert squares.locator("i:visible").count() == 21
        assert page.evaluate("document.documentElement.scrollWidth") == 390
