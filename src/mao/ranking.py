"""Which node's turn it is: each knows it by itself, and all think alike."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mao.catalogue import NODES, Node

if TYPE_CHECKING:
    from mao.local_node import LocalNode


def live_nodes(node: LocalNode) -> list[Node]:
    """The nodes of the cluster that serve now, as the mirror tells."""
    found = node.mirror.each("nodes", NODES, lambda entry: Node.model_validate_json(entry.value))
    return [known for _, known in found.values()]


def has_tool(known: Node, tool: str) -> bool:
    return tool.lower() in {name.lower() for name in known.tools}


def ranked(nodes: list[Node], what: str, tool: str = "") -> list[str]:
    """The names of `nodes` in lower case, in an order drawn for `what`; those that have `tool` come first.

    If a node goes, the others keep their order (rendezvous hashing: Thaler and Ravishankar, 1998).
    """
    drawn = sorted(
        (not has_tool(known, tool), hashlib.sha256(f"{what} {name}".encode()).digest(), name)
        for known in nodes
        for name in (known.name.lower(),)
    )
    return [name for _, _, name in drawn]
