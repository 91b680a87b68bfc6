"""Start, advance and cancel a run. Each step can be killed anywhere and done again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mao import data_directory, publishing
from mao.errors import CommandNotFound, DiskFull, InUse, NotInstalled, RunEnded, RunNotFound
from mao.executor import Ended, Job, Lost, Running
from mao.installation import Installation
from mao.installing import find_installation, passed_environment
from mao.run import Publication, PublicationState, Run, RunState
from mao.values import new_id, now
from mao.workspace import disk_errors, remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mao.local_node import LocalNode
    from mao.store import IdempotentRequest


@dataclass(frozen=True, slots=True)
class Wish:
    """The run that somebody asks for."""

    tool: str
    command: str
    arguments: Sequence[object] | Mapping[str, object]
    publish: bool = True


def request_run(node: LocalNode, wish: Wish, idempotent: IdempotentRequest | None = None) -> Run:
    """Queue a run of a command of an installed tool.

    Args:
        node: that runs it.
        wish: what to run.
        idempotent: the request it came with; its `location` ends with the id that the run gets.

    Raises:
        NotInstalled, CommandNotFound, BadArguments: nothing was started.
    """
    installation = find_installation(node, wish.tool)
    if installation.commit is None or installation.definition is None:
        raise NotInstalled(
            f"'{installation.tool}' is not installed yet: its installation is {installation.state}"
            f" ({installation.attempt.detail or installation.attempt.step})."
        )
    command = installation.definition.command(wish.command)
    resolved = command.resolve(wish.arguments)
    run = Run(
        id=idempotent.location.rpartition("/")[2] if idempotent else new_id(),
        tool=installation.tool,
        tool_commit=installation.commit,
        command=command.name,
        arguments=resolved.recorded,
        dataset=installation.definition.data.repo.name,
        node=node.config.node,
        publish=wish.publish,
        fresh=installation.definition.data.fresh,
        state=RunState.QUEUED,
        created_at=now(),
    )
    directory = node.workspace.run(run.id)
    # Secrets must survive a restart while the run waits; nobody else can read the file, and it goes with the start.
    private = json.dumps({"argv": resolved.argv, "secrets": resolved.secrets}).encode()
    try:
        with disk_errors("the run"):
            directory.mkdir(mode=0o700)
            write_durably(directory / "request.json", private, mode=0o600)
        node.store.save(run, request=idempotent)
    except DiskFull:
        remove_tree(directory)
        raise
    return run


def find_run(node: LocalNode, run_id: str) -> Run:
    """The run with this id.

    Raises:
        RunNotFound
    """
    run = node.store.run(run_id)
    if run is None:
        raise RunNotFound(f"No run '{run_id}' is known on this node. 'mao run list' shows those there are.")
    return run


def request_cancel(node: LocalNode, run_id: str) -> Run:
    """End a run with its whole process tree; it is `cancelled` when no process of it is left.

    Raises:
        RunNotFound
        RunEnded: there is nothing left to cancel.
    """
    find_run(node, run_id)
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state not in {RunState.QUEUED, RunState.RUNNING}:
            raise RunEnded(f"Run {run.id} is {run.state}: its tool has ended already.")
        run = run.model_copy(update={"cancel_requested": True})
        if run.state is RunState.QUEUED:
            run = _ended(node, run, RunState.CANCELLED, "cancelled before it was started")
        else:
            node.store.save(run)
            node.executor.cancel(str(node.workspace.run(run.id)))
        return run


def startable(runs: Sequence[Run], limit: int, switching: frozenset[str]) -> list[Run]:
    """Which of the unended `runs` (oldest first) may be started now.

    Runs of a tool whose runs share a data directory go one behind the other: the next when the files of the one
    before it have been set aside.

    Args:
        runs: those about which something is still to be done.
        limit: how many may run at the same time.
        switching: tools whose files are being exchanged by an update.
    """
    free = limit - sum(run.state is RunState.RUNNING for run in runs)
    busy = {run.tool for run in runs if not run.fresh and _holds_data(run)}
    chosen: list[Run] = []
    for run in runs:
        if run.state is not RunState.QUEUED or run.tool in switching or (not run.fresh and run.tool in busy):
            continue
        if len(chosen) >= free:
            break
        chosen.append(run)
        if not run.fresh:
            busy.add(run.tool)
    return chosen


def _holds_data(run: Run) -> bool:
    collecting = run.publication is not None and run.publication.state is PublicationState.COLLECTING
    return run.state is RunState.RUNNING or collecting


def start(node: LocalNode, run_id: str) -> None:
    """Start a queued run; calling it again for the same run starts nothing twice."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is not RunState.QUEUED:
            return
        try:
            installation = find_installation(node, run.tool)
            if installation.commit is None or installation.definition is None:
                raise NotInstalled(f"'{run.tool}' is no longer installed.")
            installation.definition.command(run.command)
            _prepare_data(node, run, installation)
        except (NotInstalled, CommandNotFound, InUse) as error:
            _ended(node, run, RunState.FAILED, f"not started: {error.detail}")
            return
        run = run.moved(RunState.RUNNING, started_at=now(), tool_commit=installation.commit)
        node.store.save(run)
        _launch(node, run, installation)


def _launch(node: LocalNode, run: Run, installation: Installation) -> None:
    """Hand the run to the executor, which starts it once however often it is handed over."""
    node.executor.start(_job(node, run, installation))
    (node.workspace.run(run.id) / "request.json").unlink(missing_ok=True)


