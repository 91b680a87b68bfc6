from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from cli.place import alone
from mao.cli.definition import definition
from mao.definition_file import load
from mao.errors import BadDefinition, Conflict, NotFound

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
Version: 1
Name: hello
Data: {Fresh: true, Repo: {Name: d, Remote: d}}
Commands: [{Name: Run, Command: bash, Script: run.sh}]
"""


def mao(*args: object) -> Result:
    return CliRunner().invoke(definition, [str(arg) for arg in args])


def error(result: Result) -> BaseException:
    assert result.exception is not None
    return result.exception


@pytest.mark.parametrize("name", ["mao.yaml", "mao.yml"])
def test_a_folder_is_checked_by_the_definition_in_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)
    result = mao("check", tmp_path)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / name}: hello (format 1), data to d, commands: Run\n"


def test_each_fault_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "mao.yaml"
    file.write_text(GOOD.replace("Name: hello", "Naem: hello"))
    done = alone("definition", "check", str(file))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"mao: {file}:1:1: Name is missing",
        "    Version: 1",
        "    ^",
        f"{file}:2:1: Naem is not a key that is known here (did you mean 'Name'?)",
        "    Naem: hello",
        "    ^",
    ]


def test_a_long_line_is_cut_around_the_fault_and_cannot_steer_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "mao.yaml").write_bytes(b"Name: " + b"x" * 500 + b"\x1b[2J\n")
    _, window, caret = alone("definition", "check", str(tmp_path)).stderr.splitlines()
    assert window.isprintable()
    assert window[caret.index("^")] == " "


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_programs_get_json(tmp_path: Path, output: str) -> None:
    file = tmp_path / "mao.yaml"
    file.write_text(GOOD)
    result = mao("check", file, "-o", output)
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer == {"ok": True, "definition": load(GOOD).model_dump(mode="json")}
    file.write_text("Name: x")
    result = mao("check", file, "-o", output)
    assert result.exit_code == 2
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert {"file", "line", "column", "path", "text", "message", "suggestion"} == set(answer["faults"][0])


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mao.yaml").write_text("a: b\n" * 300_000)
    assert isinstance(error(mao("check", tmp_path)), BadDefinition)


def test_a_folder_without_a_definition_is_told_how_to_begin_one(tmp_path: Path) -> None:
    found = error(mao("check", tmp_path))
    assert isinstance(found, NotFound)
    assert "mao definition new" in found.detail


def test_without_a_terminal_a_definition_is_begun_from_the_options_and_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My pings!"
    folder.mkdir()
    result = mao(
        *("new", folder, "--command", "Measure=python3 -u ping.py", "--command", "Stop=bash stop.sh"),
        *("--argument", "Measure.Host=example.org", "--argument", "Measure.Count", "--installer", "bash install.sh"),
    )
    assert result.exit_code == 0
    assert result.stdout == f"{folder / 'mao.yaml'}\n"
    found = load((folder / "mao.yaml").read_bytes())
    assert (found.name, found.data.repo.name) == ("My-pings", "My-pings-data")
    assert [(a.name, a.default) for a in found.command("Measure").arguments] == [
        ("Host", "example.org"),
        ("Count", None),
    ]
    assert os.listdir(folder) == ["mao.yaml"]  # noqa: PTH208


def test_a_definition_that_is_there_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "mao.yml").write_text("mine")
    assert isinstance(error(mao("new", tmp_path)), Conflict)
    assert (tmp_path / "mao.yml").read_text() == "mine"
    assert mao("new", tmp_path, "--force", "--name", "x").exit_code == 0
    assert load((tmp_path / "mao.yml").read_bytes()).name == "x"


def test_what_would_not_load_is_not_written(tmp_path: Path) -> None:
    assert isinstance(error(mao("new", tmp_path, "--name", "a b")), BadDefinition)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags", [("--command", "Run"), ("--command", "Run=bash"), ("--argument", "Other.x"), ("--installer", "bash")]
)
def test_an_option_that_cannot_be_understood_is_a_wrong_use(tmp_path: Path, flags: tuple[str, ...]) -> None:
    assert mao("new", tmp_path, *flags).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_what_no_option_says_is_asked_for(tmp_path: Path) -> None:
    theirs, ours = pty.openpty()
    program = "from mao.cli.definition import definition; definition()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "new", str(tmp_path), "--description", "Pings."],
        stdin=ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(theirs, b"pings\n\nhttps://example.org/p\nsh ping.sh\n")
        _, asked = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Name of the tool" in asked
    found = load((tmp_path / "mao.yaml").read_bytes())
    assert (found.name, found.description, found.data.repo.name) == ("pings", "Pings.", "pings-data")
    assert found.commands[0].argv() == ("sh", "ping.sh")


def test_asking_for_help_does_not_load_the_model() -> None:
    program = "import sys, mao.cli.definition; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
