"""The API of runs: start, look, follow, cancel, publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from mao import publishing, running
from mao.caller import Right
from mao.errors import Denied
from mao.run import ENDED, Run, RunState
from mao.store import IdempotentRequest
from mao.values import new_id
from mao.web.access import Key, Node, Wait, alone, ended, patient
from mao.web.pages import Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = api("runs", "/runs")
Asked = Annotated[Wanted, Depends(wanted)]

_BUSY = 1.0
"""Seconds that a request waits for a run that is being worked on, before it says so."""


class NewRun(BaseModel):
    """What is needed to start a run: arguments in the order of the definition, or by name."""

    model_config = ConfigDict(extra="forbid")

    tool: str
    command: str
    arguments: list[Any] | dict[str, Any] = []
    publish: bool = True


class HowToPublish(BaseModel):
    """Whether files go out in which a secret of their run was found."""

    model_config = ConfigDict(extra="forbid")

    despite_secret: bool = False


_AS_USUAL = HowToPublish()


@router.post("", status_code=202, responses={202: {"model": Run}})
def start(request: Request, node: Node, new: NewRun, key: Key) -> Response:
    """Start a run."""
    with alone(node, key) as known:
        location = known or f"/api/v1/runs/{new_id()}"
        if known is None:
            idempotent = IdempotentRequest(*key, location) if key else None
            asked_by = getattr(request.state, "peer", None)
            wish = running.Wish(new.tool, new.command, new.arguments, new.publish, asked_by)
            location = f"/api/v1/runs/{running.request_run(node, wish, idempotent).id}"
    run = running.find_run(node, location.rpartition("/")[2])
    return encoded(run.model_dump_json().encode(), 202, Location=location)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are listed."""

    tool: str | None
    state: RunState | None
    dataset: str | None


async def _filter(
    tool: Annotated[str | None, Query(description="Runs of this tool.")] = None,
    state: Annotated[RunState | None, Query(description="Runs in this state.")] = None,
    dataset: Annotated[str | None, Query(description="Runs that publish to this dataset.")] = None,
) -> Filter:
    return Filter(tool or None, state, dataset or None)


def listed(node: LocalNode, asked: Wanted, only: Filter) -> list[tuple[str, str]]:
    """Id and JSON of the runs of a page, the newest first, and of one more."""
    return node.store.bodies(
        "run",
        after=asked.after,
        limit=asked.size + 1,
        newest_first=True,
        tool=only.tool.lower() if only.tool else None,
        state=only.state.value if only.state else None,
        dataset=only.dataset.lower() if only.dataset else None,
    )


@router.get("", responses={200: {"model": Page[Run]}})
def list_runs(node: Node, asked: Asked, only: Annotated[Filter, Depends(_filter)]) -> Response:
    """Runs on this node, the newest first."""
    return encoded(page(listed(node, asked, only), asked.size))


@router.get("/{run_id}", responses={200: {"model": Run}})
async def show(request: Request, node: Node, run_id: str, wait: Wait) -> Response:
    """A run; with `Prefer: wait=N`, when it has ended."""
    if wait:
        await ended(request, wait, lambda: running.find_run(node, run_id).state in ENDED)
    body = node.store.body("run", run_id)
    return encoded((body or running.find_run(node, run_id).model_dump_json()).encode())


@router.post("/{run_id}/cancel", status_code=202, responses={202: {"model": Run}})
@patient
def cancel(node: Node, run_id: str) -> Response:
    """End the run's whole process tree; it is `cancelled` when that is empty."""
    return encoded(
        running.request_cancel(node, run_id).model_dump_json().encode(), 202, Location=f"/api/v1/runs/{run_id}"
    )


@router.post("/{run_id}/publish", status_code=202, responses={202: {"model": Run}})
def publish(request: Request, node: Node, run_id: str, how: HowToPublish = _AS_USUAL) -> Response:
    """Push what was kept back, waits, or was refused; a run with a secret in its files only if that is said."""
    running.find_run(node, run_id)
    if how.despite_secret and request.state.caller.right < Right.ADMIN:
        raise Denied("Whether a secret is published is for the owner of the node to say. Nothing was changed.")
    with node.locked("run", run_id, wait=_BUSY):
        run = publishing.ask(node, running.find_run(node, run_id), despite_secret=how.despite_secret)
    return encoded(run.model_dump_json().encode(), 202, Location=f"/api/v1/runs/{run_id}")
