"""The pages of tools in a browser: what is searched for, registered, installed and run there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from support import ServedNode

    Visit = Callable[..., BrowserContext]


def test_the_faults_of_a_definition_are_shown_at_their_lines(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    files = tool_files(remote)
    commit(tmp_path / "probe", files | {"mao.yaml": files["mao.yaml"].replace("Script:", "Scirpt:<img>:")})
    page = visit(serve()).new_page()
    page.goto("/view/tools")
    page.get_by_role("link", name="Register one").click()
    page.get_by_label("Address of the git repository").fill(str(tmp_path / "probe"))
    page.get_by_role("button", name="Register").click()

    fault = page.get_by_role("alert").get_by_role("listitem").filter(has_text="Scirpt:<img>")
    expect(fault).to_contain_text("line 11, column 5")
    expect(fault.locator("pre")).to_have_text("    Scirpt:<img>: Write.sh", use_inner_text=True)

    commit(tmp_path / "probe", files)
    page.get_by_role("button", name="Register").click()
    page.wait_for_url("**/view/tools/probe")
    page.get_by_text("It is not installed here.").wait_for()


def test_a_tool_is_found_installed_while_one_looks_on_and_run(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    gate = tmp_path / "gate"
    files = tool_files(remote, installer=f"echo begun; until [ -e {gate} ]; do sleep 0.02; done")
    commit(tmp_path / "probe", files | {"mao.yaml": files["mao.yaml"].replace("A2,", "A2, Type: secret,")})
    commit(tmp_path / "other", tool_files(bare(tmp_path / "other.git"), name="other"))
    node = serve()
    for name in ("probe", "other"):
        node.api("POST", "/tools", {"url": str(tmp_path / name)})
    page = visit(node).new_page()
    page.goto("/view/tools")
    page.get_by_label("Search").press_sequentially("prob")
    expect(page.get_by_role("link", name="other", exact=True)).to_have_count(0)
    page.wait_for_url(re.compile(r"/view/tools\?search=prob$"))
    page.get_by_role("link", name="probe", exact=True).click()

    expect(page.get_by_label("A1")).to_be_disabled()
    page.get_by_role("button", name="Install").click()
    page.get_by_text("run its installer").wait_for()
    expect(page.get_by_text("It is being installed; then this form starts runs.")).to_be_visible()
    page.get_by_role("log").get_by_text("begun").wait_for()
    gate.touch()

    page.get_by_label("A1").fill("it's here")  # waits until it can be written to
    page.get_by_text("mao tool run probe Write -- 'it'\"'\"'s here'").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_label("A2").fill("hunter2-hunter2")  # the secret itself stands in no address
    page.get_by_text("must be a reference").wait_for()
    assert "/view/tools/probe/lines?" in asked[-1]
    assert not [url for url in asked if "hunter2" in url]
    page.get_by_label("A2").fill("")
    node.run("Write")  # the page is made anew, and what was written stays
    page.get_by_label("Publish its data").uncheck()
    page.get_by_text("mao tool run --no-publish probe Write -- 'it'\"'\"'s here'").wait_for()
    page.get_by_role("button", name="Run Write").click()

    page.wait_for_url(re.compile("/view/runs/"))
    started = node.api("GET", f"/runs/{page.url.rpartition('/')[2]}")
    assert (started["arguments"], started["publish"]) == ({"A1": "it's here"}, False)


def test_an_update_is_installed_as_it_was_shown(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote))
    node = serve()
    node.install(tmp_path / "probe")
    new = commit(tmp_path / "probe", {"Write.sh": "echo another\n"})
    page = visit(node).new_page()
    page.goto("/view/tools/probe")
    page.get_by_label("A1").fill("written before")
    page.get_by_role("link", name="Look for an update").click()
    page.get_by_role("cell", name="Write.sh").wait_for()
    later = commit(tmp_path / "probe", {"Write.sh": "echo later\n"})
    page.get_by_role("button", name=f"Install commit {new[:12]}").click()

    page.wait_for_url("**/view/tools/probe")
    expect(page.get_by_role("region", name="On this node").get_by_title(new)).to_be_visible()
    assert node.installed()["commit"] == new
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Register its newest commit").click()
    expect(page.get_by_role("region", name="Registered").get_by_title(later)).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("It is not installed here.").wait_for()
