"""Change the registry as one of many nodes that do: by what it holds, and what of it is one's own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from mao.attending import check_name
from mao.catalogue import TOOLS
from mao.errors import Denied, MaoError, StaleRevision

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.catalogue import Dataset, Tool
    from mao.local_node import LocalNode
    from mao.registry import Edit, Entry

    Look: TypeAlias = Callable[[str], Entry | None]

log = logging.getLogger("mao.agreeing")


def written(node: LocalNode, decide: Callable[[Look], list[Edit]]) -> list[Edit]:
    """Write what `decide` makes of what the registry holds; the edits that were made.

    It decides by the mirror if that is in touch, as nothing is written if another node was quicker. Then, and before
    anything is refused, it decides anew by what the registry itself says.

    Raises:
        RegistryUnavailable, RegistryFull, ValueTooLarge: from the registry.
        MaoError: what `decide` raises.
    """
    look = node.mirror.get if node.mirror.in_touch() else node.registry.get
    while True:
        try:
            edits = decide(look)
        except MaoError:
            if look == node.registry.get:
                raise
            edits = decide(look := node.registry.get)
        if not edits:
            return []
        try:
            revision = node.registry.write(*edits)
        except StaleRevision:
            look = node.registry.get
        else:
            node.mirror.catch_up(revision)
            return edits


def check_in_reach(node: LocalNode) -> None:
    """Ask a registry that may be away, before anything is begun: nothing is to be found out in vain, or half written.

    Raises:
        RegistryUnavailable
    """
    if not node.mirror.in_touch():
        node.registry.get(TOOLS)


def unchanged(present: Entry | None, what: str, if_revision: int) -> Entry:
    """`present`, if it is what was read.

    Raises:
        StaleRevision
    """
    if present is None or present.revision != if_revision:
        raise StaleRevision(f"The {what} has changed since it was read. Look at it again. Nothing was changed.")
    return present


def check_may(node: LocalNode, *, asked: bool) -> None:
    """Refuse to change anything for a node that has not the name it goes by, or asks as administrator and is none.

    Raises:
        NodeTaken, Denied
    """
    check_name(node)
    if asked and not node.config["node.administrator"]:
        raise Denied(
            f"The node '{node.config.node}' is no administrator, so it may change what it registered itself only."
            " Whoever runs it makes it one with the setting node.administrator = true"
            " (MAO_NODE__ADMINISTRATOR=true) and a restart. Nothing was changed."
        )


def check_own(node: LocalNode, value: Tool | Dataset, *, as_administrator: bool) -> None:
    """Refuse to change what another node registered, unless it is done as administrator.

    Raises:
        Denied
    """
    check_owner(node, f"'{value.name}'", value.registered_by, as_administrator=as_administrator)


def check_owner(node: LocalNode, what: str, owner: str, *, as_administrator: bool) -> None:
    """Refuse to change `what` is the node `owner`'s, if that is another one, unless it is done as administrator.

    Raises:
        Denied
    """
    if owner.lower() == node.config.node.lower():
        return
    if not as_administrator:
        raise Denied(
            f"{what} was registered by node '{owner}': only that node may change it, or one that"
            " is an administrator and says so (--as-administrator). Nothing was changed."
        )
    log.warning("%s of node '%s' is changed by this node, as administrator", what, owner)
