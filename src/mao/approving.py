"""Let single commits of tools in, or take that back: done by people of this node, who have seen what they bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.approval import Approval
from mao.comparing import tree_of
from mao.consenting import check_belongs, check_source, find_approval
from mao.errors import ApprovalNotFound
from mao.finding import find_tool
from mao.reading import Pinned

if TYPE_CHECKING:
    from mao.local_node import LocalNode


def approve(node: LocalNode, name: str, commit: str, by: str) -> Approval:
    """Let the registered tool `name` in at `commit`, and at no other; again changes nothing.

    Raises:
        ToolNotFound, OutsideFailed: nothing was approved.
        PolicyRefused: the tool comes from where this node takes none from, which an approval does not change.
    """
    tool = find_tool(node, name)
    check_source(node, tool.name, tool.url, tool.ref)
    check_belongs(node, tool.name, tool.url, commit)
    tree = tree_of(node, tool.url, Pinned(tool.ref, commit))
    with node.locked("commit", commit):
        present = find_approval(node, name, commit)
        if present is not None:
            return present
        approval = Approval(
            tool=tool.name, commit=commit, tree=tree, url=tool.url, approved_by=by, approved_at=node.clock()
        )
        node.store.save(approval)
        return approval


def withdraw(node: LocalNode, name: str, commit: str) -> None:
    """Do not let the tool in at `commit` any more; where it is installed by now, it stays.

    Raises:
        ApprovalNotFound
    """
    with node.locked("commit", commit):
        present = find_approval(node, name, commit)
        if present is None:
            raise ApprovalNotFound(f"Commit {commit} of '{name}' is not approved on this node. Nothing was changed.")
        node.store.remove(present)
