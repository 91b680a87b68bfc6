"""The definition of a tool, from its `mao.yaml`; the JSON Schema and the reference are generated from it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mao.arguments import (
    LONGEST_PATTERN,
    MAX_PATTERNS,
    Argument,
    ArgumentType,
    ResolvedArguments,
    pattern_size,
    resolve,
)
from mao.definition_terms import Author, Input, Lateness, Network, Resources, author
from mao.errors import CommandNotFound
from mao.fields import (
    MAX_ARGUMENT_BYTES,
    OPTIONAL,
    SINCE_1,
    CommandLine,
    Description,
    Duration,
    Flag,
    Folder,
    Label,
    Line,
    Loose,
    Part,
    PlainName,
    RelativePath,
    Text,
    Variable,
    at_least_one,
    duplicates,
    refuse,
)
from mao.names import Remote, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "Argument",
    "ArgumentType",
    "Command",
    "Data",
    "Definition",
    "Installer",
    "Repo",
    "ResolvedArguments",
]


class Repo(Part):
    """The dataset that runs publish to."""

    name: PlainName
    """The dataset's name in the registry."""
    remote: Remote
    """The address of its git remote."""


class Data(Part):
    """Where runs write their data, and where it is published."""

    local: Annotated[Folder | None, OPTIONAL] = None
    """The folder, relative to the tool's root, that runs share and write to."""
    fresh: Annotated[Flag, SINCE_1] = False
    """Whether each run writes into an empty folder of its own, so that runs may overlap and `Local` is not needed."""
    repo: Repo
    """The dataset that the data is published to."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.local is None and not self.fresh:
            refuse([(("Local",), "is required, unless `Fresh` is true")])
        return self


class Installer(Part):
    """What is run once, when the tool is installed on a node."""

    command: CommandLine
    """The program that runs the script, with its options: `bash`, `python3 -u`."""
    script: RelativePath
    """The script, relative to the tool's root."""

    def argv(self) -> tuple[str, ...]:
        """The words to execute, in the tool's root."""
        return (*shlex.split(self.command), self.script)


