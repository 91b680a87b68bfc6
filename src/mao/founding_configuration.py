"""The configuration of the founding program: an ini file, of which the home, the name and the registry are taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mao.errors import BadSetting

if TYPE_CHECKING:
    from configparser import ConfigParser
    from pathlib import Path

_HEADING = re.compile(rb"^(\xef\xbb\xbf)?\[(WORKING_ENVIRONMENT|ETCD)\]", re.MULTILINE)
_TAKEN = {"WORKING_ENVIRONMENT": ("importdir", "user"), "ETCD": ("host", "port")}
_ETCD_PORT = "2379"


def is_one(path: Path) -> bool:
    """Whether the file at `path` is of the founding program: other programs have a `config.ini`, too.

    Raises:
        OSError: it cannot be read.
    """
    return _HEADING.search(path.read_bytes()) is not None


def read(path: Path) -> dict[str, tuple[str, str]]:
    """The settings that the file gives: the text of each, and where that stands.

    Raises:
        BadSetting: it is no ini file.
    """
    parsed = _parsed(path)
    found: dict[str, tuple[str, str]] = {}
    for setting, key in (("node.home", "importdir"), ("node.name", "user")):
        if text := parsed.get("WORKING_ENVIRONMENT", key, fallback=""):
            found[setting] = (text, f"{path}, [WORKING_ENVIRONMENT] {key}")
    host, port = (parsed.get("ETCD", key, fallback="") for key in ("host", "port"))
    if host or port:
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        found["registry.url"] = (f"etcd://{host}:{port or _ETCD_PORT}", f"{path}, [ETCD] host and port")
    return found


def passed_over(path: Path) -> list[str]:
    """What stands in the file and is not taken: sections, and keys of the others.

    Raises:
        BadSetting: it is no ini file.
    """
    parsed = _parsed(path)
    sections = [f"[{section}]" for section in parsed.sections() if section not in _TAKEN]
    keys = [
        f"[{section}] {key}"
        for section, taken in _TAKEN.items()
        if parsed.has_section(section)
        for key in parsed.options(section)
        if key not in taken
    ]
    return keys + sections


def _parsed(path: Path) -> ConfigParser:
    from configparser import ConfigParser, Error  # noqa: PLC0415  # most nodes have no such file

    parsed = ConfigParser(interpolation=None)
    try:
        parsed.read_string(path.read_text("utf-8-sig"), source=str(path))
    except (OSError, ValueError, Error) as error:
        raise BadSetting(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return parsed
