"""Find tools and datasets among those that are registered."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

from mao.catalogue import DATASETS, HEADS, NODES, TOOLS, UNTOLD, Dataset, Tool, dataset_in, tool_in
from mao.errors import DatasetNotFound, ToolNotFound
from mao.names import nearest

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.registry import Entry


def names(node: LocalNode, prefix: str) -> list[str]:
    """The names of all tools, or datasets, in their order: read once from each, as a registry may hold very many."""
    each = node.mirror.each(f"names {prefix}", prefix, lambda entry: str(json.loads(entry.value)["name"]))
    return [name for _, name in each.values()]


def listed(node: LocalNode, prefix: str, *, after: str = "", limit: int, search: str | None = None) -> list[Entry]:
    """At most `limit` of the registered tools, or datasets, in the order of their names.

    Args:
        node: that looks.
        prefix: `TOOLS` or `DATASETS`.
        after: the end of a key: those that come after it.
        limit: how many at most.
        search: only those with this in their name or description, regardless of case.
    """
    after = prefix + after if after else ""
    if not search:
        return node.mirror.entries(prefix, after=after, limit=limit)
    text = search.casefold()
    each = node.mirror.each(f"search {prefix}", prefix, _described)
    return list(islice((entry for entry, words in each.values() if text in words and entry.key > after), limit))


def _described(entry: Entry) -> str:
    value = json.loads(entry.value)
    description = value.get("description") or value.get("definition", {}).get("Description", "")
    return f"{value['name']}\n{description}".casefold()


def nodes_with_tools(node: LocalNode) -> dict[str, list[tuple[str, str]]]:
    """By the name of each tool in lower case, the nodes of the cluster that have it installed, and at which commits."""

    def found() -> dict[str, list[tuple[str, str]]]:
        having: dict[str, list[tuple[str, str]]] = {}
        for entry in node.mirror.entries(NODES):
            other = json.loads(entry.value)
            for tool, commit in other["tools"].items():
                having.setdefault(tool.lower(), []).append((other["name"], commit))
        return having

    return node.mirror.cached("nodes with tools", found)


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
