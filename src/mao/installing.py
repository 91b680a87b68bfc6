"""Put a tool on this node at a commit: clone it, run its installer, clone its dataset, and only then let runs see it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mao import data_directory
from mao.errors import (
    AlreadyInstalled,
    BadDefinition,
    InstallerFailed,
    InUse,
    MaoError,
    NotInstalled,
    TagMoved,
    ToolNotFound,
)
from mao.executor import Ended, Job, Lost, Running
from mao.installation import Attempt, Installation, InstallationState, Step
from mao.names import nearest
from mao.registering import Pinned, check_remote, fetch_commit, find_tool, read, resolve
from mao.run import RunState
from mao.values import new_id, now
from mao.workspace import disk_errors, fsync, remove_tree

if TYPE_CHECKING:
    from pathlib import Path

    from mao.catalogue import Tool
    from mao.local_node import LocalNode
    from mao.run import Run

_SHOWN_LOG = 20
"""Lines of an installer's log that are repeated in its error."""


def request_install(node: LocalNode, name: str, commit: str | None = None) -> Installation:
    """Begin to install the registered tool `name`, at `commit` if that is given, else at the registered one.

    Asking for what is under way or done already changes nothing.

    Raises:
        ToolNotFound, OutsideFailed, BadDefinition: nothing was begun.
        TagMoved: the tool was registered with a tag, which names another commit now.
        AlreadyInstalled: at another commit; to change that, name the commit.
        InUse: another attempt is under way.
    """
    tool = find_tool(node, name)
    wanted = commit or tool.commit
    present = node.store.installation(name)
    if present is not None and (done := _same(present, wanted)):
        return done
    if present is not None and present.state is InstallationState.INSTALLED and commit is None:
        raise AlreadyInstalled(
            f"'{tool.name}' is installed at commit {present.commit}; registered is {tool.commit}."
            f" 'mao tool update {tool.name}' shows what would change, and does it."
        )
    if commit is None:
        _check_tag(node, tool)
    definition = tool.definition if wanted == tool.commit else read(node, tool.url, Pinned(tool.ref, wanted)).definition
    if definition.name.lower() != tool.name.lower():
        raise BadDefinition(f"At commit {wanted} the definition is of '{definition.name}', not '{tool.name}'.")
    check_remote(node, definition.data.repo.remote)
    attempt = Attempt(id=new_id(), commit=wanted, url=tool.url, ref=tool.ref, definition=definition, started_at=now())
    with node.locked("installation", name):
        present = node.store.installation(name)
        if present is not None and (done := _same(present, wanted)):
            return done
        if present is None:
            present = Installation(tool=tool.name, state=InstallationState.INSTALLING, attempt=attempt)
        state = present.state if present.commit else InstallationState.INSTALLING
        begun = present.model_copy(update={"attempt": attempt, "state": state})
        node.store.save(begun)
        return begun


def _same(present: Installation, commit: str) -> Installation | None:
    """`present` if it is, or will be, what is asked for."""
    if present.attempt.step in {Step.DONE, Step.FAILED}:
        return present if present.commit == commit else None
    if present.attempt.commit == commit:
        return present
    raise InUse(
        f"'{present.tool}' is being installed at commit {present.attempt.commit[:12]}. Wait for its end, or cancel it"
        f" with 'mao tool remove {present.tool}'."
    )


def _check_tag(node: LocalNode, tool: Tool) -> None:
    if not tool.ref.startswith("refs/tags/"):
        return
    present = resolve(node, tool.url, tool.ref)
    if present.commit != tool.commit:
        raise TagMoved(
            f"The tag {tool.ref.removeprefix('refs/tags/')} of '{tool.name}' named commit {tool.commit} when it was"
            f" registered, and names {present.commit} now. Ask whoever keeps it; to take the new one all the same:"
            f" 'mao tool update {tool.name}' shows what changes."
        )


def find_installation(node: LocalNode, name: str) -> Installation:
    """What is installed here as `name`.

    Raises:
        NotInstalled: with what to do about it.
    """
    found = node.store.installation(name)
    if found is not None:
        return found
    near = nearest(name, [key for key, _ in node.store.bodies("installation")])
    try:
        registered = find_tool(node, name)
    except ToolNotFound:
        hint = f"; did you mean '{near}'?" if near else ", nor registered in the cluster."
    else:
        hint = f". It is registered: 'mao tool install {registered.name}' installs it."
    raise NotInstalled(f"'{name}' is not installed on this node{hint}")


