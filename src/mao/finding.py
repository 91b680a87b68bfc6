"""Find tools and datasets among those that are registered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mao.catalogue import DATASETS, HEADS, TOOLS, UNTOLD, Dataset, Tool, dataset_in, tool_in
from mao.errors import DatasetNotFound, ToolNotFound
from mao.names import nearest

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.registry import Entry


def names(node: LocalNode, prefix: str) -> list[str]:
    """The names of all tools, or datasets, in their order: read once from each, as a registry may hold very many."""
    each = node.mirror.each(f"names {prefix}", prefix, lambda entry: str(json.loads(entry.value)["name"]))
    return [name for _, name in each.values()]


def shown(node: LocalNode, entry: Entry) -> bytes:
    """A registered tool or dataset as it is shown: of a dataset, with what was told of it."""
    if not entry.key.startswith(DATASETS):
        return entry.value
    told = node.mirror.get(entry.key.replace(DATASETS, HEADS, 1))  # a list has hundreds: a `Dataset` of each is slow
    value = {"produced_by": [], **UNTOLD} | json.loads(entry.value) | (json.loads(told.value) if told else {})
    return json.dumps({"name": value["name"]} | value, separators=(",", ":"), ensure_ascii=False).encode()


def find_tool(node: LocalNode, name: str) -> Tool:
    """The registered tool called `name`.

    Raises:
        ToolNotFound: with the name that is nearest.
    """
    tool = tool_in(node.mirror.get, name)
    if tool is None:
        raise ToolNotFound(unknown(node, "tool", name, TOOLS))
    return tool


def find_dataset(node: LocalNode, name: str) -> Dataset:
    """The registered dataset called `name`.

    Raises:
        DatasetNotFound: with the name that is nearest.
    """
    dataset = dataset_in(node.mirror.get, name)
    if dataset is None:
        raise DatasetNotFound(unknown(node, "dataset", name, DATASETS))
    return dataset


def unknown(node: LocalNode, noun: str, name: str, prefix: str) -> str:
    """Words for that nothing of that name is registered, with what may have been meant."""
    known = {entry.key.removeprefix(prefix): entry for entry in node.mirror.entries(prefix)}
    near = nearest(name[:100], known)  # by their keys: to read a hundred thousand definitions takes seconds
    meant = json.loads(known[near].value)["name"] if near else None
    words = f"No {noun} is registered as '{name}'" + (f"; did you mean '{meant}'?" if meant else ".")
    return words if node.mirror.in_touch() else f"{words} The registry is away: {node.mirror.trouble()}"
