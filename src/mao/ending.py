"""How a run ended: its files set aside on stable storage, its end recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mao import data_directory, ledger, publishing, screening, unveiling
from mao.building import find_installation
from mao.errors import DiskFull, NotInstalled
from mao.run import Publication, PublicationState, Run, RunState
from mao.values import now

if TYPE_CHECKING:
    from pathlib import Path

    from mao.executor import Ended
    from mao.installation import Installation
    from mao.local_node import LocalNode


def tree(node: LocalNode, installation: Installation) -> Path:
    if installation.tree is None:
        raise NotInstalled(f"'{installation.tool}' is no longer installed.")
    return node.workspace.tree(installation.tool, installation.tree)


def data_of(node: LocalNode, run: Run, installation: Installation) -> Path:
    """Where the run writes: its own directory, or the one that runs of the tool share."""
    local = installation.definition.data.local if installation.definition else None
    return node.workspace.run_data(run.id) if run.fresh or local is None else tree(node, installation) / local


def record(node: LocalNode, run: Run, ended: Ended) -> None:
    run = run.model_copy(
        update={
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "started_at": _moment(ended.started_at) or run.started_at,
            "ended_at": _moment(ended.ended_at),
            "cpu_seconds": round(ended.cpu_seconds, 3),
            "max_rss": ended.max_rss,
            "log_bytes": ended.log_bytes,
            "log_dropped": ended.log_dropped,
            "confined": "sandbox" if ended.confined else "none",
        }
    )
    match ended.cause:
        case "exited" if ended.exit_code == 0:
            collect(node, run, flushed=ended.flushed)
        case "exited":
            how = f"signal {ended.signal}" if ended.signal else f"exit status {ended.exit_code}"
            end(node, run, RunState.FAILED, f"the tool failed: {how}")
        case "not-started":
            where = " (in the sandbox, which shows the system's programs and sandbox.read)" if ended.confined else ""
            end(node, run, RunState.FAILED, f"the tool could not be started: {ended.error}{where}")
        case "over-limit":
            reason = (
                f"it used more than it may, and was ended: {ended.error} (`Resources` of its definition, sandbox.*)"
            )
            end(node, run, RunState.FAILED, reason)
        case "cancelled":
            end(node, run, RunState.CANCELLED, "cancelled")
        case "timed-out":
            end(node, run, RunState.TIMED_OUT, "it took longer than its time limit, and was ended")


def collect(node: LocalNode, run: Run, *, flushed: bool = False) -> None:
    """Set the files of a run that succeeded aside, on stable storage (unless they are `flushed`), for publishing."""
    installation = find_installation(node, run.tool)
    remote = installation.definition.data.repo.remote if installation.definition else ""
    try:
        _set_aside(node, run, installation, flushed=flushed)
    except DiskFull as error:
        publication = Publication(
            dataset=run.dataset,
            remote=remote,
            state=PublicationState.COLLECTING,
            cause=error.cause,
            message=error.detail,
            next_try_at=now() + timedelta(seconds=node.config["publishing.first_pause"]),
        )
        waiting = (
            run if run.state is RunState.UNPUBLISHED else run.moved(RunState.PUBLISHING).moved(RunState.UNPUBLISHED)
        )
        node.store.save(
            waiting.model_copy(
                update={
                    "publication": publication,
                    "reason": "its files wait to be set aside: disk-full",
                    "finished_at": now(),
                }
            )
        )
        return
    publication = screening.screened(node, run, publishing.collected(node, run, remote))
    run = run.moved(RunState.PUBLISHING, publication=publication, reason=None, finished_at=None)
    if publication.state is PublicationState.UNCHANGED:
        run = run.moved(RunState.SUCCEEDED, reason="it wrote no data: nothing to publish", finished_at=now())
    elif publication.state is PublicationState.BLOCKED:
        reason = f"its data needs a decision: {publication.cause}"
        run = run.moved(RunState.UNPUBLISHED, reason=reason, finished_at=now())
    # What is published next can be collected again; what is over is flushed.
    node.store.save(run, flush=run.state is not RunState.PUBLISHING)
    unveiling.forget(node, run.id)


def _set_aside(node: LocalNode, run: Run, installation: Installation, *, flushed: bool = False) -> None:
    data = node.workspace.run_data(run.id)
    if run.fresh:
        if not flushed:
            data_directory.make_durable(data)
        return
    shared = data_of(node, run, installation)
    before = data_directory.read((node.workspace.run(run.id) / "before").read_bytes())
    changed = [path for path, stamp in data_directory.scan(shared).items() if before.get(path) != stamp]
    data_directory.set_aside(shared, changed, data)


def end(node: LocalNode, run: Run, state: RunState, reason: str, *, late: bool = False) -> Run:
    """Record an end without publishing; what the run wrote is kept for inspection.

    `late`: it was not started, as it would have been too late.
    """
    directory = node.workspace.run(run.id)
    if not run.fresh and (directory / "before").exists():
        try:
            _set_aside(node, run, find_installation(node, run.tool))
        except (DiskFull, NotInstalled) as error:
            reason += f"; its files could not be set aside: {error.detail}"
    data = node.workspace.run_data(run.id)
    kept = f"; what it wrote is in {data}" if data.exists() and data_directory.scan(data) else ""
    slots = ledger.not_started(node, run, state, reason, late=late)
    run = run.moved(state, reason=reason + kept, finished_at=now(), ended_at=run.ended_at or now())
    node.store.save(run, *slots)
    unveiling.forget(node, run.id)
    return run


def _moment(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
