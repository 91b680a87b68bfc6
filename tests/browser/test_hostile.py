"""What tools, their authors, remotes and people write is text on every page, whatever it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from browsing import is_still, signed_in
from support import ServedNode, bare, commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

SCRIPT = "<script>document.title='pwned'</script>"
IMAGE = "\"'><img src=x onerror=document.title='pwned'>"
BACKWARDS = "\u202ereversed"
FOUL = f"{SCRIPT}{IMAGE}{{{{ 7*7 }}}}{BACKWARDS} javascript:alert(1)"
LONG = "W" * 3_000
MOST_ELEMENTS = 20_000
MOST_CHARACTERS = 2_000_000

OVERWRITTEN = """() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    if (!text.data.includes("\\u202e") || text.parentElement.closest("textarea, option")) continue;
    let at = text, alone = true;
    do {
      alone &&= !at.nextSibling || !at.nextSibling.textContent.trim();
      at = at.parentElement;
    } while (getComputedStyle(at).display === "inline" && !/isolate|plaintext/.test(getComputedStyle(at).unicodeBidi));
    if (!alone && !/isolate|plaintext/.test(getComputedStyle(at).unicodeBidi)) found.push(at.outerHTML.slice(0, 200));
  }
  return found;
}"""
"""Where text that turns its direction round has neighbours that it would take along."""
MARKUP = """() => [...document.querySelectorAll("*")]
    .filter((one) => one.matches("iframe, object, embed, base, a[href^='javascript:']")
      || [...one.attributes].some((each) => each.name.startsWith("on"))
      || (one.tagName === "SCRIPT" && !one.getAttribute("src")?.startsWith("/static/"))
      || (one.tagName === "IMG" && !one.getAttribute("src")?.startsWith("/")))
    .map((one) => one.outerHTML.slice(0, 120))"""
"""Elements that no page has by itself."""

PRINTING = r"""
set -eu
printf '%s\n' "$1"
printf '\033[31mred \033]8;;javascript:alert(1)\033\\link\033]8;;\033\\ \033[2J\033[10;10Hmoved\n'
printf '\033]0;title\007 \033[38;5;999;1mwrong\n'
printf '\342\200\256backwards\n\000\377\376 not text\n'
head -c 10000000 /dev/zero | tr '\0' x
printf '\nafter the long line\n'
cd "$MAO_DATA_DIR"
name="\"'><img src=x onerror=document.title='pwned'>"
printf '%s' "$1" > "$name.txt"
printf 'time,%s\n2026-01-01T00:00:00Z,1\n2026-01-02T00:00:00Z,"%s"\n' "$name" "$1" > "$name.csv"
printf '<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"><script>alert(1)</script></svg>' > picture.svg
printf '<html><body onload="document.title=1"><script>document.title="pwned"</script>' > page.html
"""


def definition(remote: str) -> str:
    """The definition of a tool whose author means ill; JSON is YAML."""
    argument = {"Name": f"A {IMAGE}", "Description": FOUL, "Default": FOUL}
    choice = {"Name": "B", "Type": "choice", "Choices": [SCRIPT, IMAGE, LONG], "Default": IMAGE, "Description": LONG}
    command = {"Name": "Print", "Description": FOUL + LONG, "Command": "bash", "Script": "print.sh"}
    fields: dict[str, Any] = {
        "Version": 1,
        "Name": "foul",
        "Description": FOUL + LONG,
        "Data": {"Fresh": True, "Repo": {"Name": "foul-data", "Remote": remote}},
        "Commands": [command | {"Arguments": [argument, choice]}],
        "Environment": {"FOUL": FOUL},
        "License": SCRIPT,
        "Citation": FOUL,
        "Authors": [{"Name": IMAGE, "Affiliation": FOUL}],
    }
    return json.dumps(fields, ensure_ascii=False)


@pytest.fixture(scope="module")
def foul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedNode, dict[str, str]]]:
    """A node with a tool whose author means ill, and the paths of pages that show what came of it."""
    place = tmp_path_factory.mktemp("foul")
    remote = bare(place / "data.git")
    commit(place / "foul", {"mao.yaml": definition(str(remote)), "print.sh": PRINTING}, f"{FOUL}\n\n{IMAGE}")
    node = ServedNode(place / "home").start()
    node.install(place / "foul", "foul")
    schedule = node.api("POST", "/schedules", {"tool": "foul", "command": "Print", "cron": "daily"})["id"]
    node.api("POST", f"/schedules/{schedule}/pause", {"note": FOUL[:500]})
    run = node.ended(node.run("Print", FOUL, tool="foul"))
    assert run["state"] == "succeeded", run
    commit(place / "foul", {"print.sh": PRINTING + FOUL, f"{IMAGE.replace('/', '')}.txt": FOUL}, FOUL)
    change = {"action": "delete", "paths": ["page.html"], "reason": FOUL, "by": IMAGE}
    node.api("POST", "/datasets/foul-data/changes", change)
    pages = {
        "overview": "/",
        "tools": "/view/tools",
        "found": "/view/tools?search=%3Cscript%3Edocument.title%3D%27pwned%27%3C%2Fscript%3E",
        "tool": "/view/tools/foul",
        "update": "/view/tools/foul/update?text=true",
        "runs": "/view/runs",
        "run": f"/view/runs/{run['id']}",
        "schedules": "/view/schedules",
        "schedule": f"/view/schedules/{schedule}",
        "new-schedule": "/view/schedules/new?of=foul/Print",
        "datasets": "/view/datasets",
        "dataset": "/view/datasets/foul-data",
        "nodes": "/view/nodes",
        "problem": "/view/runs/%3Cscript%3Edocument.title='pwned'%3C%2Fscript%3E",
    }
    yield node, pages
    node.stop()


@pytest.fixture(scope="module")
def watched(browser: Browser, foul: tuple[ServedNode, dict[str, str]]) -> Iterator[tuple[Page, list[str]]]:
    """A page of a browser, and what it complains of or asks."""
    context, complaints = signed_in(browser, foul[0])

    def refuse(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    context.on("dialog", refuse)
    yield context.new_page(), complaints
    context.close()


PAGES = (
    *("overview", "tools", "found", "tool", "update", "runs", "run", "schedules", "schedule"),
    *("new-schedule", "datasets", "dataset", "nodes", "problem"),
)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_that_others_wrote_is_more_than_text(
    foul: tuple[ServedNode, dict[str, str]], watched: tuple[Page, list[str]], name: str
) -> None:
    page, complaints = watched
    complaints.clear()
    answer = page.goto(foul[1][name])
    assert answer is not None
    assert answer.ok or name == "problem"
    is_still(page)

    assert "pwned" not in page.title().replace(SCRIPT, "")
    assert page.evaluate(MARKUP) == []
    assert page.evaluate(OVERWRITTEN) == []
    assert page.evaluate("document.getElementsByTagName('*').length") < MOST_ELEMENTS
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert len(page.content()) < MOST_CHARACTERS
    page.get_by_role("link", name="Nodes", exact=True).first.click(trial=True)
    assert complaints == []
