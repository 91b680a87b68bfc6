from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from mao.arguments import resolve
from mao.definition_file import load
from mao.usage import Help, describe

if TYPE_CHECKING:
    from mao.definition import Definition

TEXT = """
Version: 1
Name: probe
Description: Measures
Data: {Fresh: true, Repo: {Name: probe-data, Remote: 'https://example.org/data.git'}}
Commands:
  - Name: "Measure it's all"
    Description: All of it
    Command: bash
    Script: run.sh
    Arguments:
      - {Name: Where to, Description: The place, Type: choice, Choices: ["a place", b]}
      - {Name: Often, Type: integer}
      - {Name: Ratio, Type: number, Default: "2.5"}
      - {Name: Loud, Type: boolean, Required: false}
      - {Name: Note, Default: "it's; $HOME `x` \\"\\\\"}
      - {Name: Code, Pattern: "[A-Z]+"}
      - {Name: Below, Type: path}
      - {Name: Key, Type: secret}
      - {Name: Out, Default: "-"}
  - Name: Idle
    Command: bash
    Script: run.sh
"""


@pytest.fixture
def definition() -> Definition:
    return load(TEXT, "mao.yaml")


def test_help_says_what_the_definition_says(definition: Definition) -> None:
    found = describe(definition, "c" * 40)
    assert (found.tool, found.description, found.commit, found.dataset) == ("probe", "Measures", "c" * 40, "probe-data")
    assert [(command.name, command.description) for command in found.commands] == [
        ("Measure it's all", "All of it"),
        ("Idle", ""),
    ]
    where, often, ratio, loud, _, code, *_ = found.commands[0].arguments
    assert where.model_dump() == {
        "name": "Where to",
        "description": "The place",
        "type": "choice",
        "required": True,
        "default": None,
        "choices": ("a place", "b"),
        "pattern": None,
    }
    assert (often.type, often.required) == ("integer", True)
    assert (ratio.default, ratio.required, loud.required) == ("2.5", False, False)
    assert code.pattern == "[A-Z]+"


def test_the_example_is_a_line_for_a_shell_that_runs_the_command(definition: Definition) -> None:
    measure, idle = describe(definition, "c" * 40).commands
    *words, separator, where, often, ratio, loud, note, code, below, key, out = shlex.split(measure.example)
    assert words == ["mao", "tool", "run", "probe", "Measure it's all"]
    assert separator == "--"
    assert [where, often, ratio, loud, note] == ["a place", "1", "2.5", "true", "it's; $HOME `x` \"\\"]
    assert [code, below, key, out] == ["CODE", "BELOW", "@keyring:NAME", "-"]
    assert shlex.split(idle.example) == ["mao", "tool", "run", "probe", "Idle"]


def test_the_arguments_of_the_example_fit(definition: Definition) -> None:
    (command, _) = definition.commands
    given = shlex.split(describe(definition, "c" * 40).commands[0].example)[6:]
    resolve(command.arguments, given)


def test_help_survives_being_written_and_read(definition: Definition) -> None:
    found = describe(definition, "c" * 40)
    assert Help.model_validate_json(found.model_dump_json()) == found
