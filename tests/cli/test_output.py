from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING

from cli.place import PYTHON, Place
from mao.cli.output import Output, plain
from support import PATIENCE, bare

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def on_terminal(place: Place, *args: str, **environment: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PYTHON, *args], env=place.node.environment() | {"TERM": "xterm"} | environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    assert process.wait(PATIENCE) == 0, shown
    return shown.decode()


def test_states_have_colours_on_a_terminal_only_and_not_with_no_color(place: Place) -> None:
    assert "\033[32minstalled" in on_terminal(place, "tool", "installed")
    assert "\033[" not in on_terminal(place, "tool", "installed", NO_COLOR="1")
    assert "\033[" not in on_terminal(place, "tool", "installed", TERM="dumb")
    assert "\033[" not in place.mao.ok("tool", "installed").stdout


def test_only_what_is_shown_on_a_terminal_is_cut(place: Place) -> None:
    for line in on_terminal(place, "config", "show", NO_COLOR="1").splitlines():
        assert len(line) <= 80
    assert max(map(len, place.mao.ok("config", "show").stdout.splitlines())) > 80


def test_what_could_steer_a_terminal_is_replaced() -> None:
    assert plain("a\x1b[2Jb\tc\nd\u202ee") == "a\ufffd[2Jb\tc\nd\ufffde"


def test_columns_stand_below_each_other_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"a": "日本", "b": "1"}, {"a": "e\u0301", "b": "2\n3"}]
    Output().values(rows, {"A": lambda row: row["a"], "B": lambda row: row["b"]}, "none")
    assert capsys.readouterr().out == "A     B\n日本  1\ne\u0301     2 3\n"


def test_a_value_of_many_lines_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    Output().value({}, lambda _: [("one", "1"), ("several", "2\n3")])
    assert capsys.readouterr().out == "one      1\nseveral  2\n         3\n"


def test_json_is_utf8_on_any_terminal(place: Place, tmp_path: Path) -> None:
    remote = bare(tmp_path / "d.git")
    name, description = "coded", "Schnee: ☃"
    place.mao.ok("dataset", "register", name, str(remote), "--description", description)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = place.node.environment() | ascii_only
    show = [*PYTHON, "dataset", "show", name, "-o", "json"]
    done = subprocess.run(show, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout.decode())["description"] == description
    as_table = place.mao.ok("dataset", "show", name, PYTHONIOENCODING="latin-1")
    assert "Schnee: \\u2603\n" in as_table.stdout
