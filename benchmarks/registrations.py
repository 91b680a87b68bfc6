"""Registered tools in any number, each with its dataset, for benchmarks of what lists and holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.catalogue import Dataset, Tool, dataset_key, tool_key
from mao.definition_file import load
from mao.registry import Edit
from mao.values import now
from support import tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.registry import Registry

_TOGETHER = 50
"""How many tools are written at once: with their datasets, as many keys as a registry takes."""


def tool_called(name: str) -> Tool:
    """A tool as `register` would write it."""
    return Tool(
        name=name,
        url=f"https://example.org/{name}.git",
        ref="refs/heads/main",
        commit="0" * 40,
        definition=load(tool_files(f"https://example.org/{name}-data.git", name=name)["mao.yaml"]),
        dataset=f"{name}-data",
        registered_by="alpha",
        registered_at=now(),
    )


def edits(count: int) -> Iterator[tuple[Edit, Edit]]:
    """So many tools, from `tool-000000` on, each with its dataset."""
    first = tool_called("tool-000000")
    dataset = Dataset(
        name=first.dataset,
        url=first.definition.data.repo.remote,
        description=f"Data of {first.name}: {first.definition.description}",
        produced_by=(first.name,),
        registered_by="alpha",
        registered_at=first.registered_at,
    )
    bodies = first.model_dump_json(by_alias=True).encode(), dataset.model_dump_json().encode()
    for number in range(count):
        name = f"tool-{number:06d}"
        # To check each of a hundred thousand definitions would take minutes.
        tool, its = (body.replace(first.name.encode(), name.encode()) for body in bodies)
        yield Edit(tool_key(name), tool, 0), Edit(dataset_key(f"{name}-data"), its, 0)


def fill(registry: Registry, count: int) -> int:
    """Register so many tools; the bytes of their keys and values."""
    waiting: list[Edit] = []
    written = 0
    for pair in edits(count):
        waiting += pair
        written += sum(len(edit.key) + len(edit.value or b"") for edit in pair)
        if len(waiting) == 2 * _TOGETHER:
            registry.write(*waiting)
            waiting = []
    if waiting:
        registry.write(*waiting)
    return written
