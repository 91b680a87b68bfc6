"""What a commit of data says about where it comes from: its subject and git trailers."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from mao import __version__
from mao.values import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mao.run import Run

RUN_TRAILER = "MAO-Run"
BESIDE_TRAILER = "MAO-Beside"
_REPLACES_TRAILER = "MAO-Replaces"
TOOL_TRAILER = "MAO-Tool"
NODE_TRAILER = "MAO-Node"
SCHEDULE_TRAILER = "MAO-Schedule"
SLOT_TRAILER = "MAO-Slot"
FILES_TRAILER = "MAO-Files"
SIZE_TRAILER = "MAO-Bytes"


def message(run: Run) -> str:
    """The commit message of a run's data.

    The subject is `sync YYYY-MM-DD: <tool> <command>` with the UTC day on which the run started. Trailers are one
    line each (git-interpret-trailers(1)); the arguments are JSON in ASCII, with secrets by their references. How many
    files the run added or changed, and their bytes, are there so that a dataset's growth follows from its messages
    alone.
    """
    files = run.publication.files if run.publication else ()
    started = run.started_at or run.created_at
    trailers = {
        RUN_TRAILER: run.id,
        TOOL_TRAILER: run.tool,
        "MAO-Tool-Commit": run.tool_commit,
        "MAO-Command": _one_line(run.command),
        "MAO-Arguments": json.dumps(run.arguments, separators=(",", ":")),
        FILES_TRAILER: str(len(files)),
        SIZE_TRAILER: str(sum(file.size for file in files)),
        NODE_TRAILER: run.node,
        "MAO-Started": rfc3339(started),
        "MAO-Ended": rfc3339(run.ended_at or started),
        "MAO-Version": __version__,
    }
    if run.schedule and run.slot:
        trailers |= {SCHEDULE_TRAILER: run.schedule, SLOT_TRAILER: rfc3339(run.slot)}
    subject = f"sync {rfc3339(started)[:10]}: {run.tool} {_one_line(run.command)}"
    return subject + "\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())


def with_beside(message: str, beside: Mapping[bytes, bytes]) -> str:
    """`message`, telling which files stand at another path, as their own had other content: JSON, own path to path."""
    return message + _trailer(BESIDE_TRAILER, {path: os.fsdecode(at) for path, at in beside.items()})


def placed_beside(value: str) -> dict[bytes, bytes]:
    """What the value of such a trailer tells; nothing, if somebody else wrote it."""
    return {path: os.fsencode(at) for path, at in _paths(value).items() if isinstance(at, str)}


def with_replaced(message: str, replaced: Mapping[bytes, list[str]]) -> str:
    """`message`, telling whoever puts it on the branch which blobs each path may have there to be replaced."""
    return message + _trailer(_REPLACES_TRAILER, replaced)


def without_replaced(message: str) -> tuple[str, dict[bytes, list[str]]]:
    """The message that was given to `with_replaced`, and what was told with it."""
    found = re.search(rf"^{_REPLACES_TRAILER}: (.*)\n", message, re.MULTILINE)
    if found is None:
        return message, {}
    told = {path: list(map(str, blobs)) for path, blobs in _paths(found[1]).items() if isinstance(blobs, list)}
    return message.replace(found[0], "", 1), told


def _trailer(key: str, paths: Mapping[bytes, object]) -> str:
    named = {os.fsdecode(path): value for path, value in paths.items()}
    return f"{key}: {json.dumps(named, separators=(',', ':'))}\n" if named else ""


def _paths(value: str) -> dict[bytes, Any]:
    try:
        return {os.fsencode(path): told for path, told in json.loads(value).items()}
    except (ValueError, AttributeError):
        return {}


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
