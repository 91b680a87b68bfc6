"""What a person does at a node from its first tool on, all of it in a browser; in between the node is killed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from support import EVERY_SECOND, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from support import ServedNode

    Visit = Callable[..., BrowserContext]

COUNT = """\
set -eu
for number in $(seq 1 "$1"); do
  printf '\\033[32m%s\\033[0m of %s\\n' "$number" "$1"
  until [ -e "$2.$number" ]; do sleep 0.02; [ "$SECONDS" -lt 120 ]; done
done
echo "time,counted" > "$MAO_DATA_DIR/$MAO_RUN_ID.csv"
echo "2026-01-01T00:00:00Z,$1" >> "$MAO_DATA_DIR/$MAO_RUN_ID.csv"
"""


def test_a_person_goes_the_whole_way_and_a_kill_is_but_an_interruption(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    node, gate = serve(), tmp_path / "gate"
    context = visit(node)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    context.clear_cookies()

    _sign_in(page, node)
    _register(page, tmp_path / "counter", remote)
    _install(page)
    _follow_a_run_through_a_kill(page, node, gate)
    _cancel(page, node)
    _schedule(page, gate)
    _clone(page)


def _sign_in(page: Page, node: ServedNode) -> None:
    """Whoever is not signed in is asked to, and comes then to where they wanted to be."""
    page.goto("/view/schedules")
    page.get_by_label("Token").fill("mao_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Token").fill(node.token("admin"))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/view/schedules")


def _register(page: Page, repository: Path, remote: Path) -> None:
    """A definition with a fault first, whose line is shown; then without."""
    files = tool_files(remote, name="counter", scripts={"Count": COUNT}, arguments={"Count": 2})
    commit(repository, files | {"mao.yaml": files["mao.yaml"].replace("Script:", "Scirpt:")})
    page.get_by_role("link", name="Tools", exact=True).click()
    page.get_by_role("link", name="Register").first.click()
    page.get_by_label("Address of the git repository").fill(str(repository))
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"line \d+.*Scirpt"))

    commit(repository, files)
    page.get_by_role("button", name="Register").click()
    page.wait_for_url("**/view/tools/counter")


def _install(page: Page) -> None:
    page.get_by_role("button", name="Install", exact=True).click()
    page.get_by_role("region", name="On this node").get_by_text("installed", exact=True).wait_for()


def _follow_a_run_through_a_kill(page: Page, node: ServedNode, gate: Path) -> None:
    """The page says that it has lost the node and that it is back, and what is printed goes on where it was."""
    _run(page, "3", str(gate))
    printed = page.get_by_role("log")
    printed.get_by_text("1 of 3").wait_for()

    node.kill()
    expect(page.locator("#live")).not_to_have_text("live")
    gate.with_name("gate.1").touch()
    node.start()

    printed.get_by_text("2 of 3").wait_for()
    expect(page.locator("#live")).to_have_text("live")
    assert printed.get_by_text("1 of 3").count() == 1
    for number in (2, 3):
        gate.with_name(f"gate.{number}").touch()
    printed.get_by_text("3 of 3").wait_for()
    page.get_by_text("published", exact=True).wait_for()


def _run(page: Page, *arguments: str) -> None:
    page.get_by_role("link", name="Tools", exact=True).click()
    page.get_by_role("link", name="counter", exact=True).click()
    for number, text in enumerate(arguments, 1):
        page.get_by_label(f"A{number}").fill(text)
    page.get_by_role("button", name="Run Count").click()
    page.wait_for_url(re.compile("/view/runs/[0-9a-f-]{36}$"))


def _cancel(page: Page, node: ServedNode) -> None:
    _run(page, "9", "/nowhere")
    page.get_by_role("log").get_by_text("1 of 9").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled", exact=True).first.wait_for()
    assert node.api("GET", f"/runs/{page.url.rpartition('/')[2]}")["state"] == "cancelled"


def _schedule(page: Page, gate: Path) -> None:
    """A rule is shown as what it means before it is added, and its slots appear by themselves."""
    page.get_by_role("link", name="counter", exact=True).first.click()
    page.get_by_role("link", name="Have it run by a schedule").click()
    page.get_by_label("A1").fill("1")
    page.get_by_label("A2").fill(str(gate))
    page.get_by_label("Rule").fill("0 0 30 2 *")
    page.get_by_text("never due").wait_for()
    page.get_by_label("Rule").fill(EVERY_SECOND)
    page.locator(".preview").get_by_role("listitem").first.wait_for()
    page.get_by_role("button", name="Add it").click()

    page.wait_for_url(re.compile("/view/schedules/[0-9a-f-]{36}$"))
    page.get_by_role("cell", name="ran", exact=True).first.wait_for()
    page.get_by_label("Why").fill("enough")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()


def _clone(page: Page) -> None:
    """What is published can be cloned."""
    page.get_by_role("link", name="Datasets", exact=True).click()
    page.get_by_role("link", name="counter-data", exact=True).click()
    page.get_by_text("counted").first.wait_for()
    page.get_by_role("button", name="Clone").click()
    page.get_by_text("ready", exact=True).wait_for()
