"""What a commit of data says about where it comes from: its subject and git trailers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from mao import __version__
from mao.values import rfc3339

if TYPE_CHECKING:
    from mao.run import Run

RUN_TRAILER = "MAO-Run"
TOOL_TRAILER = "MAO-Tool"
NODE_TRAILER = "MAO-Node"
FILES_TRAILER = "MAO-Files"
SIZE_TRAILER = "MAO-Bytes"


def message(run: Run) -> str:
    """The commit message of a run's data.

    The subject is `sync YYYY-MM-DD: <tool> <command>` with the UTC day on which the run started. Trailers are one
    line each (git-interpret-trailers(1)); the arguments are JSON in ASCII with secrets as null. How many files the run
    added or changed, and their bytes, are there so that a dataset's growth follows from its messages alone.
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
    subject = f"sync {rfc3339(started)[:10]}: {run.tool} {_one_line(run.command)}"
    return subject + "\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
