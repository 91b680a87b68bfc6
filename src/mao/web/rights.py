"""Which right each request needs. What is not in the table needs that of an administrator, so no route is forgotten."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mao import running, scheduling
from mao.caller import Right
from mao.errors import NotAllowed

if TYPE_CHECKING:
    from mao.caller import Caller
    from mao.local_node import LocalNode

_NODES = "/api/v1/nodes/"

# `*` stands for one part of a path, whatever it is.
_NONE = "GET /healthz, GET /readyz, GET /login, POST /login, POST /logout, GET /static/*"
_READ = """
    GET /,
    GET /docs, GET /metrics, GET /regtools, GET /datasets, GET /installed, POST /help,
    GET /api/v1/openapi.json, GET /api/v1/events, GET /api/v1/alarms, GET /api/v1/approvals,
    GET /api/v1/health, GET /view/nodes, GET /view/nodes/*,
    GET /api/v1/tools, GET /api/v1/tools/*,
    GET /api/v1/datasets, GET /api/v1/datasets/*, GET /api/v1/datasets/*/growth, GET /api/v1/datasets/*/changes,
    GET /api/v1/datasets/*/changes/*, GET /api/v1/datasets/*/conflicts, GET /api/v1/datasets/*/verification,
    GET /api/v1/installations, GET /api/v1/installations/*, GET /api/v1/installations/*/help,
    GET /api/v1/installations/*/update, GET /api/v1/installations/*/log,
    GET /api/v1/installations/*/log/search, GET /view/installations/*/output,
    GET /api/v1/clones, GET /api/v1/clones/*,
    GET /api/v1/runs, GET /api/v1/runs/*, GET /api/v1/runs/*/log, GET /api/v1/runs/*/log/search,
    GET /view/runs, GET /view/runs/*, GET /view/runs/*/output,
    GET /api/v1/clones/*/files, GET /api/v1/clones/*/content,
    GET /api/v1/runs/*/files, GET /api/v1/runs/*/content,
    GET /api/v1/datasets/*/course,
    GET /view/datasets, GET /view/datasets/*, GET /view/datasets/*/growth,
    GET /api/v1/schedules, GET /api/v1/schedules/*, GET /api/v1/schedules/*/preview, GET /api/v1/schedules/*/slots,
    GET /view/tools, GET /view/tools/*, GET /view/tools/*/lines, GET /view/tools/*/update,
    GET /api/v1/schedules/*/calendar, GET /view/schedules, GET /view/schedules/*, GET /view/schedules/*/edit,
    GET /api/v1/cluster, GET /api/v1/cluster/join, GET /api/v1/nodes, GET /api/v1/nodes/*
"""
_RUN = {
    "body.name": "POST /run",
    "body.tool": "POST /api/v1/runs, POST /api/v1/schedules",
    "run": "POST /api/v1/runs/*/cancel, POST /api/v1/runs/*/publish",
    "schedule": """
        PATCH /api/v1/schedules/*, DELETE /api/v1/schedules/*,
        POST /api/v1/schedules/*/pause, POST /api/v1/schedules/*/resume, POST /api/v1/schedules/*/backfill
    """,
}
"""By what tells the tool: a key of the body, or what is named by the first `*`."""


class _Line(NamedTuple):
    """One line of the table."""

    parts: tuple[str, ...]
    right: Right
    tool: str = ""

    def matches(self, parts: tuple[str, ...]) -> bool:
        return all(
            given == wanted or (wanted == "*" and given) for given, wanted in zip(parts, self.parts, strict=True)
        )


def _lines(text: str, right: Right, tool: str = "") -> list[_Line]:
    return [_Line(_parts(*route.split()), right, tool) for route in text.split(",")]


def _parts(method: str, path: str) -> tuple[str, ...]:
    return ("GET" if method == "HEAD" else method, *path.split("/")[1:])


_LINES = [*_lines(_NONE, Right.NONE), *_lines(_READ, Right.READ)]
_LINES += [line for tool, text in _RUN.items() for line in _lines(text, Right.RUN, tool)]
_TABLE: dict[tuple[str, int], list[_Line]] = {}
"""By the method and the number of parts: each request looks here."""
for _line in _LINES:
    _TABLE.setdefault((_line.parts[0], len(_line.parts)), []).append(_line)


def _meant(path: str) -> str:
    """`path`, or that which another node is to be asked for."""
    name, separator, rest = path.removeprefix(_NODES).partition("/api/")
    return f"/api/v1/{rest}" if path.startswith(_NODES) and separator and name and "/" not in name else path


@lru_cache(maxsize=1024)  # each request asks several times, and most ask what others have asked
def _found(method: str, path: str) -> _Line | None:
    parts = _parts(method, _meant(path))
    return next((line for line in _TABLE.get((parts[0], len(parts)), ()) if line.matches(parts)), None)


def needed(method: str, path: str) -> Right:
    """The right that a request needs; one that is passed on needs what it would need here."""
    line = _found(method, path)
    return line.right if line else Right.ADMIN


def check(caller: Caller, method: str, path: str) -> None:
    """See that `caller` has the right that a request needs.

    Raises:
        NotAllowed: nothing was done.
    """
    right = needed(method, path)
    if caller.right < right:
        raise NotAllowed(
            f"{method} {path} needs the right '{right.scope}'; {_words(caller)} has '{caller.right.scope}'. The owner"
            f" of the node can make a token with that scope: 'mao token create'. Nothing was done."
        )


def check_tool(caller: Caller, node: LocalNode, method: str, path: str, body: Any) -> None:
    """See that a caller who is limited to some tools changes nothing about another one.

    Raises:
        NotAllowed: nothing was done.
        RunNotFound, ScheduleNotFound
    """
    line = _found(method, path)
    if caller.tools is None or (line and line.right <= Right.READ):
        return
    tool = _tool(node, line, path, body) if line else None
    if tool is None or tool.lower() not in caller.tools:
        what = f"'{tool}'" if tool is not None else "what is not known to be about one of them"
        raise NotAllowed(
            f"{_words(caller).capitalize()} is limited to {', '.join(map(repr, sorted(caller.tools)))}, and this is"
            f" about {what}. Nothing was done."
        )


def _tool(node: LocalNode, line: _Line, path: str, body: Any) -> str | None:
    """The tool that a request is about; None if that is not known."""
    source, _, key = line.tool.partition(".")
    if source == "body":
        named = body.get(key) if isinstance(body, dict) else None
        return named if isinstance(named, str) else None
    if _meant(path) != path:
        return None  # it is on another node
    found = _parts("", path)[line.parts.index("*")]
    return (running.find_run if source == "run" else scheduling.find_schedule)(node, found).tool


def _words(caller: Caller) -> str:
    kind, _, name = caller.name.partition(":")
    return f"{kind} '{name}'" if name else kind
