"""Start, advance and cancel a run. Each step can be killed anywhere and done again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import confining, data_directory, ending, ledger, unveiling
from mao.building import find_installation
from mao.errors import (
    BadArguments,
    CommandNotFound,
    InUse,
    NotInstalled,
    RegistryUnavailable,
    RunEnded,
    RunNotFound,
    SlotTaken,
)
from mao.executor import Ended, Job, Lost, Running
from mao.run import UNENDED, PublicationState, Run, RunState
from mao.secret import hidden
from mao.values import new_id, now, rfc3339
from mao.workspace import disk_errors, remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mao.installation import Installation
    from mao.local_node import LocalNode
    from mao.store import IdempotentRequest


@dataclass(frozen=True, slots=True)
class Wish:
    """The run that somebody asks for."""

    tool: str
    command: str
    arguments: Sequence[object] | Mapping[str, object]
    publish: bool = True
    asked_by: str | None = None
    """The node that asks, where that is another one."""
    schedule: str | None = None
    slot: datetime | None = None
    """The schedule, and the planned moment of the slot, that it is for."""
    attempt: int = 1
    anywhere: bool = False


def request_run(node: LocalNode, wish: Wish, idempotent: IdempotentRequest | None = None) -> Run:
    """Queue a run of a command of an installed tool.

    Args:
        node: that runs it.
        wish: what to run.
        idempotent: the request it came with; its `location` ends with the id that the run gets.

    Raises:
        NotInstalled, CommandNotFound, BadArguments: nothing was started.
    """
    run = queued(node, wish, idempotent.location.rpartition("/")[2] if idempotent else new_id())
    unveiling.values(node, run)  # it could be started now; what they are then is found again
    node.store.save(run, request=idempotent)
    return run


def queued(node: LocalNode, wish: Wish, run_id: str) -> Run:
    """The run that is wished, not stored yet.

    Raises:
        NotInstalled, CommandNotFound, BadArguments
    """
    installation = find_installation(node, wish.tool)
    if installation.commit is None or installation.definition is None:
        raise NotInstalled(
            f"'{installation.tool}' is not installed yet: its installation is {installation.state}"
            f" ({installation.attempt.detail or installation.attempt.step})."
        )
    command = installation.definition.command(wish.command)
    return Run(
        id=run_id,
        tool=installation.tool,
        tool_commit=installation.commit,
        command=command.name,
        arguments=command.resolve(wish.arguments).recorded,
        dataset=installation.definition.data.repo.name,
        node=node.config.node,
        asked_by=wish.asked_by,
        schedule=wish.schedule,
        slot=wish.slot,
        attempt=wish.attempt,
        anywhere=wish.anywhere,
        publish=wish.publish,
        fresh=installation.definition.data.fresh,
        state=RunState.QUEUED,
        created_at=now(),
    )


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
        if run.state not in UNENDED:
            raise RunEnded(f"Run {run.id} is {run.state}: its tool has ended already.")
        if run.state is RunState.QUEUED:
            return _withdrawn(node, run)
        run = run.model_copy(update={"cancel_requested": True})
        node.store.save(run)
        node.executor.cancel(str(node.workspace.run(run.id)))
        return run


def withdraw(node: LocalNode, run_id: str) -> None:
    """Cancel a run that is still queued; one that has been started meanwhile goes on."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is RunState.QUEUED:
            _withdrawn(node, run)


def _withdrawn(node: LocalNode, run: Run) -> Run:
    run = run.model_copy(update={"cancel_requested": True})
    return ending.end(node, run, RunState.CANCELLED, "cancelled before it was started")


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
        chosen.append(run)
        if not run.fresh:
            busy.add(run.tool)
    return chosen[: max(free, 0)]


def _holds_data(run: Run) -> bool:
    collecting = run.publication is not None and run.publication.state is PublicationState.COLLECTING
    return run.state is RunState.RUNNING or collecting


