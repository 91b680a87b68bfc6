"""The arguments of a command: what the definition says of them, and whether those given fit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import SchemaError, SchemaValidator, core_schema

from mao.errors import BadArguments
from mao.fields import MAX_ARGUMENT_BYTES, SINCE_1, Description, Flag, Label, Loose, Part, refuse, shown
from mao.names import nearest
from mao.secret import reference_fault

MAX_TOTAL_BYTES = 1_000_000
LONGEST_PATTERN = 1000
MAX_PATTERNS = 20_000
"""How large all the patterns of a definition may be, as `pattern_size` counts: more than most need for one name."""

_STEPS = 1_000_000
"""How large a pattern times its text may be: a fifth of a second in the worst case, in which nothing else is done."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class ArgumentType(StrEnum):
    """What an argument's text has to look like."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    PATH = "path"
    CHOICE = "choice"
    SECRET = "secret"  # noqa: S105 -- the name of a type


_PIECE = re.compile(r"\\[pPxuU]\{[^}]*\}|\\[pP].|\\.|\[\^?\]?|\{[0-9, ]*\}|.", re.DOTALL)
_VERBOSE = re.compile(r"\(\?[A-Za-z]*x")
_SIZES = {".": 10, "[": 10, "[^": 20, r"\d": 50, r"\D": 130, r"\s": 50, r"\S": 130} | dict.fromkeys(
    (r"\w", r"\W", r"\p", r"\P"), 100
)
"""In hundreds of bytes, as they were measured; but of the 50,000 of a letter of any script most are never reached."""


def pattern_size(pattern: str) -> int:
    """About how many states the automaton has that matches `pattern`; rather too many than too few."""
    groups, last, in_class = [0], 0, False
    is_clear = not _VERBOSE.search(pattern)
    for piece in _PIECE.findall(pattern):
        size = _SIZES.get(piece[:2], 1)
        if piece[0] == "[" or (piece == "(" and not in_class):
            is_clear &= not in_class
            in_class |= piece != "("
            groups.append(size)
        elif len(groups) > 1 and piece == ("]" if in_class else ")"):
            in_class = False
            last = groups.pop()
            groups[-1] += last
        elif piece[0] == "{" and not in_class:
            most = _most(piece)
            groups[-1] += last * (most - 1)
            last *= most
        else:
            groups[-1] += size
            last = last if piece in "*+?" and not in_class else size
    # With spaces and comments in between, or classes in classes, it is not so simple what is repeated: by all, then.
    often = 1 if is_clear else math.prod(map(_most, re.findall(r"\{[^}]*\}", pattern)))
    return max(1, sum(groups) * often)


def _most(repetition: str) -> int:
    return max([1, *map(int, re.findall("[0-9]+", repetition))])


@lru_cache(maxsize=32)
def _whole(pattern: str) -> SchemaValidator:
    # Rust's engine takes time linear in pattern and text: with `re`, a tool's could stop the node for years.
    validator = [SchemaValidator(core_schema.str_schema(pattern=text)) for text in (pattern, rf"\A(?:{pattern})\z")]
    return validator[1]


def _pattern_fault(pattern: str) -> str | None:
    try:
        _whole(pattern)
    except SchemaError as error:
        reason = str(error).strip().rsplit("\n", 1)[-1].strip().removeprefix("error: ").removeprefix("SchemaError: ")
        return f"is not a regular expression that can be used: {reason}"
    return None


class Argument(Part):
    """A value that a command is given, by its position or by its name."""

    name: Label
    """What the argument is called in help, in forms and in the record of a run."""
    description: Description = ""
    """What it means, for the person who has to give it."""
    type: Annotated[ArgumentType, SINCE_1] = ArgumentType.STRING
    """What its text has to look like; a `secret` is given by a reference, and goes to the environment."""
    choices: Annotated[tuple[Loose, ...], Field(max_length=1000), SINCE_1] = ()
    """The texts that an argument of the type `choice` may be."""
    default: Annotated[Loose | None, SINCE_1] = None
    """What is passed if nothing is given."""
    required: Annotated[Flag, SINCE_1] = Field(default_factory=lambda given: given.get("default") is None)
    """Whether it has to be given: true unless there is a `Default`."""
    pattern: Annotated[Loose | None, Field(max_length=LONGEST_PATTERN), SINCE_1] = None
    """A regular expression that the whole text has to match; no look-around, no back-reference, no large repetition."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults: list[tuple[tuple[str | int, ...], str]] = []
        is_choice = self.type is ArgumentType.CHOICE
        if is_choice and not self.choices:
            faults.append((("Choices",), "is required with `Type: choice`"))
        if self.choices and not is_choice:
            faults.append((("Choices",), "needs `Type: choice`"))
        if len(set(self.choices)) < len(self.choices):
            faults.append((("Choices",), "must not hold the same choice twice"))
        pattern_fault = None if self.pattern is None else _pattern_fault(self.pattern)
        if pattern_fault:
            faults.append((("Pattern",), pattern_fault))
        if self.default is not None:
            if self.required:
                faults.append((("Required",), "must not be true with a `Default`: then nothing can be missing"))
            if self.type is ArgumentType.SECRET:
                faults.append((("Default",), "must be left out: a secret is not written into a definition"))
            elif not pattern_fault and (fault := self.fault(self.default)):
                faults.append((("Default",), fault))
        refuse(faults)
        return self

    @property
    def variable(self) -> str:
        """The environment variable in which a secret is passed."""
        return "MAO_SECRET_" + re.sub(r"[^A-Z0-9]", "_", self.name.upper())

    def fault(self, text: str) -> str | None:
        """Why the argument cannot be `text`, as the end of a sentence; None if it can."""
        if self.type is ArgumentType.SECRET:  # what it stands for has to match the pattern
            return reference_fault(text)
        return self._type_fault(text) or self.pattern_fault(text)

    def pattern_fault(self, text: str) -> str | None:
        """Why `text` does not match the argument's pattern, as the end of a sentence; None if it does."""
        if self.pattern is None:
            return None
        longest = _STEPS // pattern_size(self.pattern)
        if len(text) > longest:
            return f"must not be longer than {longest:,} characters, as its pattern is large"
        if not _whole(self.pattern).isinstance_python(text):
            return f"must match the pattern {self.pattern}" + self._instead(text)
        return None

    def _type_fault(self, text: str) -> str | None:
        match self.type:
            case ArgumentType.INTEGER if not _INTEGER.fullmatch(text):
                return "must be a whole number" + self._instead(text)
            case ArgumentType.NUMBER if not _NUMBER.fullmatch(text):
                return "must be a number" + self._instead(text)
            case ArgumentType.BOOLEAN if text not in {"true", "false"}:
                return "must be true or false" + self._instead(text)
            case ArgumentType.PATH if not text:
                return "must be a path" + self._instead(text)
            case ArgumentType.CHOICE if text not in self.choices:
                near = nearest(text[:100], self.choices)
                hint = f" (did you mean {shown(near)}?)" if near else ""
                some = ", ".join(map(shown, self.choices[:20])) + (", …" if self.choices[20:] else "")
                return f"must be one of {some}{self._instead(text)}{hint}"
            case _:
                return None

    def _instead(self, text: str) -> str:
        return "" if self.type is ArgumentType.SECRET else f", not {shown(text)}"


