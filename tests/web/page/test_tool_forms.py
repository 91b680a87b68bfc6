from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from serving import Serving, serving
from support import PATIENCE, bare, commit
from web.page.looking import Seen, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARGUMENTS: list[dict[str, Any]] = [
    {"Name": "Station", "Description": "Where", "Pattern": "[^#]+"},
    {"Name": "Days", "Type": "integer", "Default": 2},
    {"Name": "Factor", "Type": "number", "Required": False},
    {"Name": "Raw", "Type": "boolean", "Required": False},
    {"Name": "File", "Type": "path", "Required": False},
    {"Name": "Unit", "Type": "choice", "Choices": ["K", "°C", "#"], "Default": "°C"},
    {"Name": "Notes", "Default": "\none\ntwo"},
    {"Name": "Key", "Type": "secret", "Required": False},
]
TYPED = ['it\'s $HOME `x` "y" \\ <b> ä', "3", "", "true", "", "K", "a\nb", ""]
"""What somebody has written into a form, in the order of its fields."""


def definition(remote: Path, commands: list[dict[str, Any]], name: str = "probe") -> dict[str, str]:
    """The files of a tool whose commands are bash scripts that do nothing."""
    content = {
        "Version": 1,
        "Name": name,
        "Data": {"Fresh": True, "Repo": {"Name": f"{name}-data", "Remote": str(remote)}},
        "Commands": [{"Command": "bash", "Script": "x.sh", **command} for command in commands],
    }
    return {"mao.yaml": json.dumps(content), "x.sh": "exit 0\n"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("forms")
    commands: list[dict[str, Any]] = [{"Name": "Collect it", "Arguments": ARGUMENTS}, {"Name": "Check"}]
    commit(place / "probe", definition(bare(place / "data.git"), commands))
    with serving(place / "home") as served:
        served.install(place / "probe")
        yield served


def lines(node: Serving, command: str, *texts: str, publish: bool = True) -> Seen:
    """The part of the page that follows what is written into a form."""
    fields = [("tool", "probe"), ("command", command), *(("arguments", text) for text in texts)]
    query = urlencode([*fields, *([("publish", "true")] if publish else [])])
    return look(node, f"/view/tools/probe/lines?{query}")


def in_shell(node: Serving, line: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a line that somebody has copied."""
    program = f'mao() {{ {sys.executable} -m mao "$@"; }}; export MAO_TOKEN={node.token("run")}\n'
    environment = os.environ | node.environment() | {"PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        ["bash", "-c", program + line],
        env=environment,
        cwd=node.home,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_form_has_a_field_of_its_own_for_each_type_of_argument(node: Serving) -> None:
    page = look(node, "/view/tools/probe")
    form = page.all("form", data_send="POST /api/v1/runs")[0]
    assert form.attributes["data-then"] == "/view/runs/{id}"
    fields = [each for each in page.elements if each.attributes.get("name") == "arguments"]
    told = [(each.attributes["data-key"], each.tag, "required" in each.attributes) for each in fields]
    assert told == [
        ("Station", "input", True),
        ("Days", "input", False),
        ("Factor", "input", False),
        ("Raw", "select", False),
        ("File", "input", False),
        ("Unit", "select", False),
        ("Notes", "textarea", False),
        ("Key", "input", False),
    ]
    assert fields[1].attributes["value"] == "2"
    assert fields[6].text == "\n\none\ntwo", "the first newline of a textarea is none of its text"
    options = [each.attributes["value"] for each in page.all("option")]
    assert options == ["", "true", "false", "K", "°C", "#"]
    assert [each.attributes["value"] for each in page.all("option", selected="")] == ["°C"]
    labels = {each.attributes["for"] for each in page.all("label") if "for" in each.attributes}
    assert labels == {each.attributes["id"] for each in fields}
    assert "A reference, not the secret itself: @keyring:NAME" in page.words
    assert "Like [^#]+." in page.words


def test_the_form_of_a_command_is_open_where_it_was_asked_for(node: Serving) -> None:
    assert [("open" in each.attributes) for each in look(node, "/view/tools/probe").all("details")] == [False, False]
    chosen = look(node, "/view/tools/probe?command=collect+it").all("details")
    assert [("open" in each.attributes) for each in chosen] == [True, False]


def test_the_lines_follow_what_is_written(node: Serving) -> None:
    before = node.api("GET", "/runs")
    page = lines(node, "Check", publish=False)
    assert "mao tool run --no-publish probe Check" in [each.text for each in page.all("code")]
    page = lines(node, "Collect it", "#", "two")
    faults = [" ".join(each.text.split()) for each in page.all("li")]
    assert [fault.split(",")[0] for fault in faults] == [
        "Argument 'Station' must match the pattern [^#]+",
        "Argument 'Days' must be a whole number",
    ]
    assert not page.all("html"), "it is a part of a page"
    assert node.api("GET", "/runs") == before


def test_what_is_no_command_of_the_tool_has_no_lines(node: Serving) -> None:
    assert lines(node, "Colect it").status == 404
    assert look(node, "/view/tools/nothing/lines?command=Check").status == 404


@pytest.mark.parametrize("publish", [True, False])
@pytest.mark.parametrize("program", ["mao", "curl"])
def test_each_line_starts_the_very_run_of_the_form(node: Serving, program: str, *, publish: bool) -> None:
    names = [argument["Name"] for argument in ARGUMENTS]
    body = {
        "tool": "probe",
        "command": "Collect it",
        "arguments": {name: text for name, text in zip(names, TYPED, strict=True) if text},
        "publish": publish,
    }
    wanted = node.api("POST", "/runs", body)
    page = lines(node, "Collect it", *TYPED, publish=publish)
    assert not page.all("li")
    (line,) = [each.text for each in page.all("code") if each.text.startswith(program)]
    if program == "curl":  # the page was asked for at the socket, which has no address in a browser
        line = line.replace("http://localhost/", f"http://127.0.0.1:{node.port}/")

    done = in_shell(node, line)

    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["id"] if program == "curl" else done.stdout.strip()
    started = node.api("GET", f"/runs/{run_id}")
    compared = ("tool", "command", "arguments", "publish", "tool_commit")
    assert {key: started[key] for key in compared} == {key: wanted[key] for key in compared}


def test_a_line_for_curl_has_the_address_at_which_the_page_was_asked_for(node: Serving) -> None:
    reply = node.over_tcp("GET", "/view/tools/probe", headers={"Accept": "text/html"}, token=node.token("read"))
    assert f"curl -sS -X POST http://127.0.0.1:{node.port}/api/v1/runs" in reply.body.decode()


def test_of_a_tool_with_very_many_arguments_there_is_one_form_at_a_time(served: Serving, tmp_path: Path) -> None:
    many = [{"Name": f"A{number}", "Required": False} for number in range(80)]
    commands = [{"Name": f"Do/{number}?", "Arguments": many} for number in range(6)]
    commit(tmp_path / "probe", definition(bare(tmp_path / "data.git"), commands))
    served.install(tmp_path / "probe")
    page = look(served, "/view/tools/probe")
    assert not page.all("input", name="arguments")
    chosen = look(served, page.links["Do/3?"].partition("#")[0])
    assert len(chosen.all("input", name="arguments")) == 80
    assert [each.attributes["value"] for each in chosen.all("input", name="command")] == ["Do/3?"]