def request_removal(node: LocalNode, name: str) -> Installation | None:
    """Remove a tool from this node, or end the attempt to install it, which then ends by itself.

    Files in its data directory are moved to `kept`, never deleted. Returns what is left of it, if anything.

    Raises:
        NotInstalled
        InUse: it has runs that have not ended.
    """
    find_installation(node, name)
    with node.locked("installation", name):
        installation = find_installation(node, name)
        if installation.attempt.step not in {Step.DONE, Step.FAILED}:
            attempt = installation.attempt.model_copy(update={"cancel_requested": True})
            installation = installation.model_copy(update={"attempt": attempt})
            node.store.save(installation)
            if attempt.step is Step.INSTALLING:
                node.executor.cancel(str(_job_directory(node, installation)))
            return installation
        if busy := [run.id for run in node.store.live_runs() if _needs(run, installation)]:
            raise InUse(
                f"'{installation.tool}' has runs that have not ended ({', '.join(busy[:3])}). Cancel them first."
            )
        _keep_data(node, installation)
        node.store.remove(installation)
        remove_tree(node.workspace.tools / installation.tool.lower())
        return None


def advance(node: LocalNode, name: str) -> bool:
    """Do the next step of the attempt to install `name`; whether another can follow at once.

    It may be killed anywhere and called again.
    """
    with node.locked("installation", name):
        installation = node.store.installation(name)
        if installation is None:
            return False
        attempt = installation.attempt
        if attempt.cancel_requested and attempt.step is not Step.INSTALLING:
            return _failed(node, installation, "cancelled", "It was cancelled.")
        try:
            match attempt.step:
                case Step.CLONING:
                    return _clone(node, installation)
                case Step.INSTALLING:
                    return _install(node, installation)
                case Step.DATASET:
                    return _dataset(node, installation)
                case Step.SWITCHING:
                    return _switch(node, installation)
                case Step.DONE | Step.FAILED:
                    return False
        except MaoError as error:
            return _failed(node, installation, error.cause, error.detail)


def _clone(node: LocalNode, installation: Installation) -> bool:
    attempt = installation.attempt
    tree = node.workspace.tree(installation.tool, attempt.id)
    remove_tree(tree)
    with disk_errors(f"the clone of '{installation.tool}'"):
        tree.mkdir(parents=True)
    node.git.run("init", "--quiet", ".", cwd=tree)
    fetch_commit(node, tree, attempt.url, Pinned(attempt.ref, attempt.commit))
    node.git.run("checkout", "--quiet", "--detach", attempt.commit, cwd=tree)
    return _step(node, installation, Step.INSTALLING)


def _install(node: LocalNode, installation: Installation) -> bool:
    attempt = installation.attempt
    installer = attempt.definition.installer
    if installer is None:
        return _step(node, installation, Step.DATASET)
    directory = _job_directory(node, installation)
    directory.mkdir(parents=True, exist_ok=True)
    environment = passed_environment(node) | {
        "MAO_NODE": node.config.node,
        "MAO_TOOL": installation.tool,
        "MAO_TOOL_COMMIT": attempt.commit,
    }
    job = Job(
        directory=directory,
        argv=installer.argv(),
        cwd=node.workspace.tree(installation.tool, attempt.id),
        environment=environment,
        time_limit=node.config["install.time_limit"],
        log_limit=node.config["runs.log_limit"],
    )
    handle = node.executor.start(job)
    if attempt.cancel_requested:
        node.executor.cancel(handle)
    match node.executor.poll(handle):
        case Running():
            return False
        case Lost():
            raise InstallerFailed("The installer was killed from outside, with its supervisor. Install the tool again.")
        case Ended(cause="exited", exit_code=0):
            return _step(node, installation, Step.DATASET)
        case Ended(cause="cancelled"):
            return _failed(node, installation, "cancelled", "It was cancelled.")
        case Ended() as ended:
            raise InstallerFailed(f"'{' '.join(installer.argv())}' {_how(ended)}.{_last_lines(directory / 'log')}")


def passed_environment(node: LocalNode) -> dict[str, str]:
    """Those variables of the node's own environment that tools and installers get."""
    return {name: os.environ[name] for name in node.config["runs.pass_environment"] if name in os.environ}


def _how(ended: Ended) -> str:
    if ended.cause == "timed-out":
        return "took longer than the time limit (install.time_limit), and was ended"
    if ended.cause == "not-started":
        return f"could not be started: {ended.error}"
    if ended.signal:
        return f"was ended by signal {ended.signal}"
    return f"ended with status {ended.exit_code}"


