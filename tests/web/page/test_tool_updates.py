from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from serving import Serving, serving
from support import bare, commit, tool_files
from web.page.looking import look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = "".join(f"line {number}\n" for number in range(4000))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("updates")


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[Serving]:
    """A node with the tool `probe`, which has moved on since."""
    commit(place / "probe", tool_files(bare(place / "data.git"), installer="echo one\n"))
    with serving(place / "home") as served:
        served.install(place / "probe")
        files = tool_files(bare(place / "elsewhere.git"), installer="echo '<script>two</script>'\n")
        commit(place / "probe", files | {"long.txt": LONG, "'><img src=x>.txt": "x\n"})
        yield served


def test_what_an_update_changes_is_shown_before_it_is_installed(node: Serving, place: Path) -> None:
    before = node.installed()
    page = look(node, "/view/tools/probe/update")
    new = node.api("GET", "/installations/probe/update")["new_commit"]
    assert f"Its data would go elsewhere: to {place / 'elsewhere.git'} instead of {place / 'data.git'}." in page.words
    diffs = ["".join(each.text) for each in page.all("pre")]
    assert "-echo one\n+echo '<script>two</script>'\n" in diffs[1]
    kinds = [(each.attributes["class"], each.text) for each in page.all("span") if each.text.startswith(("+e", "-e"))]
    assert kinds == [("gone", "-echo one"), ("added", "+echo '<script>two</script>'")]
    assert "'><img src=x>.txt added +1 −0 2 bytes" in page.words
    assert not page.all("img")
    assert page.buttons == [f"Install commit {new[:12]}"]
    sent = {each.attributes["name"]: each.attributes["value"] for each in page.all("input", type="hidden")}
    assert sent == {"tool": "probe", "commit": new}
    assert node.installed() == before


def test_the_files_are_shown_line_by_line_when_asked_for(node: Serving) -> None:
    page = look(node, "/view/tools/probe/update")
    assert len(page.all("pre")) == 2
    page = look(node, page.links["Show the changes line by line"])
    assert "+line 1\n" in page.all("pre")[2].text
    assert "more: mao tool update probe" in page.words, "not endless"


def test_readers_see_what_an_update_changes_and_cannot_install_it(node: Serving) -> None:
    page = look(node, "/view/tools/probe/update", token=node.token("read"))
    assert "4 files change" in page.words
    assert page.buttons == []


def test_there_is_nothing_to_do_at_the_newest_commit(node: Serving) -> None:
    installed = node.installed()["commit"]
    page = look(node, f"/view/tools/probe/update?commit={installed}")
    assert "there is nothing to do" in page.words
    assert page.buttons == []


def test_what_cannot_be_fetched_is_told_as_a_page(node: Serving, place: Path) -> None:
    away = (place / "probe").rename(place / "away")
    page = look(node, "/view/tools/probe/update")
    away.rename(place / "probe")
    assert page.status == 502
    assert look(node, "/view/tools/nothing/update").status == 404
    assert look(node, "/view/tools/probe/update?commit=main").status == 422