def start(node: LocalNode, run_id: str) -> None:
    """Start a queued run; calling it again for the same run starts nothing twice."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is not RunState.QUEUED or _is_too_late(node, run):
            return
        try:
            installation = _installation_for(node, run)
            _prepare_data(node, run, installation)
            secrets = unveiling.values(node, run)
            slots = ledger.started(node, run)  # last: in the cluster it is recorded now
        except (NotInstalled, CommandNotFound, BadArguments, InUse) as error:
            ending.end(node, run, RunState.FAILED, f"not started: {error.detail}")
            return
        except SlotTaken as error:
            ending.end(node, run, RunState.CANCELLED, f"not started: {error.detail}")
            return
        except RegistryUnavailable:
            return
        unveiling.keep(node, run.id, secrets)
        run = run.moved(RunState.RUNNING, started_at=now(), tool_commit=installation.commit)
        node.store.save(run, *slots, flush=False)  # the executor keeps on stable storage that it was started
        _launch(node, run, installation)


def _is_too_late(node: LocalNode, run: Run) -> bool:
    """Whether the run is not to be started any more; then it is ended. One that a power loss undid is gone on with."""
    late = ledger.too_late(node, run, node.clock())
    directory = node.workspace.run(run.id)
    if late is None or (directory.exists() and node.executor.poll(str(directory)) != Running(None)):
        return False
    ending.end(node, run, RunState.CANCELLED, late, late=True)
    return True


def give_up(node: LocalNode, run_id: str) -> None:
    """End a run that is still queued, if it is too late to start it."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is RunState.QUEUED:
            _is_too_late(node, run)


def _installation_for(node: LocalNode, run: Run) -> Installation:
    """What `run` is started from: the tool as it is installed now, if that still has the command."""
    installation = find_installation(node, run.tool)
    if installation.commit is None or installation.definition is None:
        raise NotInstalled(f"'{run.tool}' is no longer installed.")
    installation.definition.command(run.command)
    return installation


def _launch(node: LocalNode, run: Run, installation: Installation) -> None:
    """Hand the run to the executor, which starts it once however often it is handed over."""
    node.executor.start(_job(node, run, installation))


def _job(node: LocalNode, run: Run, installation: Installation) -> Job:
    assert installation.definition is not None  # noqa: S101  # for the type checker: `start` has looked
    command = installation.definition.command(run.command)
    tree, data = ending.tree(node, installation), ending.data_of(node, run, installation)
    secrets = unveiling.kept(node, run.id)
    variables = {known.name: known.variable for known in command.secrets}
    environment = {
        **confining.environment(node, tree),
        **installation.definition.environment,
        **{variables[name]: value for name, value in secrets.items() if name in variables},
        "MAO_RUN_ID": run.id,
        "MAO_NODE": run.node,
        "MAO_TOOL": run.tool,
        "MAO_TOOL_COMMIT": run.tool_commit,
        "MAO_DATA_DIR": str(data),
        **({} if run.slot is None else {"MAO_SLOT": rfc3339(run.slot)}),
    }
    return Job(
        directory=node.workspace.run(run.id),
        argv=command.argv(text for name, text in run.arguments.items() if text is not None and name not in variables),
        cwd=tree,
        environment=environment,
        time_limit=command.timeout or installation.definition.timeout or node.config["runs.time_limit"],
        log_limit=node.config["runs.log_limit"],
        output=data,
        confinement=confining.of_run(node, installation.definition, tree, data),
        hidden=hidden(secrets),
    )


def _prepare_data(node: LocalNode, run: Run, installation: Installation) -> None:
    """Make the data directory; for one that is shared, write down what is in it before the run."""
    data = ending.data_of(node, run, installation)
    tree = ending.tree(node, installation)
    if not run.fresh and data.resolve() != tree.resolve() / data.relative_to(tree):
        raise InUse(f"the data directory '{data.relative_to(tree)}' was replaced by a link that leaves the tool")
    with disk_errors("the run"):
        node.workspace.run(run.id).mkdir(mode=0o700, exist_ok=True)
        data.mkdir(parents=True, exist_ok=True)
    before = node.workspace.run(run.id) / "before"
    if not run.fresh and not before.exists():  # after a power loss it may have been started already
        write_durably(before, data_directory.written(data_directory.scan(data)))


def advance(node: LocalNode, run_id: str) -> None:
    """See how a run that was started is doing, and record its end."""
    with node.locked("run", run_id):
        run = find_run(node, run_id)
        if run.state is not RunState.RUNNING:
            return
        match node.executor.poll(str(node.workspace.run(run.id))):
            case Running(started_at=None):  # killed before it was certainly started
                _launch(node, run, find_installation(node, run.tool))
            case Running():
                return
            case Lost():
                reason = "its supervisor died, and with it the knowledge of how the tool ended"
                ending.end(node, run, RunState.LOST, reason)
            case Ended() as ended:
                ending.record(node, run, ended)


def sweep(node: LocalNode) -> None:
    """Remove the directories of runs that are not known, and the secrets of those that need them no more."""
    for directory in node.workspace.runs.iterdir():
        if node.store.body("run", directory.name) is None:
            remove_tree(directory)
        elif unveiling.is_kept(node, directory.name) and not _holds_data(find_run(node, directory.name)):
            unveiling.forget(node, directory.name)
