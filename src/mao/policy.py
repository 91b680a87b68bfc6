"""What a node lets in: patterns of remotes, and refs that name one commit for good. Rules alone, without any I/O.

A remote that cannot be read in one way only matches no pattern: what git, curl, ssh and a server could each understand
otherwise is refused, not guessed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

APPROVE = ("none", "updates", "all")
"""What has to be approved before it is installed."""

_URL = re.compile(r"(https|http|ssh|file)://([^/]*)(/.*)", re.IGNORECASE)
_SCP_LIKE = re.compile(r"([^/:]+):(.+)")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_LAST_PORT = 65535
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9._-]+")
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\?#]")
_BADLY_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_pinned(ref: str) -> bool:
    """Whether `ref`, in full, is a tag or a commit: a branch, or HEAD, names another commit tomorrow."""
    return ref.startswith("refs/tags/") or _COMMIT.fullmatch(ref) is not None


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with `pattern`, as the end of a sentence; None if it can match remotes."""
    parts = _parts(pattern)
    if parts is None:
        return "is no address of a remote that can be read in one way only, as https://HOST/PATH"
    host, *path = parts
    if "*" in host:
        return "has a '*' before its path; hosts and users are named in full"
    if any("**" in part for part in path[:-1]) or (path and "**" in path[-1] and path[-1] != "**"):
        return "has '**' elsewhere than alone at its end"
    return None


def allows(patterns: Iterable[str], url: str) -> bool:
    """Whether one of `patterns` matches the remote at `url`; with no pattern, every remote is allowed."""
    listed = list(patterns)
    return not listed or any(matches(pattern, url) for pattern in listed)


def matches(pattern: str, url: str) -> bool:
    """Whether the remote at `url` is one of those that `pattern` means.

    `*` is any text in one part of the path; `**` at the end is one part or more. Schemes and hosts are compared without
    regard to case, paths with it.
    """
    wanted, given = _parts(pattern), _parts(url)
    if wanted is None or given is None or pattern_fault(pattern):
        return False
    if wanted[-1] == "**":
        if len(given) < len(wanted):
            return False
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(map(_is_like, wanted, given))


def _is_like(wanted: str, given: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, wanted.split("*"))), given, re.DOTALL) is not None


def _parts(url: str) -> list[str] | None:
    """The scheme with user, host and port, and each part of the path, in one form; None if they cannot be told."""
    split = _split(url)
    if split is None:
        return None
    scheme, authority, path = split
    place = _place(scheme, authority)
    names = _names(path)
    return None if place is None or names is None else [place, *names]


def _split(url: str) -> tuple[str, str, str] | None:
    """Scheme, authority and path of the remote, as git reads it."""
    if not url.isprintable() or _AMBIGUOUS.search(url):
        return None
    if found := _URL.fullmatch(url):
        return found[1].lower(), found[2], found[3]
    if "://" in url or "%" in url:  # git would not decode it here
        return None
    if url.startswith("/"):
        return "file", "", url
    if not (found := _SCP_LIKE.fullmatch(url)):
        return None
    path = found[2]
    # Not from the root, it begins at the home of the user, who is part of where it is.
    return "ssh", found[1], path if path.startswith("/") else f"/{path}" if path.startswith("~") else f"/~/{path}"


def _place(scheme: str, authority: str) -> str | None:
    if scheme == "file":
        return None if authority else "file://"  # git takes the host for a part of the path
    user, at, address = authority.rpartition("@")
    host, port = _address(scheme, address)
    if host is None:
        return None
    if scheme != "ssh":  # a name or a token that is shown to the host does not change which one it is
        return None if "@" in user else f"{scheme}://{host}{port}"
    if at and not _USER.fullmatch(user):
        return None
    return f"ssh://{user}{at}{host}{port}"


def _address(scheme: str, address: str) -> tuple[str | None, str]:
    """The host, and the port with its colon unless it is the scheme's own; None for what is no host."""
    if not address.isascii():
        return None, ""
    bracket = address.rfind("]") + 1
    name, colon, port = address[bracket:].partition(":")
    host = (address[:bracket] + name).lower()
    if not _HOST.fullmatch(host) or (colon and not (port.isdigit() and 0 < int(port) <= _LAST_PORT)):
        return None, ""
    return host, f":{int(port)}" if colon and int(port) != _PORTS[scheme] else ""


def _names(path: str) -> list[str] | None:
    """The parts of a path that begins with `/`, decoded; without the `.git` that hosts take and leave."""
    names = [_decoded(part) for part in path.removesuffix("/").split("/")[1:]]
    if not names or any(name is None or name in {"", ".", ".."} for name in names):
        return None
    found = [name for name in names if name is not None]
    return [*found[:-1], found[-1].removesuffix(".git") or found[-1]]


def _decoded(part: str) -> str | None:
    if _BADLY_ENCODED.search(part):
        return None
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        return None
    # Not what is decoded once more further on, or would be another address undecoded.
    return None if text != part and (not text.isprintable() or re.search(r"[%/\\?#@:*]", text)) else text
