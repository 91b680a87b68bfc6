from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from cli.place import Place, another_tool
from support import commit, git

if TYPE_CHECKING:
    from pathlib import Path


def test_registering_prints_the_name_and_tells_the_commit(place: Place, tmp_path: Path) -> None:
    repository = another_tool(tmp_path, "registered")
    done = place.mao.ok("tool", "register", str(repository))
    assert done.stdout == "registered\n"
    assert git("rev-parse", "HEAD", cwd=repository)[:12] in done.stderr
    assert place.mao.json("tool", "show", "registered")["url"] == str(repository)


def test_a_local_repository_may_be_given_as_a_relative_path(place: Place, tmp_path: Path) -> None:
    repository = another_tool(tmp_path, "relative")
    path = os.path.relpath(repository, place.node.home.parent)
    assert place.mao.json("tool", "register", path)["url"] == str(repository)


def test_a_name_that_is_taken_ends_with_4(place: Place) -> None:
    done = place.mao("tool", "register", str(place.tool))
    assert done.returncode == 4
    assert done.stderr.startswith("mao: The tool 'probe' is registered already")
    assert done.stdout == ""


def test_replacing_finds_the_tool_by_its_url_or_name(place: Place, tmp_path: Path) -> None:
    repository = another_tool(tmp_path, "replaced")
    place.mao.ok("tool", "register", str(repository))
    for more in ([], ["--name", "replaced"]):
        newest = commit(repository, {"news": str(more)})
        assert place.mao.json("tool", "register", str(repository), "--replace", *more)["commit"] == newest
    done = place.mao("tool", "register", f"{tmp_path}/elsewhere", "--replace")
    assert done.returncode == 3
    assert "--name" in done.stderr


def test_the_faults_of_a_definition_come_one_by_one(place: Place, tmp_path: Path) -> None:
    commit(tmp_path / "bad", {"mao.yaml": "Version: 1\nNaem: bad\n"})
    done = place.mao("tool", "register", str(tmp_path / "bad"))
    assert done.returncode == 2
    assert "did you mean 'Name'?)\n    Naem: bad\n    ^\n" in done.stderr
    done = place.mao("tool", "register", str(tmp_path / "bad"), "-o", "json")
    problem = json.loads(done.stderr)
    assert (problem["code"], problem["status"], done.stdout) == ("bad-definition", 422, "")
    assert [(error["line"], error["text"]) for error in problem["errors"]][-1] == (2, "Naem: bad")


def test_a_name_that_is_not_known_ends_with_3_and_the_nearest_one(place: Place) -> None:
    for verb in ("show", "install"):
        done = place.mao("tool", verb, "prob")
        assert done.returncode == 3
        assert "did you mean 'probe'?" in done.stderr


@pytest.mark.parametrize("name", ["a/b", "..", "%2e%2e", "ü ü", "a?b#c"])
def test_any_name_can_be_asked_for(place: Place, name: str) -> None:
    assert place.mao("tool", "show", name).returncode == 3


def test_an_empty_name_is_refused(place: Place) -> None:
    done = place.mao("tool", "show", "")
    assert (done.returncode, done.stderr) == (2, "mao: A name must not be empty.\n")


def test_tools_are_listed_and_searched_in_every_form(place: Place) -> None:
    head, row = place.mao.ok("tool", "search", "PROBE").stdout.splitlines()
    assert head.split() == ["NAME", "COMMIT", "DATASET", "REGISTERED", "BY", "DESCRIPTION"]
    assert row.startswith("probe ")
    assert [tool["name"] for tool in place.mao.json("tool", "search", "probe")] == ["probe"]
    lines = place.mao.ok("tool", "list", "-o", "ndjson").stdout.splitlines()
    assert "probe" in [json.loads(line)["name"] for line in lines]
    nothing = place.mao.ok("tool", "search", "no such thing")
    assert nothing.stdout == ""
    assert "no such thing" in nothing.stderr
    assert place.mao.json("tool", "search", "no such thing") == []


def test_a_tool_is_shown_and_withdrawn(place: Place, tmp_path: Path) -> None:
    place.mao.ok("tool", "register", str(another_tool(tmp_path, "shown")))
    shown = place.mao.ok("tool", "show", "shown").stdout
    assert re.search(r"^commands +Write A1 A2: A command$", shown, re.MULTILINE)
    place.mao.ok("tool", "withdraw", "shown")
    assert place.mao("tool", "show", "shown").returncode == 3


def test_what_another_node_registered_needs_an_administrator(place: Place, tmp_path: Path) -> None:
    repository = another_tool(tmp_path, "owned")
    place.mao.ok("tool", "register", str(repository))

    for command in (("tool", "withdraw", "owned"), ("tool", "register", str(repository), "--replace")):
        done = place.mao(*command, "--as-administrator")
        assert (done.returncode, "node.administrator = true" in done.stderr) == (7, True), done.stderr
    place.mao.ok("tool", "withdraw", "owned")