def _job(node: LocalNode, run: Run, installation: Installation) -> Job:
    assert installation.definition is not None  # noqa: S101  # for the type checker: `start` has looked
    command = installation.definition.command(run.command)
    directory = node.workspace.run(run.id)
    request = json.loads((directory / "request.json").read_bytes())
    environment = {
        **passed_environment(node),
        **installation.definition.environment,
        **request["secrets"],
        "MAO_RUN_ID": run.id,
        "MAO_NODE": run.node,
        "MAO_TOOL": run.tool,
        "MAO_TOOL_COMMIT": run.tool_commit,
        "MAO_DATA_DIR": str(_data(node, run, installation)),
    }
    return Job(
        directory=directory,
        argv=command.argv(request["argv"]),
        cwd=_tree(node, installation),
        environment=environment,
        time_limit=command.timeout or installation.definition.timeout or node.config["runs.time_limit"],
        log_limit=node.config["runs.log_limit"],
    )


def _tree(node: LocalNode, installation: Installation) -> Path:
    if installation.tree is None:
        raise NotInstalled(f"'{installation.tool}' is no longer installed.")
    return node.workspace.tree(installation.tool, installation.tree)


def _data(node: LocalNode, run: Run, installation: Installation) -> Path:
    """Where the run writes: its own directory, or the one that runs of the tool share."""
    local = installation.definition.data.local if installation.definition else None
    return node.workspace.run_data(run.id) if run.fresh or local is None else _tree(node, installation) / local


def _prepare_data(node: LocalNode, run: Run, installation: Installation) -> None:
    """Make the data directory; for one that is shared, write down what is in it before the run."""
    data = _data(node, run, installation)
    tree = _tree(node, installation)
    if not run.fresh and data.resolve() != tree.resolve() / data.relative_to(tree):
        raise InUse(f"the data directory '{data.relative_to(tree)}' was replaced by a link that leaves the tool")
    data.mkdir(parents=True, exist_ok=True)
    if not run.fresh:
        stamps = data_directory.written(data_directory.scan(data))
        write_durably(node.workspace.run(run.id) / "before", stamps)


def advance(node: LocalNode, run_id: str) -> None:
    """See how a run that was started is doing, and record its end."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is not RunState.RUNNING:
            return
        if (node.workspace.run(run.id) / "request.json").exists():  # killed before it was certainly started
            _launch(node, run, find_installation(node, run.tool))
        match node.executor.poll(str(node.workspace.run(run.id))):
            case Running():
                return
            case Lost():
                _ended(
                    node,
                    run,
                    RunState.LOST,
                    "its supervisor died, and with it the knowledge of how the tool ended",
                )
            case Ended() as ended:
                _record_end(node, run, ended)


def _record_end(node: LocalNode, run: Run, ended: Ended) -> None:
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
        }
    )
    match ended.cause:
        case "exited" if ended.exit_code == 0:
            collect(node, run)
        case "exited":
            how = f"signal {ended.signal}" if ended.signal else f"exit status {ended.exit_code}"
            _ended(node, run, RunState.FAILED, f"the tool failed: {how}")
        case "not-started":
            _ended(node, run, RunState.FAILED, f"the tool could not be started: {ended.error}")
        case "cancelled":
            _ended(node, run, RunState.CANCELLED, "cancelled")
        case "timed-out":
            _ended(node, run, RunState.TIMED_OUT, "it took longer than its time limit, and was ended")


def collect(node: LocalNode, run: Run) -> None:
    """Set the files of a run that succeeded aside, on stable storage, for publishing."""
    installation = find_installation(node, run.tool)
    remote = installation.definition.data.repo.remote if installation.definition else ""
    try:
        _set_aside(node, run, installation)
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
    publication = publishing.collected(node, run, remote)
    run = run.moved(RunState.PUBLISHING, publication=publication, reason=None, finished_at=None)
    if publication.state is PublicationState.UNCHANGED:
        run = run.moved(RunState.SUCCEEDED, reason="it wrote no data: nothing to publish", finished_at=now())
    node.store.save(run)


def _set_aside(node: LocalNode, run: Run, installation: Installation) -> None:
    data = node.workspace.run_data(run.id)
    if run.fresh:
        data_directory.make_durable(data)
        return
    shared = _data(node, run, installation)
    before = data_directory.read((node.workspace.run(run.id) / "before").read_bytes())
    changed = [path for path, stamp in data_directory.scan(shared).items() if before.get(path) != stamp]
    data_directory.set_aside(shared, changed, data)


def _ended(node: LocalNode, run: Run, state: RunState, reason: str) -> Run:
    """Record an end without publishing; what the run wrote is kept for inspection."""
    directory = node.workspace.run(run.id)
    if not run.fresh and (directory / "before").exists():
        try:
            _set_aside(node, run, find_installation(node, run.tool))
        except (DiskFull, NotInstalled) as error:
            reason += f"; its files could not be set aside: {error.detail}"
    (directory / "request.json").unlink(missing_ok=True)
    data = node.workspace.run_data(run.id)
    kept = f"; what it wrote is in {data}" if data.exists() and data_directory.scan(data) else ""
    run = run.moved(state, reason=reason + kept, finished_at=now(), ended_at=run.ended_at or now())
    node.store.save(run)
    return run


def sweep(node: LocalNode) -> None:
    """Remove the directories of runs that were never recorded: the request was killed before it was answered."""
    for directory in node.workspace.runs.iterdir():
        if node.store.body("run", directory.name) is None:
            remove_tree(directory)


def _moment(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
