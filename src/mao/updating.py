"""What installing a tool at another commit would change, shown before it is done."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from mao.building import find_installation
from mao.catalogue import Tool, tool_in
from mao.checking import seen
from mao.comparing import FileChange, compare
from mao.consenting import check, check_belongs, check_places, check_source, saw
from mao.errors import MaoError, NotApproved, PolicyRefused, Stopping
from mao.installation import Attempt
from mao.reading import Pinned, Reading, read, resolve
from mao.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.definition import Definition
    from mao.installation import Installation
    from mao.local_node import LocalNode


class Update(Value):
    """What would change on this node if a tool were installed at another commit, or for the first time."""

    tool: str
    old_commit: str | None
    """What is installed; None if nothing is: then all of the other is shown as added."""
    new_commit: str
    tree: str
    """git's id of all files there."""
    old_url: str | None
    new_url: str
    """Of the repository: another node may have registered the tool from elsewhere."""
    old_remote: str | None
    new_remote: str
    """Where the data of runs goes."""
    definition_diff: str
    """Of the two definitions, as a unified diff; empty if nothing changes."""
    installer_diff: str
    """Likewise of the installers' scripts."""
    files: tuple[FileChange, ...]
    text: str
    """The changes of the files line by line, if that was asked for."""
    left_out: tuple[str, ...]
    """The files whose changes are not in `text`, as they are too large or too many."""
    error: str | None
    """The code of the error with which this node would refuse it now."""
    detail: str | None
    """The same in words."""
    approvable: bool
    """Whether it would not refuse it if somebody approved the commit."""


class Refusal(NamedTuple):
    """With what this node would refuse to install a tool at a commit now."""

    error: MaoError
    approvable: bool
    """Whether it would not if somebody approved the commit."""


def describe_update(node: LocalNode, name: str, commit: str | None = None, *, text: bool = False) -> Update:
    """What would change if the tool were installed at `commit`.

    By default that is the one that its ref names now; if it is not installed, the one that is registered.

    Raises:
        NotInstalled: it is not registered either.
        PolicyRefused: nothing is fetched from where it comes from.
    """
    tool, source = _source(node, name)
    check_source(node, tool, source.url, source.ref)
    installation = node.store.installation(name)
    installed = installation.commit if installation else None
    commit = commit or (None if installed else source.commit)
    pinned = Pinned(source.ref, commit) if commit else _newest(node, source)
    before = _installed(node, installation, source.ref) if installation and installed else None
    after = read(node, source.url, pinned)
    if after.definition.name.lower() == tool.lower():
        saw(node, tool, pinned.commit, after.definition)
    old = ([*_remotes(node, installation)], before.pinned) if installation and before else None
    compared = compare(node, old, (source.url, pinned), text=text)
    refusal = _refusal(node, tool, source, after, installed)
    return Update(
        tool=tool,
        old_commit=installed,
        new_commit=pinned.commit,
        tree=compared.tree,
        old_url=installation.url if installation and installed else None,
        new_url=source.url,
        old_remote=before.definition.data.repo.remote if before else None,
        new_remote=after.definition.data.repo.remote,
        definition_diff=_diff("mao.yaml", before.text if before else "", after.text),
        installer_diff=_diff(_installer_name(after, before), _script(before), _script(after)),
        files=compared.files,
        text=compared.text,
        left_out=compared.left_out,
        error=refusal.error.code() if refusal else None,
        detail=refusal.error.detail if refusal else None,
        approvable=refusal is not None and refusal.approvable,
    )


def _source(node: LocalNode, name: str) -> tuple[str, Tool | Attempt]:
    """The tool's name, and where it would come from: what is registered, or was when it was installed."""
    tool = tool_in(node.mirror.get, name)
    if tool is not None:
        return tool.name, tool
    installation = find_installation(node, name)
    return installation.tool, installation.attempt


def _newest(node: LocalNode, source: Tool | Attempt) -> Pinned:
    pinned = resolve(node, source.url, source.ref)
    if isinstance(source, Tool):
        seen(node, source, source.url, pinned)
    return pinned


def _remotes(node: LocalNode, installation: Installation) -> Iterator[str]:
    """Where the installed commit is: in the files here first, as its remote may have forgotten it."""
    if installation.tree:
        yield str(node.workspace.tree(installation.tool, installation.tree))
    yield installation.url or installation.attempt.url


def _installed(node: LocalNode, installation: Installation, ref: str) -> Reading:
    old = Pinned(ref, installation.commit or installation.attempt.commit)
    *here, remote = _remotes(node, installation)
    for tree in here:
        try:
            return read(node, tree, old)
        except Stopping:
            raise
        except MaoError:  # the tool has changed its own files
            pass
    return read(node, remote, old)


def _refusal(
    node: LocalNode, tool: str, source: Tool | Attempt, reading: Reading, installed: str | None
) -> Refusal | None:
    """What this node would say if it were asked to install it now."""
    commit = reading.pinned.commit
    if installed == commit:
        return None
    if refusal := _refused(node, tool, source, reading.definition, commit, installed):
        return refusal
    try:
        check_belongs(node, tool, source.url, commit)
    except PolicyRefused as error:
        return Refusal(error, approvable=False)
    return None


def refusal_of(node: LocalNode, tool: Tool) -> Refusal | None:
    """What this node would say if it were asked to install `tool` as it is registered, without a look at its remote."""
    installation = node.store.installation(tool.name)
    installed = installation.commit if installation else None
    if installed == tool.commit:
        return None
    return _refused(node, tool.name, tool, tool.definition, tool.commit, installed)


def _refused(
    node: LocalNode, tool: str, source: Tool | Attempt, definition: Definition, commit: str, installed: str | None
) -> Refusal | None:
    try:
        check_places(node, tool, source.url, source.ref, definition)
    except PolicyRefused as error:
        return Refusal(error, approvable=False)
    attempt = Attempt(
        id="", commit=commit, url=source.url, ref=source.ref, definition=definition, started_at=node.clock()
    )
    try:
        check(node, tool, attempt, installed)
    except (PolicyRefused, NotApproved) as error:
        return Refusal(error, approvable=True)
    return None


def _installer_name(*readings: Reading | None) -> str:
    return next((r.definition.installer.script for r in readings if r and r.definition.installer), "installer")


def _script(reading: Reading | None) -> str:
    return (reading.installer if reading else None) or ""


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "".join(f"{line}\n" for line in lines)
