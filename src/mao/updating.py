"""What installing a tool at another commit would change, shown before it is done."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from mao.building import find_installation
from mao.catalogue import Tool, tool_key
from mao.checking import seen
from mao.errors import MaoError, Stopping
from mao.reading import Pinned, Reading, read, resolve
from mao.values import Value

if TYPE_CHECKING:
    from mao.installation import Installation
    from mao.local_node import LocalNode


class Update(Value):
    """What would change on this node if a tool were installed at another commit."""

    tool: str
    old_commit: str
    new_commit: str
    definition_diff: str
    """Of the two definitions, as a unified diff; empty if nothing changes."""
    installer_diff: str
    """Likewise of the installers' scripts."""
    changed_files: tuple[str, ...]


def describe_update(node: LocalNode, name: str, commit: str | None = None) -> Update:
    """What would change if the tool were installed at `commit`; by default the one that its ref names now."""
    installation = find_installation(node, name)
    attempt = installation.attempt
    url = installation.url or attempt.url
    entry = node.mirror.get(tool_key(name))
    registered = Tool.model_validate_json(entry.value) if entry else None
    ref = registered.ref if registered else attempt.ref
    pinned = Pinned(ref, commit) if commit else resolve(node, url, ref)
    if registered and not commit:
        seen(node, registered, url, pinned)
    before, after = _installed(node, installation, url, ref), read(node, url, pinned)
    paths = before.files.keys() | after.files.keys()
    return Update(
        tool=installation.tool,
        old_commit=before.pinned.commit,
        new_commit=pinned.commit,
        definition_diff=_diff("mao.yaml", before.text, after.text),
        installer_diff=_diff(_installer_name(before, after), before.installer or "", after.installer or ""),
        changed_files=tuple(sorted(path for path in paths if before.files.get(path) != after.files.get(path))),
    )


def _installed(node: LocalNode, installation: Installation, url: str, ref: str) -> Reading:
    """What is installed, from the files here: after a tag was moved, its remote may not have the commit any more."""
    old = Pinned(ref, installation.commit or installation.attempt.commit)
    if installation.tree:
        try:
            return read(node, str(node.workspace.tree(installation.tool, installation.tree)), old)
        except Stopping:
            raise
        except MaoError:  # the tool has changed its own files
            pass
    return read(node, url, old)


def _installer_name(*readings: Reading) -> str:
    return next((r.definition.installer.script for r in reversed(readings) if r.definition.installer), "installer")


def _diff(name: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    return "".join(f"{line}\n" for line in lines)