@dataclass(frozen=True)
class ResolvedArguments:
    """What a run is started with."""

    argv: tuple[str, ...]
    """Follows the script, exactly as given."""
    recorded: dict[str, str]
    """By name, in the order of the definition; a secret by its reference."""


def resolve(arguments: Sequence[Argument], given: Sequence[Any] | Mapping[str, Any]) -> ResolvedArguments:
    """Check what is `given`, in the order of the definition or by name; None stands for left out.

    Raises:
        BadArguments: with all faults at once, each with `argument` (a name or None) and `message`.
    """
    faults: list[tuple[str | None, str]] = []
    by_name = _by_name(arguments, given, faults)
    texts: dict[str, str] = {}
    for argument in arguments:
        value = by_name.get(argument.name)
        try:
            text = argument.default if value is None else _as_text(argument, value)
            if text is not None:
                texts[argument.name] = text
            elif argument.required:
                raise ValueError("is missing")  # noqa: TRY301 -- one way for every fault of an argument
        except ValueError as error:
            faults.append((argument.name, f"Argument {shown(argument.name)} {error}."))
    if not faults and sum(len(text.encode()) for text in texts.values()) > MAX_TOTAL_BYTES:
        faults.append((None, f"The arguments are over {MAX_TOTAL_BYTES:,} bytes in all."))
    if faults:
        raise BadArguments(
            "\n".join(message for _, message in faults),
            [{"argument": name, "message": message} for name, message in faults],
        )
    return _split(arguments, texts)


def _by_name(
    arguments: Sequence[Argument],
    given: Sequence[Any] | Mapping[str, Any],
    faults: list[tuple[str | None, str]],
) -> dict[str, Any]:
    known = [argument.name for argument in arguments]
    takes = ("takes " + ", ".join(map(shown, known))) if known else "takes none"
    if isinstance(given, Mapping):
        for name in given:
            if name not in known:
                near = nearest(str(name)[:100], known)
                hint = f" (did you mean {shown(near)}?)" if near else f": the command {takes}"
                faults.append((str(name), f"There is no argument {shown(name)}{hint}."))
        return dict(given)
    if isinstance(given, str | bytes):
        faults.append((None, "The arguments must be a list, or a mapping by name."))
        return {}
    if len(given) > len(known):
        faults.append((None, f"There are {len(given)} arguments where the command {takes}."))
    return dict(zip(known, given, strict=False))


def _as_text(argument: Argument, value: object) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError("must be text, a number, true or false")  # noqa: TRY004 -- gathered with the others
    if isinstance(value, int) and abs(value) >= 10**1000:
        raise ValueError("is too long a number; give it as text")
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise ValueError("must not hold a NUL byte")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must be text that UTF-8 can hold") from None
    if size > MAX_ARGUMENT_BYTES:
        raise ValueError(f"is {size:,} bytes long; no more than {MAX_ARGUMENT_BYTES:,} can be passed")
    if fault := argument.fault(text):
        raise ValueError(fault)
    return text


def _split(arguments: Sequence[Argument], texts: Mapping[str, str]) -> ResolvedArguments:
    secret = {argument.name for argument in arguments if argument.type is ArgumentType.SECRET}
    plain = [argument.name for argument in arguments if argument.name not in secret]
    while plain and plain[-1] not in texts:
        plain.pop()
    passed = {name: texts.get(name, "") for name in plain}
    return ResolvedArguments(
        argv=tuple(passed.values()),
        recorded={
            a.name: passed.get(a.name, texts.get(a.name, ""))
            for a in arguments
            if a.name in passed or (a.name in secret and a.name in texts)
        },
    )
