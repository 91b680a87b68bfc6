"""What may stand as a value in a `mao.yaml`: text, paths, command lines, durations, sizes."""

from __future__ import annotations

import operator
import posixpath
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.alias_generators import to_pascal
from pydantic_core import InitErrorDetails, PydanticCustomError

from mao.names import NAME_PATTERN, Name
from mao.values import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_ARGUMENT_BYTES = 131_071
"""execve(2): Linux takes no single string longer than MAX_ARG_STRLEN, which counts the NUL at its end."""

LONGEST_DURATION = 366 * 86_400.0

# U+2028 and U+2029 break lines for some readers; the rest of these can move a terminal's cursor.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_UNITS = {"s sec secs second seconds": 1, "m min mins minute minutes": 60, "h hour hours": 3600}
_UNITS |= {"d day days": 86_400, "w week weeks": 604_800}
_SECONDS = {"": 1} | {name: seconds for names, seconds in _UNITS.items() for name in names.split()}
_BYTES = {"": 1, "b": 1} | {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)}
_BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Part(Value):
    """The base of the definition and its parts: PascalCase outside, as in the file."""

    model_config = ConfigDict(
        alias_generator=to_pascal,
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def _is_unset(value: object) -> bool:
    return value is None or value in ((), {})


OPTIONAL = Field(exclude_if=_is_unset)
SINCE_1 = Field(exclude_if=_is_unset, json_schema_extra={"x-since": "1"})
"""Marks a key that only a file with `Version: 1` may have."""


def refuse(faults: Sequence[tuple[tuple[str | int, ...], str]]) -> None:
    """Raise all of `faults`, if any: each a place below the value at hand, and the end of a sentence."""
    if faults:
        details = [
            InitErrorDetails(type=PydanticCustomError("fault", "{message}", {"message": text}), loc=at, input=None)
            for at, text in faults
        ]
        raise ValidationError.from_exception_data("faults", details)


def shown(value: object, limit: int = 60) -> str:
    """`value` in quotes for a message: on one line, without control characters, and not endless."""
    text = str(value)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return "'" + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "'"


def duplicates(names: Sequence[str]) -> list[tuple[int, str]]:
    """The places and the names that came before, regardless of case."""
    folded = [name.casefold() for name in names]
    first = {name: place for place, name in reversed(list(enumerate(folded)))}
    return [(place, names[first[name]]) for place, name in enumerate(folded) if first[name] != place]


def _text(text: str) -> str:
    if found := _CONTROL.search(text):
        raise ValueError(f"must not hold control characters, such as U+{ord(found[0]):04X}")
    return text


def _line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must be a single line without tabs")
    return _text(text)


def _label(text: str) -> str:
    if not text or text != text.strip():
        raise ValueError("must not be empty, nor begin or end with a space")
    return _line(text)


def _variable(name: str) -> str:
    if not name.isascii() or not name.isidentifier():
        raise ValueError("must be a name of A-Z a-z 0-9 _ that does not begin with a digit")
    if name.startswith("MAO_"):
        raise ValueError("must not begin with MAO_: the node sets those")
    return name


def path_fault(path: str) -> str | None:
    """What stops `path` from being a path inside the tool, as the end of a sentence; None if nothing does."""
    if _CONTROL.search(path) or "\n" in path or "\t" in path:
        return "must not hold control characters"
    if "\\" in path:
        return "must not hold a backslash: '/' separates folders"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "must be relative to the tool's root, not absolute"
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        return "must stay inside the tool: no '..'"
    if any(part.lower() == ".git" for part in parts):
        return "must not be inside '.git'"
    return None if parts else "must name something below the tool's root"


def _relative_path(path: str) -> str:
    if fault := path_fault(path):
        raise ValueError(fault)
    return path


def _folder(path: str) -> str:
    return posixpath.normpath(_relative_path(path))


def _command_line(text: str) -> str:
    _line(text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {str(error).lower()}") from None
    if not words or not words[0]:
        raise ValueError("must name a program")
    if words[0].startswith("/"):
        raise ValueError("must not be an absolute path: give the program's name, which the node finds on its PATH")
    if "/" in words[0] and (fault := path_fault(words[0])):
        raise ValueError(fault)
    return text


def _quantity(value: object, units: dict[str, int]) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) < 100 else None  # noqa: PLR2004
    factor = units.get(found[2].lower()) if found else None
    return float(found[1]) * factor if found and factor is not None else None


def _duration(value: object) -> float:
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise ValueError("must be a duration: seconds, or a number with s, min, h, d or w, such as '2h'")
    if not 0 < seconds <= LONGEST_DURATION:
        raise ValueError("must be more than 0 and at most 366 days")
    return seconds


def _size(value: object) -> int:
    size = _quantity(value, _BYTES)
    if size is None:
        raise ValueError("must be a size: bytes, or a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    if not 1 <= size <= 1024**5:
        raise ValueError("must be at least 1 byte and at most 1024 TiB")
    return int(size)


def _flag(value: object) -> object:
    folded = value.lower() if isinstance(value, str) else ""
    if not isinstance(value, bool) and folded not in _FLAGS:
        raise ValueError("must be true or false")
    return _FLAGS.get(folded, value)


def at_least_one(value: object) -> object:
    """Before, not after: pydantic's own `min_length` counts only the entries without faults."""
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must have at least one entry")
    return value


def _schema(*types: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": list(types), **more}, mode="validation")


# YAML readers make numbers and booleans of 1.10 or no where text is meant: a schema has to let them pass.
Loose = Annotated[str, AfterValidator(_text), _schema("string", "number", "boolean")]
Text = Annotated[str, AfterValidator(_text)]
Description = Annotated[str, AfterValidator(_text), Field(exclude_if=operator.not_)]
Line = Annotated[str, AfterValidator(_line)]
Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_label)]
Variable = Annotated[str, AfterValidator(_variable)]
PlainName = Annotated[Name, Field(json_schema_extra={"pattern": NAME_PATTERN})]
RelativePath = Annotated[str, Field(max_length=1000), AfterValidator(_relative_path)]
Folder = Annotated[str, Field(max_length=1000), AfterValidator(_folder)]
CommandLine = Annotated[str, Field(max_length=1000), AfterValidator(_command_line)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[float, BeforeValidator(_duration), _schema("number", "string", exclusiveMinimum=0)]
Size = Annotated[int, BeforeValidator(_size), _schema("integer", "string", minimum=1)]
