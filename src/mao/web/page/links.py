"""Where hosts of git repositories show a commit."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_HTTP = re.compile(r"(https?)://(?:[^/@]*@)?([^/?#@]+)/([^?#]+)", re.IGNORECASE)
_SSH = re.compile(r"(?:ssh://)?[\w.-]+@([\w.-]+)(?::(?:\d+/)?|/)([^?#]+)", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FORMS = {
    "github": "/commit/",
    "gitlab": "/-/commit/",
    "codeberg": "/commit/",
    "gitea": "/commit/",
    "forgejo": "/commit/",
    "bitbucket": "/commits/",
}
"""By the part of a host's name that tells which program it is."""
_FEWEST = 2
"""Parts of a path on these hosts: somebody's name, and the repository's."""


def commit_url(remote: str, commit: str) -> str | None:
    """The page of a commit of `remote`, if that is on a host whose pages are known; with nothing secret of its address.

    Remotes come from anybody: what is returned is a URL of http or https, and of nothing else.
    """
    found = _HTTP.fullmatch(remote)
    ssh = None if found else _SSH.fullmatch(remote)
    if found:
        scheme, host, path = found[1].lower(), found[2].lower(), found[3]
    elif ssh:
        scheme, host, path = "https", ssh[1].lower(), ssh[2]
    else:
        return None
    form = next((_FORMS[part] for part in re.split("[.:]", host) if part in _FORMS), None)
    parts = unquote(path).strip("/").removesuffix(".git").split("/")
    if form is None or not _HOST.fullmatch(host) or not _COMMIT.fullmatch(commit):
        return None
    if len(parts) < _FEWEST or any(part in {"", ".", ".."} or not part.isprintable() for part in parts):
        return None
    return f"{scheme}://{host}/{'/'.join(quote(part, safe='') for part in parts)}{form}{commit}"
