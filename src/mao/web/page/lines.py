"""The run that a form asks for, as a line for a shell: of the command line, and of curl."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, NamedTuple

from mao.arguments import ArgumentType
from mao.errors import BadArguments
from mao.secret import reference_fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mao.definition import Argument, Command

_OPEN = "@keyring:NAME"
"""In place of a secret to which there is no reference yet."""


class Lines(NamedTuple):
    """What starts a run elsewhere just as the form does here."""

    cli: str | None
    """None if the command line has no words for it."""
    curl: str
    faults: tuple[str, ...]
    """What is wrong with the arguments so far, in words."""


def lines(tool: str, command: Command, given: Sequence[str], *, publish: bool, address: str) -> Lines:
    """What starts a run of `command` with what a form holds so far.

    What is still to be given is there under its name, in capitals.

    Args:
        tool: its name.
        command: of the tool.
        given: the texts of the form's fields, in the order of the arguments; empty for what is left out.
        publish: whether its data is to go to the dataset.
        address: of the node, as a browser has it: `http://127.0.0.1:8080`.
    """
    texts = {argument.name: text for argument, text in zip(command.arguments, given, strict=False) if text}
    faults: tuple[str, ...] = ()
    try:
        command.resolve(texts)
    except BadArguments as error:
        faults = tuple(fault["message"] for fault in error.faults)
    opened = texts | {argument.name: _open(argument) for argument in command.arguments if _is_open(argument, texts)}
    texts = {argument.name: opened[argument.name] for argument in command.arguments if argument.name in opened}
    return Lines(
        _cli(tool, command, texts, publish=publish), _curl(address, tool, command, texts, publish=publish), faults
    )


def _is_open(argument: Argument, texts: Mapping[str, str]) -> bool:
    if argument.name not in texts:
        return bool(argument.required)
    # It may be the secret itself, which is to stand nowhere.
    return argument.type is ArgumentType.SECRET and reference_fault(texts[argument.name]) is not None


def _open(argument: Argument) -> str:
    return _OPEN if argument.type is ArgumentType.SECRET else argument.name.upper()


def _cli(tool: str, command: Command, texts: Mapping[str, str], *, publish: bool) -> str | None:
    words = ["mao", "tool", "run"] + ([] if publish else ["--no-publish"])
    ordered = _ordered(command, texts)
    named = (
        [] if ordered is not None else [word for name, text in texts.items() for word in ("--arg", f"{name}={text}")]
    )
    if ordered is None and any("=" in name for name in texts):
        return None
    if command.name.startswith("-"):  # what looks like an option follows the end of them
        return shlex.join([*words, *named, "--", tool, command.name, *(ordered or ())])
    return shlex.join([*words, tool, command.name, *named, *(["--", *ordered] if ordered else [])])


def _ordered(command: Command, texts: Mapping[str, str]) -> list[str] | None:
    """The arguments in their order, of which only the last are left out; None if that does not say the same."""
    passed = list(command.arguments)
    while passed and passed[-1].name not in texts:
        passed.pop()
    found = [texts.get(argument.name, argument.default or "") for argument in passed]
    if len(found) == len(texts):
        return found
    try:
        same = command.resolve(found) == command.resolve(texts)
    except BadArguments:
        same = False
    return found if same else None


def _curl(address: str, tool: str, command: Command, texts: Mapping[str, str], *, publish: bool) -> str:
    body = {"tool": tool, "command": command.name, "arguments": texts} | ({} if publish else {"publish": False})
    text = json.dumps(body, ensure_ascii=False)
    if not text.isprintable():  # what would turn the line around, or cannot be seen, is escaped
        text = json.dumps(body)
    return " \\\n  ".join(
        [
            f"curl -sS -X POST {shlex.quote(address.rstrip('/') + '/api/v1/runs')}",
            '-H "Authorization: Bearer $MAO_TOKEN"',  # the shell is to put it in
            "-H 'Content-Type: application/json'",
            f"-d {shlex.quote(text)}",
        ]
    )
