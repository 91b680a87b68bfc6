from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from mao.catalogue import tool_key
from mao.finding import nodes_with_tools
from mao.registry import Edit
from serving import Serving, serving
from support import bare, commit, eventually, tool_files
from web.page.looking import look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> \u202egnp.exe " + "w" * 300

REGISTERED = ["Register its newest commit", "Withdraw"]
"""The buttons for what is registered."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[Serving]:
    """A node with the tool `probe` installed, and `other` registered only."""
    remote = bare(place / "data.git")
    commit(place / "probe", tool_files(remote, installer="echo preparing", more="Timeout: 2h\nNetwork: none"))
    commit(place / "other", tool_files(bare(place / "other.git"), name="other"))
    with serving(place / "home") as served:
        served.install(place / "probe")
        served.api("POST", "/tools", {"url": str(place / "other")})
        eventually(lambda: nodes_with_tools(served.node), "the node has told the others what it has")
        yield served


def registered(node: Serving, name: str) -> None:
    """Have the registry hold another tool like `other`, without a repository."""
    value = node.api("GET", "/tools/other") | {"name": name}
    node.node.mirror.catch_up(node.node.registry.write(Edit(tool_key(name), json.dumps(value).encode(), 0)))


def test_an_empty_list_says_what_to_do(served: Serving) -> None:
    page = look(served, "/view/tools")
    assert "No tool is registered in this cluster." in page.words
    assert page.links["Register one"] == "/view/tools/register"
    reader = look(served, "/view/tools", token=served.token("read"))
    assert "Register one" not in reader.links


def test_the_list_tells_what_is_installed_here_and_on_how_many_nodes(node: Serving) -> None:
    page = look(node, "/view/tools")
    rows = [" ".join(row.text.split()) for row in page.all("tr")]
    short = node.installed()["commit"][:12]
    assert rows[1:] == [
        "other not installed A tool for tests other-data 0",
        f"probe installed {short} A tool for tests probe-data 1",
    ]
    assert page.links["probe"] == "/view/tools/probe"
    assert page.links["probe-data"] == "/view/datasets/probe-data"


def test_tools_are_searched_without_scripts(node: Serving) -> None:
    (form,) = look(node, "/view/tools").all("form", role="search")
    assert form.attributes["action"] == "/view/tools"
    assert "method" not in form.attributes
    found = look(node, "/view/tools?search=PROB")
    assert "probe" in found.links
    assert "other" not in found.links
    nothing = look(node, "/view/tools?search=%3Cscript%3E")
    assert "No registered tool has “<script>” in its name" in nothing.words
    assert not [each for each in nothing.all("script") if "src" not in each.attributes]
    assert nothing.links["Show all tools"] == "/view/tools"


def test_a_long_list_comes_in_pages(served: Serving, tmp_path: Path) -> None:
    commit(tmp_path / "other", tool_files(bare(tmp_path / "other.git"), name="other"))
    served.api("POST", "/tools", {"url": str(tmp_path / "other")})
    for number in range(120):
        registered(served, f"tool-{number:03}")
    seen: list[str] = []
    path = "/view/tools?search=tool"
    while path:
        page = look(served, path)
        seen += [name for name in page.links if re.fullmatch(r"tool-\d+|other", name)]
        path = page.links.get("More tools", "")
    assert seen == ["other", *(f"tool-{number:03}" for number in range(120))]


def test_registering_is_for_administrators(node: Serving) -> None:
    page = look(node, "/view/tools/register")
    (form,) = page.all("form")
    assert form.attributes["data-send"] == "POST /api/v1/tools"
    assert [each.attributes["name"] for each in page.all("input")] == ["url", "ref", "name"]
    reader = look(node, "/view/tools/register", token=node.token("run"))
    assert not reader.all("form")
    assert "needs the right 'admin'" in reader.words


def test_a_tool_that_is_called_register_has_its_page(served: Serving, place: Path) -> None:
    commit(place / "register", tool_files(bare(place / "register.git"), name="register"))
    served.api("POST", "/tools", {"url": str(place / "register")})
    link = look(served, "/view/tools/register").links["here"]
    assert look(served, link).all("h1")[0].text == "register"


def test_a_tool_is_shown_with_where_it_is_from_and_what_it_may_do(node: Serving) -> None:
    page = look(node, "/view/tools/PROBE")
    tool = node.api("GET", "/tools/probe")
    assert page.all("h1")[0].text == "probe"
    for words in (
        tool["url"],
        "refs/heads/main",
        "registered",
        "Network none",
        "Longest run 2 h 00 min",
        "bash install.sh",
    ):
        assert words.lower() in page.words.lower()
    assert tool["commit"] in page.source
    assert [each.text.strip() for each in page.all("div", role="log")] == ["preparing"]
    assert page.links["Look for an update"] == "/view/tools/probe/update"
    (main,) = page.all("main")
    assert {"tool:probe", "installation:probe"} <= set(main.attributes["data-live"].split())
    assert "alpha this one" in page.words


def test_buttons_are_there_for_those_who_may_press_them(node: Serving) -> None:
    assert look(node, "/view/tools/probe").buttons == ["Remove", *REGISTERED, "Run Write"]
    assert look(node, "/view/tools/other").buttons == ["Install", *REGISTERED, "Run Write"]
    assert look(node, "/view/tools/probe", token=node.token("run")).buttons == ["Run Write"]
    assert look(node, "/view/tools/probe", token=node.token("run", "probe")).buttons == ["Run Write"]
    for token in (node.token("read"), node.token("run", "other")):
        page = look(node, "/view/tools/probe", token=token)
        assert page.buttons == []
        assert "mao tool run probe Write" in page.words


def test_a_tool_that_is_not_installed_has_its_forms_and_says_why_they_start_nothing(node: Serving) -> None:
    page = look(node, "/view/tools/other")
    assert "It is not installed here." in page.words
    assert "this form starts nothing. Install it first." in page.words
    assert "disabled" in page.all("fieldset")[0].attributes
    assert "disabled" not in look(node, "/view/tools/probe").all("fieldset")[0].attributes


def test_a_name_that_is_not_known_is_told_with_the_nearest(node: Serving) -> None:
    page = look(node, "/view/tools/prope")
    assert page.status == 404
    assert "did you mean 'probe'?" in page.words


def hostile(remote: Path) -> dict[str, str]:
    """The files of a tool that says the same wherever it can say something."""
    argument = {"Name": HOSTILE[:90], "Description": HOSTILE, "Default": HOSTILE}
    choice = {"Name": "C", "Type": "choice", "Choices": [HOSTILE, "x"], "Pattern": ".*"}
    command = {"Name": HOSTILE[:80], "Description": HOSTILE, "Command": "bash", "Script": "<b>.sh"}
    definition = {
        "Version": 1,
        "Name": "probe",
        "Description": HOSTILE,
        "Data": {"Fresh": True, "Repo": {"Name": "probe-data", "Remote": str(remote)}},
        "Commands": [command | {"Arguments": [argument, choice]}],
        "Environment": {"X": HOSTILE},
        "License": HOSTILE,
        "Citation": HOSTILE,
        "Authors": [{"Name": HOSTILE[:90], "Affiliation": HOSTILE}],
    }
    return {"mao.yaml": json.dumps(definition), "<b>.sh": "exit 0", "<img src=x onerror=alert(1)>\u202e": "x"}


def test_nothing_that_a_tool_says_becomes_part_of_the_page(served: Serving, tmp_path: Path) -> None:
    commit(tmp_path / "probe", hostile(bare(tmp_path / "data.git")))
    served.install(tmp_path / "probe")
    for path in ("/view/tools", "/view/tools/probe", "/view/tools/probe/update"):
        page = look(served, path)
        assert page.status == 200
        assert all(each.attributes.get("src", "").startswith("/static/") for each in page.all("script"))
        assert not [name for each in page.elements for name in each.attributes if name.startswith("on")]
        assert not [each for each in page.elements if each.tag in {"b", "img"} and each.text not in {HOSTILE[:90], "C"}]
    (field,) = look(served, "/view/tools/probe").all("input", name="arguments")
    assert field.attributes["value"] == HOSTILE


def test_what_is_under_way_and_what_failed_is_told(served: Serving, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    installer = f"until [ -e {gate} ]; do sleep 0.02; done; exit 3"
    commit(tmp_path / "probe", tool_files(bare(tmp_path / "data.git"), installer=installer))
    served.api("POST", "/tools", {"url": str(tmp_path / "probe")})
    served.api("POST", "/installations", {"tool": "probe"})
    eventually(lambda: served.api("GET", "/installations/probe")["attempt"]["step"] == "installing")

    page = look(served, "/view/tools/probe")
    assert [" ".join(each.text.split()) for each in page.all("li", aria_current="step")] == [
        "installing run its installer"
    ]
    assert page.buttons == ["End this attempt", *REGISTERED, "Run Write"]
    assert "It is being installed; then this form starts runs." in page.words

    gate.touch()
    served.installed()
    page = look(served, "/view/tools/probe")
    assert "It could not be installed." in page.words
    assert "installer-failed" in page.words
    assert page.buttons[:2] == ["Try again", "Remove"]


def test_what_waits_for_an_approval_is_told_and_offered_to_administrators(tmp_path: Path) -> None:
    first = commit(tmp_path / "probe", tool_files(bare(tmp_path / "data.git")))
    with serving(tmp_path / "home", policy__approve="all") as served:
        served.api("POST", "/tools", {"url": str(tmp_path / "probe")})
        page = look(served, "/view/tools/probe")
        assert f"Nobody has approved commit {first}" in page.words
        assert page.links["See what it brings"] == f"/view/tools/probe/update?commit={first}"
        assert page.buttons[0] == f"Approve commit {first[:12]}"
        assert look(served, "/view/tools/probe", token=served.token("read")).buttons == []
        update = look(served, f"/view/tools/probe/update?commit={first}")
        assert update.buttons == [f"Approve commit {first[:12]}"]

        served.api("POST", "/approvals", {"tool": "probe", "commit": first})
        page = look(served, "/view/tools/probe")
        assert page.buttons[:4] == ["Install", *REGISTERED, "Withdraw the approval"]
        assert look(served, f"/view/tools/probe/update?commit={first}").buttons == [f"Install commit {first[:12]}"]

    with serving(tmp_path / "home", policy__remotes="https://example.org/**") as served:
        page = look(served, "/view/tools/probe")
        assert "none of the remotes that this node takes tools from" in page.words
        assert page.buttons[:2] == REGISTERED


def test_what_is_installed_stays_in_sight_when_it_is_registered_no_more(served: Serving, tmp_path: Path) -> None:
    commit(tmp_path / "probe", tool_files(bare(tmp_path / "data.git")))
    served.install(tmp_path / "probe")
    served.api("DELETE", "/tools/probe")
    assert look(served, "/view/tools").links["probe"] == "/view/tools/probe"
    page = look(served, "/view/tools/probe")
    assert "It is registered no more" in page.words
    assert page.buttons == ["Remove", "Run Write"]


def test_what_another_node_registered_is_changed_as_administrator_only(served: Serving, tmp_path: Path) -> None:
    commit(tmp_path / "other", tool_files(bare(tmp_path / "other.git"), name="other"))
    served.api("POST", "/tools", {"url": str(tmp_path / "other")})
    entry = served.node.mirror.get(tool_key("other"))
    assert entry is not None
    value = json.loads(entry.value) | {"registered_by": "beta"}
    written = served.node.registry.write(Edit(entry.key, json.dumps(value).encode(), entry.revision))
    served.node.mirror.catch_up(written)
    page = look(served, "/view/tools/other")
    assert [words for words in page.buttons if "as administrator" in words] == [
        "Register its newest commit as administrator",
        "Withdraw as administrator",
    ]
    sent = [each.attributes["data-send"] for each in page.all("form") if "data-send" in each.attributes]
    assert {"POST /api/v1/tools?as_administrator=true", "DELETE /api/v1/tools/other?as_administrator=true"} < set(sent)


def test_an_update_that_is_held_up_is_told_beside_what_is_installed(tmp_path: Path) -> None:
    commit(tmp_path / "probe", tool_files(bare(tmp_path / "data.git")))
    with serving(tmp_path / "home", policy__approve="updates") as served:
        installed = served.install(tmp_path / "probe")["commit"]
        new = commit(tmp_path / "probe", {"more.txt": "x"})
        etag = served.request("GET", "/api/v1/tools/probe").headers["etag"]
        served.api("POST", "/tools", {"url": str(tmp_path / "probe")}, If_Match=etag)
        page = look(served, "/view/tools/probe")
        assert f"The registered commit {new[:12]} is held up. Nobody has approved commit {new}" in page.words
        assert f"{installed[:12]} another one is registered: {new[:12]}" in page.words
        assert page.buttons[0] == f"Approve commit {new[:12]}"
        served.api("POST", "/approvals", {"tool": "probe", "commit": new})
        page = look(served, "/view/tools/probe")
        assert page.links["Compare with the registered commit"] == f"/view/tools/probe/update?commit={new}"
