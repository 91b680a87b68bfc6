"""Names of tools, datasets and nodes, and the addresses of git remotes: what is allowed in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEMES = {"https", "http", "ssh", "file"}

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: a clone on Windows could not hold these.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}


def name_fault(name: str) -> str | None:
    """What is wrong with `name`, as the end of a sentence; None if it can name a tool, a dataset or a node."""
    if not re.fullmatch(NAME_PATTERN, name):
        return "must be 1 to 100 of A-Z a-z 0-9 . _ - and begin with a letter or a digit"
    if name.split(".", maxsplit=1)[0].lower() in _DEVICES:
        return "is the name of a device on Windows"
    # git-check-ref-format(1): a name becomes part of a ref.
    if ".." in name or name.lower().endswith((".", ".lock", ".git")):
        return "is reserved by git: no '..', and no '.', '.lock' or '.git' at its end"
    return None


def remote_fault(url: str) -> str | None:
    """What makes `url` dangerous or useless as a git remote, as the end of a sentence; None if nothing does.

    Only transports that cannot be made to run a command are let through (gitremote-helpers(7): `ext::`).
    """
    if not url or url.startswith("-") or _CONTROL.search(url):
        return "must not be empty, begin with '-' or hold control characters"
    if "::" in url.split("/", maxsplit=1)[0]:
        return "names a git remote helper, which could run a command; give https://, ssh:// or file://"
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", url)
    if scheme and scheme[1].lower() not in _SCHEMES:
        return f"has the scheme '{scheme[1][:20]}'; give https://, ssh:// or file://"
    if scheme and (not scheme[2] or scheme[2].startswith("-")):
        return "has no host or path, or one that begins with '-'"
    scp_like = None if scheme else re.match(r"([^/:]+):(.+)", url)
    if scp_like and scp_like[2].startswith("-"):
        return "has a path that begins with '-'"
    return None


def folder_fault(path: str) -> str | None:
    """What is wrong with `path` as that of a folder in a dataset, as the end of a sentence; None if nothing is."""
    if not path or _CONTROL.search(path):
        return "must not be empty or hold control characters"
    if path.startswith("/"):
        return "must begin at the dataset's root, without '/'"
    parts = path.rstrip("/").split("/")
    if parts != ["."] and any(part in {"", ".", ".."} for part in parts):
        return "must not hold '.', '..' or empty parts ('.' alone is the whole dataset)"
    if any(part.lower() == ".git" for part in parts):
        return "must not hold '.git'"
    return None


def is_absolute_remote(url: str) -> bool:
    """Whether `url` means the same remote wherever it is read: a URL, `user@host:path` or an absolute path."""
    return url.startswith("/") or "://" in url or re.match(r"[^/:]+:.+", url) is not None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was most likely meant to be, if any is near; case does not count."""
    import difflib  # noqa: PLC0415  # wanted when something is wrong, paid for by every command otherwise

    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def _checked_name(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


def _checked_remote(url: str) -> str:
    if fault := remote_fault(url):
        raise ValueError(fault)
    return url


def _checked_folder(path: str) -> str:
    if fault := folder_fault(path):
        raise ValueError(fault)
    return path.rstrip("/")


@dataclass(frozen=True, slots=True)
class _Checked:
    """Has pydantic check a field; pydantic is not imported for it, as the command line pays for every import."""

    check: Callable[[str], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415  # see above

        return core_schema.no_info_after_validator_function(self.check, handler(source))


Name = Annotated[str, _Checked(_checked_name)]
Remote = Annotated[str, _Checked(_checked_remote)]
Folder = Annotated[str, _Checked(_checked_folder)]
