"""A deliberate change of what a dataset holds: a commit that deletes or moves files, and says why and who."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from mao import __version__
from mao.values import Moment, Value, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NODE_TRAILER = "MAO-Node"
_ACTION, _REASON, _PATHS, _BY = "MAO-Action", "MAO-Reason", "MAO-Paths", "MAO-By"
TRAILERS = (_ACTION, _REASON, _PATHS, _BY, NODE_TRAILER)
"""The trailers by which the commit of a change is known, and what it says is read."""


class Action(StrEnum):
    """What is done to the paths."""

    DELETE = "delete"
    MOVE = "move"


class Change(Value):
    """A change of what a dataset holds; its texts are one line each."""

    commit: str
    """On the branch; empty until it is made."""
    action: Action
    paths: tuple[str, ...]
    """Files and folders that are not there any more."""
    to: str | None = None
    """Where the one of `paths` is now that was moved."""
    reason: str
    by: str | None = None
    """Who decided it, as they said."""
    node: str
    at: Moment


def message(change: Change) -> str:
    """The commit message of a change.

    The subject is `<action> YYYY-MM-DD: <number> paths` with the UTC day. Trailers are one line each
    (git-interpret-trailers(1)); the paths are JSON in ASCII: a list, or of a move an object from old to new.
    """
    told = list(change.paths) if change.to is None else {change.paths[0]: change.to}
    trailers = {
        _ACTION: change.action.value,
        _REASON: change.reason,
        _PATHS: json.dumps(told, separators=(",", ":")),
        NODE_TRAILER: change.node,
        **({_BY: change.by} if change.by else {}),
        "MAO-Version": __version__,
    }
    number = f"{len(change.paths)} path{'s' * (len(change.paths) != 1)}"
    subject = f"{change.action} {rfc3339(change.at)[:10]}: {number}"
    return subject + "\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())


def read(commit: str, at: datetime, trailers: Mapping[str, str]) -> Change | None:
    """The change that a commit made, by its trailers; None if it made none, or somebody else wrote them."""
    try:
        action = Action(trailers.get(_ACTION, ""))
        told = json.loads(trailers.get(_PATHS, ""))
        paths, to = (told, None) if action is Action.DELETE else (tuple(told), next(iter(told.values())))
        return Change(
            commit=commit,
            action=action,
            paths=paths,
            to=to,
            reason=trailers.get(_REASON, ""),
            by=trailers.get(_BY),
            node=trailers.get(NODE_TRAILER, ""),
            at=at,
        )
    except (ValueError, AttributeError, StopIteration, TypeError):
        return None
