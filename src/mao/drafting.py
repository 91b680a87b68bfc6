"""Drafting a `mao.yaml`: what `mao definition new` writes for somebody who begins a tool."""

from __future__ import annotations

from dataclasses import dataclass

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}

_HEAD = """\
# The definition of a tool: what it is, what it can be asked to do, and where its data goes.
# MAO.md has every key; `mao definition check` tells what is wrong.
Version: 1
"""
_FRESH = """\
  # Each run writes into an empty folder of its own, $MAO_DATA_DIR, so runs may overlap.
  Fresh: true
"""
_SHARED = """\
  # Runs share this folder, one at a time; it is relative to the tool's root.
"""
_REPO = """\
  # The dataset that the data is published to: its name in the registry, and its git remote.
"""
_INSTALLER = """
# Run once on every node that the tool is installed on.
"""
_NO_INSTALLER = """
# Run once on every node that the tool is installed on:
# Installer: {Command: bash, Script: install.sh}
"""
_COMMANDS = """
# What the tool can be asked to do. A script gets the arguments in this order.
"""
_TAIL = """
# Stop a run that takes longer than this:
# Timeout: 30 min

# The licence of the data, and who is to be credited for it:
# License: CC-BY-4.0
# Authors: [{Name: Ada Example, Orcid: 0000-0002-1825-0097}]
"""


@dataclass(frozen=True)
class DraftArgument:
    """An argument of a command to be drafted."""

    name: str
    description: str = ""
    default: str | None = None


@dataclass(frozen=True)
class DraftCommand:
    """A command to be drafted."""

    name: str
    command: str
    script: str
    description: str = ""
    arguments: tuple[DraftArgument, ...] = ()


@dataclass(frozen=True)
class Draft:
    """What a definition is drafted from."""

    name: str
    dataset: str
    remote: str
    commands: tuple[DraftCommand, ...]
    description: str = ""
    local: str | None = None
    """The folder that runs share; None for a fresh one each."""
    installer: tuple[str, str] | None = None
    """Its command and its script."""


def draft(values: Draft) -> str:
    """The text of a definition with comments; it is as valid as `values` are."""
    data = _FRESH if values.local is None else f"{_SHARED}  Local: {quoted(values.local)}\n"
    repo = f"  Repo:\n    Name: {quoted(values.dataset)}\n    Remote: {quoted(values.remote)}\n"
    installer = _NO_INSTALLER
    if values.installer:
        command, script = map(quoted, values.installer)
        installer = f"{_INSTALLER}Installer:\n  Command: {command}\n  Script: {script}\n"
    return "".join(
        (
            _HEAD,
            f"Name: {quoted(values.name)}\nDescription: {quoted(values.description)}\n\nData:\n",
            data + _REPO + repo + installer + _COMMANDS + "Commands:\n",
            *map(_command, values.commands),
            _TAIL,
        )
    )


def _command(command: DraftCommand) -> str:
    lines = [
        f"  - Name: {quoted(command.name)}",
        f"    Description: {quoted(command.description)}",
        f"    Command: {quoted(command.command)}",
        f"    Script: {quoted(command.script)}",
        *(["    Arguments:"] if command.arguments else []),
    ]
    for argument in command.arguments:
        lines.append(f"      - Name: {quoted(argument.name)}")
        lines.append(f"        Description: {quoted(argument.description)}")
        if argument.default is not None:
            lines.append(f"        Default: {quoted(argument.default)}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """`text` as a double-quoted scalar (YAML 1.1, 5.7), on one line whatever it holds."""
    return '"' + "".join(_ESCAPES.get(char) or _escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    return char if char.isprintable() else f"\\U{ord(char):08X}"
