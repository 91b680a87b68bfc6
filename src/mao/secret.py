"""A secret: the references that stand for it, what it may be, and the forms in which it would get out."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from mao.names import Name, name_fault
from mao.values import Moment, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHORTEST, LONGEST = 8, 32_768
"""Bytes that a secret has: shorter ones stand anywhere, and longer ones are data."""
_FEWEST = 4
"""Different characters in a secret: a row of blanks stands anywhere, too."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LONGEST_PATH = 4095  # PATH_MAX of Linux, without the NUL


class Source(StrEnum):
    """Where a secret is."""

    FILE = "file"
    ENV = "env"
    KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class Reference:
    """Stands for a secret, and is none itself."""

    source: Source
    name: str
    """An absolute path, the name of a variable, or one in the node's keyring."""

    def __str__(self) -> str:
        return f"@{self.source}:{self.name}"


def reference(text: str) -> Reference:
    """The reference that `text` is.

    Raises:
        ValueError: it is none. It may be the secret itself, so it is not repeated.
    """
    if text.startswith("@/"):
        text = f"@file:{text[1:]}"
    kind, separator, name = text.partition(":")
    sources = {f"@{source}": source for source in Source}
    if not separator or kind not in sources:
        raise ValueError(
            "must be a reference, as @keyring:NAME, @env:NAME or @file:/PATH; a secret itself is not taken here, nor"
            " repeated ('mao secret set NAME' puts one into the keyring)"
        )
    source = sources[kind]
    if fault := _fault(source, name):
        raise ValueError(f"begins with @{source}:, and what follows {fault}")
    return Reference(source, name)


def reference_fault(text: str) -> str | None:
    """Why `text` is no reference, as the end of a sentence that does not repeat it; None if it is one."""
    try:
        reference(text)
    except ValueError as error:
        return str(error)
    return None


def _fault(source: Source, name: str) -> str | None:
    match source:
        case Source.KEYRING:
            return name_fault(name)
        case Source.ENV:
            return None if _VARIABLE.fullmatch(name) else "must be the name of a variable"
        case Source.FILE if not name.startswith("/") or not name.isprintable() or len(name.encode()) > _LONGEST_PATH:
            return "must be an absolute path"
        case Source.FILE:
            return "must not hold '..'" if ".." in name.split("/") else None


class Secret(Value):
    """An entry of the keyring, without its value."""

    name: Name
    tools: tuple[Name, ...] = ()
    """The only tools that it is given to, also when the user of another node asks; none: any, for this node's users."""
    set_at: Moment


def text_of(content: bytes) -> str:
    """The secret that a file or a keyring has as its `content`: without the newline at its end.

    Raises:
        ValueError: it cannot be one; it is not repeated.
    """
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if not SHORTEST <= len(content) <= LONGEST:
        raise ValueError(
            f"has {len(content):,} bytes; a secret has {SHORTEST} to {LONGEST:,}, as a shorter one could"
            " not be told from other text in a log"
        )
    if b"\0" in content:
        raise ValueError("holds a NUL byte, which no variable can")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    if len(set(text)) < _FEWEST:
        raise ValueError("has hardly any different characters, and could not be told from other text in a log")
    return text


def hidden(values: Mapping[str, str]) -> dict[str, str]:
    """Every form of the secrets `values`, by their names, with what is to stand in its place."""
    return {form: f"[secret {name}]" for name, value in values.items() for form in forms(value)}


def blotted(text: str, marks: Mapping[str, str]) -> str:
    """`text` with marks in place of what is `hidden`, the longest first."""
    for form in sorted(marks, key=len, reverse=True):
        text = text.replace(form, marks[form])
    return text


def forms(value: str) -> set[str]:
    """What a secret looks like when it gets out: itself, and in the encodings that programs use without a thought.

    Those of base64 are found wherever in a longer text the secret begins, but for up to two characters at each end.
    A secret of several lines is found by a single one of them, too, if that is a long word.
    """
    content = value.encode()
    escaped = json.dumps(value)[1:-1]
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    found = {value, escaped, escaped.replace("/", r"\/"), json.dumps(value, ensure_ascii=False)[1:-1], *quoted}
    found |= {re.sub("%..", lambda code: code[0].lower(), text) for text in quoted}
    found |= {content.hex(), content.hex().upper(), *_base64(content)}
    found |= {escape(value), escape(value, quote=False), value.replace("'", r"'\''")}  # of HTML and XML; of `set -x`
    found |= set(re.findall(r"^\S{20,}$", value.replace("\r", ""), re.MULTILINE))
    return found


def _base64(content: bytes) -> Iterator[str]:
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode()
        own = encoded[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]  # is the same whatever stands beside it
        yield own
        yield own.translate({ord("+"): "-", ord("/"): "_"})
