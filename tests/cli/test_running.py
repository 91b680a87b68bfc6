from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from support import git, published

if TYPE_CHECKING:
    from cli.place import Place


EXACT = [
    ["two words", "quotes \" and '", "a\nb\n", "$(touch x) `id` $HOME ${x}", "", "--wait", "--", "-o"],
    ["*", "~", "\\", "\t", "ü \U0001f30d", "a;b|c&d", "%s", "!1"],
    ["x" * 100_000, "y " * 50_000],
    [""],
]


@pytest.mark.parametrize("arguments", EXACT, ids=["words", "signs", "200kB", "empty"])
def test_arguments_reach_the_tool_exactly(place: Place, arguments: list[str]) -> None:
    run = place.mao.json("tool", "run", "--wait", "probe", "Arguments", "--", *arguments)
    written = published(place.remote)[f"arguments-{run['id']}"]
    assert written.split("\0")[:-1] == arguments


def test_arguments_may_be_given_by_name(place: Place) -> None:
    run = place.mao.json("tool", "run", "probe", "Arguments", "--wait", "--arg", "A2=x=y", "--arg", "A1=a ")
    assert run["arguments"]["A2"] == "x=y"
    assert published(place.remote)[f"arguments-{run['id']}"].split("\0")[:2] == ["a ", "x=y"]


@pytest.mark.parametrize("wrong", [["--arg", "A1=1", "--", "x"], ["--arg", "A1"], ["--arg", "A1=1", "--arg", "A1=2"]])
def test_arguments_that_contradict_each_other_are_refused(place: Place, wrong: list[str]) -> None:
    assert place.mao("tool", "run", "probe", "Arguments", *wrong).returncode == 2


def test_arguments_that_are_no_text_are_refused(place: Place) -> None:
    done = place.mao("tool", "run", "probe", "Write", "--", b"\xff")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


def test_a_run_that_is_waited_for_prints_its_log_and_its_outcome(place: Place) -> None:
    done = place.mao.ok("tool", "run", "probe", "Write", "--wait", "--", "payload")
    assert done.stdout == "written\n"
    head = git("rev-parse", "main", cwd=place.remote)
    assert re.search(rf"probe-data: published on main: 1 file \(7 bytes\) in commit {head[:12]}\n", done.stderr)


def test_a_run_that_fails_ends_with_8_and_says_why(place: Place) -> None:
    done = place.mao("tool", "run", "probe", "Fail", "--wait")
    assert done.returncode == 8
    assert done.stdout == "before\ntrouble\n"
    assert "has failed: the tool failed: exit status 3" in done.stderr
    as_json = place.mao("tool", "run", "probe", "Fail", "--wait", "-o", "ndjson")
    assert as_json.returncode == 8
    assert json.loads(as_json.stdout)["exit_code"] == 3
    assert "before\ntrouble\n" in as_json.stderr


def test_a_run_is_only_begun_without_wait(place: Place) -> None:
    done = place.mao.ok("tool", "run", "probe", "Write")
    assert f"mao run log -f {done.stdout.strip()}" in done.stderr
    assert place.mao.json("run", "show", done.stdout.strip())["command"] == "Write"


def test_a_command_that_is_not_known_ends_with_3(place: Place) -> None:
    done = place.mao("tool", "run", "probe", "write it")
    assert done.returncode == 3
    assert "Write" in done.stderr
