"""The help of an installed tool: what can be run and how, from its cached definition alone."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from mao.arguments import ArgumentType
from mao.values import Value

if TYPE_CHECKING:
    from mao.arguments import Argument
    from mao.definition import Command, Definition


class ArgumentHelp(Value):
    """What is known of an argument."""

    name: str
    description: str
    type: str
    required: bool
    default: str | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None


class CommandHelp(Value):
    """What is known of a command."""

    name: str
    description: str
    arguments: tuple[ArgumentHelp, ...]
    example: str
    """A line that runs it, for a shell."""


class Help(Value):
    """What can be run of a tool."""

    tool: str
    description: str
    commit: str
    dataset: str
    commands: tuple[CommandHelp, ...]


def describe(definition: Definition, commit: str) -> Help:
    """The help of a tool at `commit`."""
    return Help(
        tool=definition.name,
        description=definition.description,
        commit=commit,
        dataset=definition.data.repo.name,
        commands=tuple(_command(definition.name, command) for command in definition.commands),
    )


def _command(tool: str, command: Command) -> CommandHelp:
    words = ["mao", "tool", "run", tool, command.name]
    if command.arguments:
        words += ["--", *map(_example, command.arguments)]
    return CommandHelp(
        name=command.name,
        description=command.description,
        arguments=tuple(
            ArgumentHelp(
                name=argument.name,
                description=argument.description,
                type=argument.type.value,
                required=bool(argument.required),
                default=argument.default,
                choices=argument.choices or (),
                pattern=argument.pattern,
            )
            for argument in command.arguments
        ),
        example=shlex.join(words),
    )


def _example(argument: Argument) -> str:
    if argument.default is not None or argument.choices:
        return argument.choices[0] if argument.default is None else argument.default
    match argument.type:
        case ArgumentType.INTEGER:
            return "1"
        case ArgumentType.NUMBER:
            return "1.5"
        case ArgumentType.BOOLEAN:
            return "true"
        case ArgumentType.SECRET:
            return "@keyring:NAME"
        case _:
            return argument.name.upper()
