"""How the text of a setting is read: each of these gives its value, or says in a ValueError what it must be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mao.names import name_fault
from mao.policy import pattern_fault
from mao.registry import SMALLEST_LEASE

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_LAST_PORT = 65535
_MOST_DAYS = 36_600
_LONGEST_LEASE = 3600
_HOST = re.compile(r"[\w.-]+|\[[\w:.%-]+\]", re.ASCII)
_ADDRESS = re.compile(r"([\w.-]+|\[[\w:.%-]+\]):([0-9]{1,5})", re.ASCII)


def name(text: str) -> str:
    if fault := name_fault(text):
        raise ValueError(fault)
    return text


def _host_and_port(text: str) -> tuple[str, int] | None:
    found = _ADDRESS.fullmatch(text)
    return (found[1].strip("[]"), int(found[2])) if found and int(found[2]) <= _LAST_PORT else None


def address(text: str) -> tuple[str, int] | None:
    """HOST:PORT, where any host may stand; None if it is empty."""
    found = _host_and_port(text)
    if text and not found:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:8080")
    return found


def registry(text: str) -> str:
    if text == "sqlite":
        return text
    kind, separator, endpoints = text.partition("://")
    if kind != "etcd" or not separator or not all(map(_host_and_port, endpoints.split(","))):
        raise ValueError("must be 'sqlite', or the members of etcd, as in 'etcd://127.0.0.1:2379,10.0.0.2:2379'")
    return text


def path(text: str) -> Path | None:
    return home(text) if text else None


def size(text: str) -> int:
    number = text.rstrip("kMGB ")
    unit = text[len(number) :].strip()
    if not number.isdigit() or unit not in _UNITS:
        raise ValueError("must be a number of bytes, kB, MB or GB, as in '10 MB'")
    return int(number) * _UNITS[unit]


def home(text: str) -> Path:
    if not text:
        raise ValueError("must not be empty")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("begins with '~', and that user has no home directory") from error


def seconds(most: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not 0 < float(text) <= most:
            raise ValueError(f"must be more than 0 and at most {most}")
        return float(text)

    return read


def days(text: str) -> float:
    if not 0 < float(text) <= _MOST_DAYS:
        raise ValueError(f"must be more than 0 and at most {_MOST_DAYS}")
    return float(text)


def count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("must be a whole number from 1")
    return int(text)


def switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def lease(text: str) -> int:
    if not text.isdigit() or not SMALLEST_LEASE <= int(text) <= _LONGEST_LEASE:
        raise ValueError(f"must be a whole number of seconds from {SMALLEST_LEASE} to {_LONGEST_LEASE}")
    return int(text)


def one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def paths(text: str) -> tuple[Path, ...]:
    return tuple(home(part) for part in text.replace(",", " ").split())


def names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def hosts(text: str) -> tuple[str, ...]:
    given = names(text.lower())
    if wrong := [host for host in given if not _HOST.fullmatch(host)]:
        raise ValueError(f"'{wrong[0]}' is no name of a host; give them without https:// and without a port")
    return given


def remotes(text: str) -> tuple[str, ...]:
    for pattern in names(text):
        if fault := pattern_fault(pattern):
            raise ValueError(f"'{pattern}' {fault}")
    return names(text)


def days_or_none(text: str) -> float:
    return days(text) if text != "0" else 0.0
