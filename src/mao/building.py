"""Building an installation: clone, run the installer, clone what publishing needs, and only then let runs see it.

Each step can be killed anywhere and done again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mao import confining, data_directory
from mao.consenting import check
from mao.errors import InstallerFailed, MaoError, NotInstalled, RegistryUnavailable, Stopping, ToolNotFound
from mao.executor import Ended, Job, Lost, Running
from mao.finding import find_tool
from mao.foreign_tree import tool_entries
from mao.installation import Installation, InstallationState, Step
from mao.names import nearest
from mao.reading import Pinned, fetch_commit
from mao.run import RunState
from mao.values import now
from mao.workspace import disk_errors, flush_all, fsync, remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mao.local_node import LocalNode

_AS_COMMITTED = "* !filter !ident !working-tree-encoding !eol -text\n"
"""Goes before what the repository says of its files (gitattributes(5)): each is, byte for byte, what was committed."""
_SHOWN_LOG = 20
"""Lines of an installer's log that are repeated in its error."""


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
    except RegistryUnavailable:
        hint = ". Whether it is registered is not known here: the registry has not been reached yet."
    else:
        hint = f". It is registered: 'mao tool install {registered.name}' installs it."
    raise NotInstalled(f"'{name}' is not installed on this node{hint}")


def advance(node: LocalNode, name: str) -> bool:
    """Do the next step of the attempt to install `name`; whether another can follow at once.

    It may be killed anywhere and called again.
    """
    with node.locked("installation", name):
        installation = node.store.installation(name)
        if installation is None:
            return False
        attempt = installation.attempt
        step = _STEPS.get(attempt.step)
        if step is None:
            return False
        can_be_ended = not _has_begun(node, installation)
        if attempt.cancel_requested and can_be_ended:
            return _failed(node, installation, "cancelled", "It was cancelled.")
        try:
            if can_be_ended:
                check(node, installation.tool, attempt, installation.commit)
            return step(node, installation)
        except Stopping:
            raise  # it goes on when the node is started again
        except MaoError as error:
            if attempt.step is Step.SWITCHING and _has_begun(node, installation):
                raise  # the data must not go with the new tree; the daemon tries again
            return _failed(node, installation, error.cause, error.detail)


def _has_begun(node: LocalNode, installation: Installation) -> bool:
    """Whether the step has begun what must come to its end first: an installer that runs, data that moves over."""
    match installation.attempt.step:
        case Step.INSTALLING:
            return job_directory(node, installation).exists()
        case Step.SWITCHING:
            return _moving(node, installation).exists()
        case _:
            return False


def _moving(node: LocalNode, installation: Installation) -> Path:
    """A file that is there once data may have been moved to the new tree, which must not go any more."""
    return node.workspace.attempt(installation.tool, installation.attempt.id) / "moving"


def _clone(node: LocalNode, installation: Installation) -> bool:
    attempt = installation.attempt
    tree = node.workspace.tree(installation.tool, attempt.id)
    remove_tree(tree)
    with disk_errors(f"the clone of '{installation.tool}'"):
        tree.mkdir(parents=True)
    largest = node.config["install.size_limit"]
    with disk_errors(f"the clone of '{installation.tool}'"):
        node.git.run("init", "--quiet", "--template=", ".", cwd=tree)
        (tree / ".git" / "info").mkdir()
        (tree / ".git" / "info" / "attributes").write_text(_AS_COMMITTED)
    fetch_commit(node, tree, attempt.url, Pinned(attempt.ref, attempt.commit))
    tool_entries(node.git, tree, attempt.commit, largest, sizes=True)
    node.git.run("checkout", "--quiet", "--detach", attempt.commit, "--", cwd=tree, largest=largest)
    return _step(node, installation, Step.INSTALLING)


def _install(node: LocalNode, installation: Installation) -> bool:
    attempt = installation.attempt
    installer = attempt.definition.installer
    if installer is None:
        return _step(node, installation, Step.DATASET)
    directory = job_directory(node, installation)
    tree = node.workspace.tree(installation.tool, attempt.id)
    for made in (directory, confining.home_of(tree)):
        made.mkdir(parents=True, exist_ok=True)
    environment = confining.environment(node, tree) | {
        "MAO_NODE": node.config.node,
        "MAO_TOOL": installation.tool,
        "MAO_TOOL_COMMIT": attempt.commit,
    }
    job = Job(
        directory=directory,
        argv=installer.argv(),
        cwd=tree,
        environment=environment,
        time_limit=node.config["install.time_limit"],
        log_limit=node.config["runs.log_limit"],
        confinement=confining.of_installer(node, tree),
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


def _how(ended: Ended) -> str:
    if ended.cause == "timed-out":
        return "took longer than the time limit (install.time_limit), and was ended"
    if ended.cause == "over-limit":
        return f"used more than it may, and was ended: {ended.error} (sandbox.*)"
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
            write_durably(_moving(node, installation), b"")
            _move_over(old, folder)
    flush_all(node.workspace.tree(installation.tool, attempt.id))  # or a loss of power may leave its scripts empty
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


_STEPS: dict[Step, Callable[[LocalNode, Installation], bool]] = {
    Step.CLONING: _clone,
    Step.INSTALLING: _install,
    Step.DATASET: _dataset,
    Step.SWITCHING: _switch,
}


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


def job_directory(node: LocalNode, installation: Installation) -> Path:
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
