"""What must be true of the loader of definitions, whatever it is given: for the tests, and for `fuzz/`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from mao.definition import Command, Definition
from mao.definition_file import load
from mao.definition_schema import json_schema
from mao.errors import BadArguments, BadDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_MESSAGE = 2500
SCHEMA = Draft202012Validator(json_schema())

_GIVEN: tuple[Any, ...] = (
    "",
    "x",
    "-1",
    "1e5",
    "true",
    7,
    10**999,
    0.5,
    True,
    "a\nb\0",
    "é" * 70_000,
    "\ud800",
    [],
    {},
)


def check_definition(text: bytes | str) -> Definition | None:
    """Load `text`, and see that what comes of it, a definition or faults, is as it should be."""
    try:
        definition = load(text, "dir/mao.yaml")
    except BadDefinition as error:
        _check_faults(error, text)
        return None
    _check_travels(definition)
    for command in definition.commands:
        assert definition.command(command.name) is command
        _check_resolves(command)
    if definition.installer:
        assert definition.installer.argv()
    return definition


def _check_faults(error: BadDefinition, text: bytes | str) -> None:
    assert error.faults
    decoded = text if isinstance(text, str) else text.decode(errors="replace")
    rows = re.split("\r\n|\r|\n", decoded.removeprefix("\ufeff"))
    for fault in error.faults:
        assert fault.keys() == {"file", "line", "column", "path", "text", "message", "suggestion"}
        assert fault["file"] == "dir/mao.yaml"
        assert 1 <= fault["line"] <= len(rows), fault
        assert 1 <= fault["column"] <= len(rows[fault["line"] - 1]) + 1, fault
        assert fault["path"].isprintable()
        assert fault["text"].isprintable()
        assert len(fault["text"]) <= 100
        assert 0 < len(fault["message"]) < LONGEST_MESSAGE
    assert all(row.isprintable() for row in error.detail.split("\n"))
    json.dumps(error.faults, ensure_ascii=False).encode()


def _check_travels(definition: Definition) -> None:
    assert Definition.model_validate_json(definition.model_dump_json()) == definition
    dumped = json.loads(json.dumps(definition.model_dump(mode="json")))
    assert Definition.model_validate(dumped) == definition
    SCHEMA.validate(dumped | {"Version": "1"})  # the older formats are parts of the newest one


def _check_resolves(command: Command) -> None:
    for given in _arguments(command):
        try:
            resolved = command.resolve(given)
        except BadArguments as error:
            assert error.faults  # noqa: PT017  # both outcomes are right
            continue
        for word in (*command.argv(resolved.argv), *resolved.recorded.values()):
            word.encode()
            assert "\0" not in word


def _arguments(command: Command) -> Iterator[Any]:
    yield []
    yield {argument.name: argument.choices[0] if argument.choices else "1" for argument in command.arguments}
    names = [argument.name for argument in command.arguments] or ["x"]
    for value in _GIVEN:
        yield {names[0]: value}
        yield [value] * len(names)
