from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from cli.place import Place, another_tool
from support import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path


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
