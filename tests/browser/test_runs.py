"""A run in a browser: its output as it comes, paused, searched; and what can be done with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from support import commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from support import ServedNode

    Visit = Callable[..., BrowserContext]

GATES = """\
echo begun
for name in a b c; do
  until test -e "$1.$name"; do sleep 0.02; done
  for i in $(seq 1 200); do printf '\\033[32mline\\033[0m %s %s\\n' "$name" "$i"; done
done
while :; do sleep 0.02; done
"""


def at_the_end(page: Page) -> bool:
    """Whether the end of the output is in sight."""
    seen: bool = page.get_by_role("log").evaluate("e => e.scrollHeight - e.clientHeight - e.scrollTop < 5")
    return seen


def test_output_follows_pauses_resumes_and_is_searched(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote, scripts={"Print": GATES}, arguments={"Print": 1}))
    node = serve()
    node.install(tmp_path / "probe")
    run = node.run("Print", str(tmp_path / "gate"))
    page = visit(node).new_page()
    page.goto(f"/view/runs/{run['id']}")
    output = page.get_by_role("log")
    expect(output).to_contain_text("begun")

    (tmp_path / "gate.a").touch()
    expect(output).to_contain_text("line a 200")
    assert at_the_end(page)

    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_have_attribute("aria-pressed", "false")
    pause.click()
    (tmp_path / "gate.b").touch()
    page.get_by_text(re.compile(r"\d kB more below")).wait_for()
    expect(output).not_to_contain_text("line b")

    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_have_attribute("aria-pressed", "true")
    resume.click()
    expect(output).to_contain_text("line b 200")
    expected = ["begun", *(f"line {name} {i}" for name in "ab" for i in range(1, 201))]
    assert output.inner_text().splitlines()[: len(expected)] == expected, "each line once, in order"
    assert at_the_end(page)

    output.evaluate("e => { e.scrollTop = 0 }")
    page.get_by_role("button", name="Resume").wait_for()
    (tmp_path / "gate.c").touch()
    page.get_by_text(re.compile(r"\d kB more below")).wait_for()

    page.get_by_role("searchbox", name="Search the output").fill("LINE C 17")
    page.get_by_role("button", name="Next").click()
    page.get_by_text(re.compile("found at byte")).wait_for()
    expect(page.locator("mark.here").first).to_be_in_viewport()

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("cancelled", exact=True).first.wait_for()
    page.get_by_role("link", name="End", exact=True).click()
    expect(output).to_contain_text("line c 200")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()


def test_output_goes_on_after_a_restart_and_the_run_is_run_again(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    script = 'echo "begun $2"\nuntil test -e "$1"; do sleep 0.02; done\necho over\n'
    commit(tmp_path / "probe", tool_files(remote, scripts={"Wait": script}, arguments={"Wait": 2}))
    node = serve()
    node.install(tmp_path / "probe")
    run = node.run("Wait", str(tmp_path / "gate"), "with a 'quote\"")
    page = visit(node).new_page()
    page.goto(f"/view/runs/{run['id']}")
    expect(page.get_by_role("log")).to_contain_text("begun")

    node.kill()
    page.get_by_text("no connection, trying again").first.wait_for()
    node.start()
    (tmp_path / "gate").touch()

    expect(page.get_by_role("log")).to_contain_text("over")
    page.get_by_text("succeeded", exact=True).first.wait_for()
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: url.rpartition("/")[2] not in {run["id"], ""})
    expect(page.get_by_role("log")).to_contain_text("begun with a 'quote\"")
    again = page.url.rpartition("/")[2]
    assert node.api("GET", f"/runs/{again}")["arguments"] == run["arguments"]


def test_runs_appear_in_the_table_by_themselves(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote, scripts={"Fail": "exit 3", "Good": "exit 0"}))
    node = serve()
    node.install(tmp_path / "probe")
    page = visit(node).new_page()
    page.goto("/view/runs")
    page.get_by_text("live", exact=True).wait_for()

    node.run("Fail")

    expect(page.get_by_role("row").filter(has_text="exit code 3")).to_have_count(1)
    node.ended(node.run("Good"))
    page.get_by_label("State").select_option("succeeded")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/view/runs?*state=succeeded*")
    expect(page.get_by_role("row").filter(has_text="probe")).to_have_count(1)
