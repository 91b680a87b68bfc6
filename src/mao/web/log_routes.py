"""The API of what runs and installers print: whole, a part of it, as it comes, and searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mao import building, log_file, running
from mao.run import ENDED
from mao.web import streams
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.installation_routes import attempt_ended
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mao.local_node import LocalNode

router = api("logs")


@dataclass(frozen=True, slots=True)
class Log:
    """What a run or an installer prints."""

    key: str
    """The id of the run, or of the attempt to install."""
    path: Path
    url: str
    """Where it is in the API."""
    over: Callable[[], bool]
    """Whether nothing more will come."""
    final: Callable[[], str]
    """What printed it, as JSON."""


def log_of_run(node: LocalNode, run_id: str) -> Log:
    """What a run prints.

    Raises:
        RunNotFound
    """
    running.find_run(node, run_id)
    return Log(
        run_id,
        node.workspace.run(run_id) / "log",
        f"/api/v1/runs/{run_id}/log",
        lambda: running.find_run(node, run_id).state in ENDED,
        lambda: node.store.body("run", run_id) or "{}",
    )


def log_of_installation(node: LocalNode, tool: str) -> Log:
    """What the installer prints in the last attempt to install `tool`.

    Raises:
        NotInstalled
    """
    installation = building.find_installation(node, tool)
    attempt_id = installation.attempt.id
    return Log(
        attempt_id,
        node.workspace.attempt(installation.tool, attempt_id) / "job" / "log",
        f"/api/v1/installations/{installation.tool}/log",
        lambda: attempt_ended(node, tool, attempt_id),
        lambda: node.store.body("installation", tool.lower()) or "{}",
    )


_Text = Annotated[
    str, Query(min_length=1, max_length=log_file.LONGEST_TEXT, description="What is looked for, in whatever case.")
]
_From = Annotated[int, Query(alias="from", ge=0, le=2**53, description="The byte to begin at.")]


@router.get("/runs/{run_id}/log", response_class=Response)
async def run_log(request: Request, node: Node, run_id: str) -> Response:
    """What the run prints: text, or server-sent events with `Accept: text/event-stream`.

    The id of an event is how many bytes of the log have come with it; `Last-Event-ID` goes on from there. The last
    event is `end`, with the run as it is then. Text comes in part with `Range: bytes=...`, also while it grows.
    """
    return await _answer(request, await run_in_threadpool(log_of_run, node, run_id))


@router.get("/runs/{run_id}/log/search")
def search_run_log(node: Node, run_id: str, text: _Text, start: _From = 0) -> log_file.Found:
    """Where a text comes next in what the run prints; a part of 8 MB is looked through at a time."""
    return log_file.search(log_of_run(node, run_id).path, text, start)


@router.get("/installations/{tool}/log", response_class=Response)
async def installer_log(request: Request, node: Node, tool: str) -> Response:
    """What the installer printed; as server-sent events with `Accept: text/event-stream`, in part with `Range`."""
    return await _answer(request, await run_in_threadpool(log_of_installation, node, tool))


@router.get("/installations/{tool}/log/search")
def search_installer_log(node: Node, tool: str, text: _Text, start: _From = 0) -> log_file.Found:
    """Where a text comes next in what the installer printed; a part of 8 MB is looked through at a time."""
    return log_file.search(log_of_installation(node, tool).path, text, start)


async def _answer(request: Request, log: Log) -> Response:
    return await streams.log_response(request, log.path, log.over, log.final)
