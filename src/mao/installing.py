"""Ask for tools to be installed on this node, and to be removed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import data_directory
from mao.building import find_installation, job_directory
from mao.checking import check_tag
from mao.consenting import check, check_belongs, check_source, has_read, saw
from mao.errors import (
    AlreadyInstalled,
    BadDefinition,
    InUse,
    TagMoved,
)
from mao.finding import find_tool
from mao.installation import Attempt, Installation, InstallationState, Step
from mao.reading import Pinned, check_remote, read
from mao.run import UNENDED
from mao.values import new_id, now
from mao.workspace import fsync, remove_tree

if TYPE_CHECKING:
    from mao.catalogue import Tool
    from mao.definition import Definition
    from mao.local_node import LocalNode
    from mao.run import Run


def request_install(node: LocalNode, name: str, commit: str | None = None) -> Installation:
    """Begin to install the registered tool `name`, at `commit` if that is given, else at the registered one.

    Asking for what is under way or done already changes nothing.

    Raises:
        ToolNotFound, OutsideFailed, BadDefinition: nothing was begun.
        PolicyRefused, NotApproved: this node does not let it in; with what decides, and what to do.
        TagMoved: the tool was registered with a tag, which names another commit now, or is gone.
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
    check_source(node, tool.name, tool.url, tool.ref)
    if commit is None and (moved := check_tag(node, tool)):
        raise TagMoved(f"{moved} Nothing was installed.")
    definition = _definition(node, tool, wanted)
    attempt = Attempt(id=new_id(), commit=wanted, url=tool.url, ref=tool.ref, definition=definition, started_at=now())
    check(node, tool.name, attempt, present.commit if present else None)
    check_belongs(node, tool.name, tool.url, wanted)
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


def _definition(node: LocalNode, tool: Tool, commit: str) -> Definition:
    """The definition of `tool` at `commit` as this node itself has read it, whatever the registry says."""
    if commit == tool.commit and has_read(node, tool.name, commit, tool.definition):
        return tool.definition
    definition = read(node, tool.url, Pinned(tool.ref, commit)).definition
    if definition.name.lower() != tool.name.lower():
        raise BadDefinition(f"At commit {commit} the definition is of '{definition.name}', not '{tool.name}'.")
    check_remote(node, definition.data.repo.remote)
    saw(node, tool.name, commit, definition)
    return definition


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
                node.executor.cancel(str(job_directory(node, installation)))
            return installation
        if busy := [run.id for run in node.store.live_runs() if _needs(run, installation)]:
            raise InUse(
                f"'{installation.tool}' has runs that have not ended ({', '.join(busy[:3])}). Cancel them first."
            )
        _keep_data(node, installation)
        node.store.remove(installation)
        remove_tree(node.workspace.tools / installation.tool.lower())
        return None


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
    return run.tool == installation.tool and run.state in UNENDED