class Command(Part):
    """One thing that the tool can be asked to do."""

    name: Label
    """What people call it; unique in the tool, regardless of case."""
    description: Description = ""
    """What it does, for the person who may run it."""
    command: CommandLine
    """The program that runs the script, with its options: `bash`, `python3 -u`."""
    script: RelativePath
    """The script, relative to the tool's root."""
    arguments: Annotated[tuple[Argument, ...], Field(max_length=100), OPTIONAL] = ()
    """What follows the script, in this order."""
    timeout: Annotated[Duration | None, SINCE_1] = None
    """How long a run of this command may take; in place of the tool's own `Timeout`."""

    @field_validator("arguments")
    @classmethod
    def _distinct(cls, arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        first: dict[str, int] = {}
        faults: list[tuple[tuple[str | int, ...], str]] = []
        for place, argument in enumerate(arguments):
            if first.setdefault(argument.name, place) != place:
                faults.append(((place, "Name"), "is the name of another argument of the command"))
        secrets = [(i, a.variable) for i, a in enumerate(arguments) if a.type is ArgumentType.SECRET]
        faults += [
            ((secrets[again][0], "Name"), f"gives the variable {variable}, which is another secret's")
            for again, variable in duplicates([variable for _, variable in secrets])
        ]
        refuse(faults)
        return arguments

    @property
    def secrets(self) -> tuple[Argument, ...]:
        """Those of the arguments that go to the environment."""
        return tuple(argument for argument in self.arguments if argument.type is ArgumentType.SECRET)

    def argv(self, arguments: Iterable[str] = ()) -> tuple[str, ...]:
        """The words to execute, in the tool's root."""
        return (*shlex.split(self.command), self.script, *arguments)

    def resolve(self, given: Sequence[Any] | Mapping[str, Any]) -> ResolvedArguments:
        """Check the arguments `given`, a list in the order of the definition or a mapping by name.

        Raises:
            BadArguments: with every fault at once.
        """
        return resolve(self.arguments, given)


def _patterns_fit(commands: object) -> object:
    """Before any is looked at: a file of 30 kB could have gigabytes made of its patterns."""
    if isinstance(commands, list | tuple) and sum(map(pattern_size, _patterns(commands))) > MAX_PATTERNS:
        raise ValueError("have patterns that are too large in all: repeat less by {n}, and write [A-Za-z0-9_] for \\w")
    return commands


def _patterns(commands: Iterable[object]) -> Iterator[str]:
    for command in commands:
        arguments = command.get("Arguments", command.get("arguments")) if isinstance(command, dict) else None
        for argument in arguments if isinstance(arguments, list | tuple) else ():
            pattern = argument.get("Pattern", argument.get("pattern")) if isinstance(argument, dict) else None
            if isinstance(pattern, str) and len(pattern) <= LONGEST_PATTERN:
                yield pattern


def _version(value: object) -> object:
    return "1" if value == 1 and not isinstance(value, bool) else value


class Definition(Part):
    """What a tool is, what it can be asked to do, and where its data goes."""

    version: Annotated[Literal["0.1", "0.2", "1"], BeforeValidator(_version)] = "1"
    """The format of the file; `1` for the newest. The formats 0.1 and 0.2 do not have this key."""
    name: PlainName
    """The tool's name in the registry."""
    description: Description = ""
    """What the tool does, for the people who look for one."""
    data: Data
    """Where runs write their data, and where it is published."""
    installer: Annotated[Installer | None, OPTIONAL] = None
    """What is run once when the tool is installed; left out, there is nothing to install."""
    commands: Annotated[
        tuple[Command, ...],
        Field(max_length=200, json_schema_extra={"minItems": 1}),
        BeforeValidator(at_least_one),
        BeforeValidator(_patterns_fit),
    ]
    """What the tool can be asked to do."""
    environment: Annotated[dict[Variable, Loose], SINCE_1] = Field(default_factory=dict)
    """Variables that every run gets."""
    timeout: Annotated[Duration | None, SINCE_1] = None
    """How long a run may take: seconds, or a number with s, min, h, d or w. Then it is stopped."""
    inputs: Annotated[tuple[Input, ...], Field(max_length=100), SINCE_1] = ()
    """Datasets that runs read."""
    lateness: Annotated[Lateness | None, SINCE_1] = None
    """What becomes of slots of a schedule whose time has passed."""
    image: Annotated[str | None, Field(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]{0,499}$"), SINCE_1] = None
    """The container image that runs use, on nodes that run containers."""
    resources: Annotated[Resources | None, SINCE_1] = None
    """The most that a run may use."""
    network: Annotated[Network | None, SINCE_1] = None
    """What runs may reach, on nodes with a sandbox: `full`, all that the machine does, if left out; or `none`."""
    license: Annotated[Line | None, SINCE_1] = None
    """The licence of the data, as an SPDX expression: `CC-BY-4.0`."""
    citation: Annotated[Text | None, SINCE_1] = None
    """How to cite the data."""
    authors: Annotated[
        tuple[Annotated[Author, BeforeValidator(author, json_schema_input_type=str | Author)], ...],
        Field(max_length=200),
        SINCE_1,
    ] = ()
    """Who is to be credited for the data."""

    @field_validator("commands")
    @classmethod
    def _distinct(cls, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        again = duplicates([command.name for command in commands])
        refuse([((place, "Name"), f"is also the name of another command, '{first}'") for place, first in again])
        return commands

    @field_validator("environment")
    @classmethod
    def _short(cls, environment: dict[str, str]) -> dict[str, str]:
        too_long = [k for k, v in environment.items() if len(f"{k}={v}".encode()) > MAX_ARGUMENT_BYTES]
        refuse([((name,), f"must not be longer than {MAX_ARGUMENT_BYTES:,} bytes") for name in too_long])
        return environment

    @model_validator(mode="after")
    def _apart(self) -> Self:
        folders = [] if self.data.local is None else [self.data.local + "/"]
        faults: list[tuple[tuple[str | int, ...], str]] = []
        for place, item in enumerate(self.inputs):
            path = item.path + "/"
            if clash := next((f for f in folders if path.startswith(f) or f.startswith(path)), None):
                faults.append((("Inputs", place, "Path"), f"must be apart from '{clash[:-1]}'"))
            folders.append(path)
        refuse(faults)
        return self

    def command(self, name: str) -> Command:
        """The command called `name`, regardless of case.

        Raises:
            CommandNotFound: with the nearest name, and all there are.
        """
        by_name = {command.name.casefold(): command for command in self.commands}
        if found := by_name.get(name.casefold()):
            return found
        known = [command.name for command in self.commands]
        near = nearest(name[:100], known)
        hint = f" (did you mean '{near}'?)" if near else ""
        raise CommandNotFound(f"{self.name} has no command '{name[:100]}'{hint}. It has: {', '.join(known)}.")