def _last_lines(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 10_000))
        lines = file.read().decode("utf-8", "replace").splitlines()[-_SHOWN_LOG:]
    return " Its last words:\n" + "\n".join(lines) if lines else " It printed nothing."


def _dataset(node: LocalNode, installation: Installation) -> bool:
    """Clone what publishing needs of the dataset; its files are cloned on request (`mao dataset clone`)."""
    repo = installation.attempt.definition.data.repo
    with node.locked("dataset", repo.name):
        cache = node.cache(repo.name, repo.remote)
        if cache.tip() is None:
            cache.fill()
    return _step(node, installation, Step.SWITCHING)


def _switch(node: LocalNode, installation: Installation) -> bool:
    """Make the new tree the one that runs see, with the data directory of the one before."""
    attempt = installation.attempt
    if any(run.state is RunState.RUNNING and run.tool == installation.tool for run in node.store.live_runs()):
        return False
    local = attempt.definition.data.local
    if local:
        folder = node.workspace.tree(installation.tool, attempt.id) / local
        folder.mkdir(parents=True, exist_ok=True)
        if installation.tree and installation.definition and installation.definition.data.local:
            old = node.workspace.tree(installation.tool, installation.tree) / installation.definition.data.local
            _move_over(old, folder)
    installed = installation.model_copy(
        update={
            "state": InstallationState.INSTALLED,
            "commit": attempt.commit,
            "definition": attempt.definition,
            "url": attempt.url,
            "dataset": attempt.definition.data.repo.name,
            "tree": attempt.id,
            "installed_at": now(),
            "attempt": attempt.model_copy(update={"step": Step.DONE, "ended_at": now()}),
        }
    )
    node.store.save(installed)
    _sweep(node, installed)
    return False


def _move_over(old: Path, new: Path) -> None:
    """Move what is in the data directory `old` to `new`, file by file; a file that is in both is the old one's."""
    for path in data_directory.scan(old):
        target = new / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        (old / os.fsdecode(path)).replace(target)
    if old.exists():
        fsync(new)


def sweep(node: LocalNode) -> None:
    """Remove what is left in the tools' directory of installations that were removed or replaced."""
    for directory in node.workspace.tools.iterdir():
        installation = node.store.installation(directory.name)
        if installation is None:
            remove_tree(directory)
        else:
            _sweep(node, installation)


def _sweep(node: LocalNode, installation: Installation) -> None:
    """Remove the directories of other attempts, and the tree of one that failed; its log stays."""
    kept = {installation.tree, installation.attempt.id}
    for directory in (node.workspace.tools / installation.tool.lower()).iterdir():
        if directory.name not in kept:
            remove_tree(directory)
        elif directory.name != installation.tree and installation.attempt.step is Step.FAILED:
            remove_tree(directory / "tree")


def _keep_data(node: LocalNode, installation: Installation) -> None:
    if installation.tree is None or installation.definition is None or installation.definition.data.local is None:
        return
    data = node.workspace.tree(installation.tool, installation.tree) / installation.definition.data.local
    if data_directory.scan(data):
        kept = node.workspace.kept / f"{installation.tool.lower()}-{installation.tree}"
        kept.parent.mkdir(exist_ok=True)
        data.rename(kept)
        fsync(kept.parent)


def _needs(run: Run, installation: Installation) -> bool:
    return run.tool == installation.tool and run.state in {RunState.QUEUED, RunState.RUNNING}


def _job_directory(node: LocalNode, installation: Installation) -> Path:
    return node.workspace.attempt(installation.tool, installation.attempt.id) / "job"


def _step(node: LocalNode, installation: Installation, step: Step) -> bool:
    attempt = installation.attempt.model_copy(update={"step": step})
    node.store.save(installation.model_copy(update={"attempt": attempt}))
    return True


def _failed(node: LocalNode, installation: Installation, error: str, detail: str) -> bool:
    attempt = installation.attempt.model_copy(
        update={"step": Step.FAILED, "ended_at": now(), "error": error, "detail": detail}
    )
    # First: on a full disk, the failure itself could not be recorded otherwise.
    remove_tree(node.workspace.tree(installation.tool, attempt.id))
    state = InstallationState.INSTALLED if installation.commit else InstallationState.FAILED
    failed = installation.model_copy(update={"attempt": attempt, "state": state})
    node.store.save(failed)
    _sweep(node, failed)
    return False
