from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import PATIENCE, bare, commit, git, published, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Place


def another_tool(tmp_path: Path, name: str, **more: str) -> Path:
    """A repository of a tool that no other test has."""
    remote = bare(tmp_path / f"{name}.git")
    commit(tmp_path / name, tool_files(remote, name=name, **more))  # type: ignore[arg-type]  # strings by name
    return tmp_path / name


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
    assert "did you mean 'Name'?" in done.stderr
    done = place.mao("tool", "register", str(tmp_path / "bad"), "-o", "json")
    problem = json.loads(done.stderr)
    assert (problem["code"], problem["status"], done.stdout) == ("bad-definition", 422, "")
    assert problem["errors"][0]["line"] == 1


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


def test_installing_waits_and_shows_the_installers_log(place: Place, tmp_path: Path) -> None:
    place.mao.ok("tool", "register", str(another_tool(tmp_path, "fine", installer="echo one; echo two\n")))
    done = place.mao.ok("tool", "install", "fine")
    assert "one\ntwo\n" in done.stderr
    assert done.stdout == ""
    again = place.mao.ok("tool", "install", "fine", "-o", "json")
    assert "installed already" in again.stderr
    assert json.loads(again.stdout)["state"] == "installed"
    assert place.mao.ok("tool", "log", "fine").stdout == "one\ntwo\n"
    assert place.mao.ok("tool", "log", "-f", "fine").stdout == "one\ntwo\n"
    assert "fine" in [i["tool"] for i in place.mao.json("tool", "installed")]
    place.mao.ok("tool", "remove", "fine")
    assert place.mao("tool", "help", "fine").returncode == 3


def test_an_installer_that_fails_ends_with_5_and_its_words(place: Place, tmp_path: Path) -> None:
    installer = "echo 'no compiler here' >&2; exit 9\n"
    place.mao.ok("tool", "register", str(another_tool(tmp_path, "broken", installer=installer)))
    done = place.mao("tool", "install", "broken")
    assert done.returncode == 5
    assert "ended with status 9" in done.stderr
    assert "no compiler here" in done.stderr
    table = place.mao.ok("tool", "installed").stdout
    assert re.search(r"^broken +failed ", table, re.MULTILINE)
    assert place.mao("tool", "update", "broken").returncode == 3
    again = place.mao("tool", "install", "broken", "-o", "json")
    assert json.loads(again.stderr[again.stderr.index("{") :])["code"] == "installer-failed"


def test_an_installation_under_way_is_ended_by_removing_it(place: Place, tmp_path: Path) -> None:
    place.mao.ok("tool", "register", str(another_tool(tmp_path, "slow", installer="echo begun; sleep 600\n")))
    place.mao.ok("tool", "install", "slow", "--no-wait")
    follower = place.mao.start("tool", "log", "-f", "slow")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "begun\n"
    assert "Removed" in place.mao.ok("tool", "remove", "slow").stderr
    assert follower.wait(PATIENCE) in {3, 5}
    follower.communicate()


def test_help_shows_the_commands_or_one_of_them(place: Place) -> None:
    shown = place.mao.ok("tool", "help", "probe").stdout
    assert "\nArguments: A command\n  A1 (string, may be left out)\n" in shown
    assert "$ mao tool run probe Write -- A1" in shown
    one = place.mao.json("tool", "help", "probe", "Fail")
    assert [command["name"] for command in one["commands"]] == ["Fail"]
    done = place.mao("tool", "help", "probe", "Wirte")
    assert (done.returncode, "did you mean 'Write'?" in done.stderr) == (3, True)


EXACT = [
    ["two words", 'quotes " and \'', "a\nb\n", "$(touch x) `id` $HOME ${x}", "", "--wait", "--", "-o"],
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
    run = place.mao.json("tool", "run", "probe", "Arguments", "--wait", "--arg", "A2=x=y", "--arg", "A1= ")
    assert run["arguments"]["A2"] == "x=y"
    assert published(place.remote)[f"arguments-{run['id']}"].split("\0")[:2] == [" ", "x=y"]


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


def updatable(place: Place, tmp_path: Path, name: str) -> tuple[str, str]:
    """A tool that is installed, and has a newer commit; both commits."""
    repository = another_tool(tmp_path, name, installer="echo old\n")
    place.mao.ok("tool", "register", str(repository))
    place.mao.ok("tool", "install", name)
    old = git("rev-parse", "HEAD", cwd=repository)
    return old, commit(repository, {"install.sh": "echo new\n", "more.txt": "more"})


def test_an_update_shows_what_changes_and_asks(place: Place, tmp_path: Path) -> None:
    old, new = updatable(place, tmp_path, "aged")
    done = place.mao("tool", "update", "aged")
    assert done.returncode == 2
    assert "-echo old\n+echo new\n" in done.stderr
    assert "  install.sh\n  more.txt\n" in done.stderr
    assert "--yes" in done.stderr
    assert place.mao.json("tool", "help", "aged")["commit"] == old
    place.mao.ok("tool", "update", "aged", "--yes")
    assert place.mao.json("tool", "help", "aged")["commit"] == new
    again = place.mao.ok("tool", "update", "aged")
    assert "nothing to do" in again.stderr
    place.mao.ok("tool", "update", "aged", "--yes", "--commit", old)
    assert place.mao.json("tool", "help", "aged")["commit"] == old


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 130)])
def test_an_update_goes_by_the_answer_on_a_terminal(place: Place, tmp_path: Path, answer: bytes, status: int) -> None:
    name = f"asked-{status}"
    old, new = updatable(place, tmp_path, name)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "mao", "tool", "update", name],
        env=place.node.environment(),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(ours, answer)
        process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status
    assert place.mao.json("tool", "help", name)["commit"] == (new if status == 0 else old)
