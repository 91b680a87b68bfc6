"""Move what is registered between this node's own registry and that of a cluster, without losing a name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from mao.catalogue import (
    DATASETS,
    HEADS,
    SCHEDULES,
    SLOTS,
    TOOLS,
    Dataset,
    DatasetHead,
    Tool,
    dataset_in,
    dataset_key,
    head_edit,
    head_in,
    head_key,
)
from mao.errors import StaleRevision
from mao.registry import Edit
from mao.schedule import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.registry import Entry, Registry
    from mao.store import Store


@dataclass
class Moved:
    """What came of moving: the keys that the other registry has now, and in words what it has of somebody else."""

    keys: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    @property
    def registered(self) -> int:
        """How many of them are tools and datasets."""
        return sum(key.startswith((TOOLS, DATASETS)) for key in self.keys)


def entries(registry: Registry, prefix: str) -> Iterator[Entry]:
    """All entries below `prefix`."""
    page, _ = registry.entries(prefix)
    while page:
        yield from page
        page, _ = registry.entries(prefix, after=page[-1].key)


def bring(own: Registry, cluster: Registry) -> Moved:
    """Register in the cluster what is registered here; a name that it has already stays as it is there, and is told of.

    It can be done again after it was cut off. What is here stays here: see `forget`.

    Raises:
        RegistryUnavailable, RegistryFull
    """
    moved = Moved()
    for entry in entries(own, DATASETS):
        mine = Dataset.model_validate_json(entry.value)
        _bring(entry.key, mine, cluster, moved)
        if entry.key in moved.keys:
            _bring_head(dataset_in(own.get, mine.name) or mine, cluster)
            moved.keys.append(head_key(mine.name))
    for entry in entries(own, TOOLS):
        tool = Tool.model_validate_json(entry.value)
        if own.get(dataset_key(tool.dataset)) is not None and dataset_key(tool.dataset) not in moved.keys:
            moved.taken.append(
                f"The tool '{tool.name}' was not registered in the cluster, as its dataset '{tool.dataset}' was not."
            )
        else:
            _bring(entry.key, tool, cluster, moved)
    # Slots first: of a schedule without them, other nodes would have to think that they were missed.
    settled = [entry for entry in entries(own, SLOTS) if Slot.model_validate_json(entry.value).outcome is not None]
    for entry in (*settled, *entries(own, SCHEDULES)):
        with suppress(StaleRevision):  # it was brought before; nobody else has its id
            cluster.write(Edit(entry.key, entry.value, 0))
        moved.keys.append(entry.key)
    return moved


def forget(own: Registry, keys: list[str]) -> None:
    """Take out of this node's own registry what the cluster's has."""
    for key in keys:
        if (entry := own.get(key)) is not None:
            own.write(Edit(key, None, entry.revision))


def take_along(cluster: Registry, own: Registry, store: Store, node: str) -> int:
    """Register here what this node has to do with, so that nothing on it is in want of it; how many there are.

    That is what `node` registered, the tools that are installed here, and the datasets that are cloned here or that
    these tools and this node's runs publish to. In the cluster they stay.

    Raises:
        RegistryUnavailable
    """
    node = node.lower()
    installed = {key.lower() for key, _ in store.bodies("installation")}
    wanted: list[Entry] = []
    datasets: set[str] = set()
    for entry in entries(cluster, TOOLS):
        tool = Tool.model_validate_json(entry.value)
        if tool.registered_by.lower() == node or tool.name.lower() in installed:
            wanted.append(entry)
            datasets.add(tool.dataset.lower())
    for entry in entries(cluster, DATASETS):
        dataset = Dataset.model_validate_json(entry.value)
        if dataset.registered_by.lower() == node or dataset.name.lower() in datasets or _uses(store, dataset.name):
            wanted.append(entry)
    told = [cluster.get(entry.key.replace(DATASETS, HEADS, 1)) for entry in wanted if entry.key.startswith(DATASETS)]
    for entry in (*wanted, *(one for one in told if one is not None)):
        present = own.get(entry.key)
        if present is None or present.value != entry.value:
            own.write(Edit(entry.key, entry.value, present.revision if present else 0))
    return len(wanted)


def _uses(store: Store, dataset: str) -> bool:
    return any(store.bodies(kind, limit=1, dataset=dataset.lower()) for kind in ("installation", "clone", "run"))


def _bring(key: str, mine: Tool | Dataset, cluster: Registry, moved: Moved) -> None:
    while True:
        present = cluster.get(key)
        value = _joined(mine, present)
        if isinstance(value, str):
            moved.taken.append(value)
            return
        if value is None:
            moved.keys.append(key)
            return
        with suppress(StaleRevision):  # another node has written it just now: look again
            text = value.model_dump_json(by_alias=True, exclude=set(DatasetHead.model_fields))
            cluster.write(Edit(key, text.encode(), present.revision if present else 0))


def _bring_head(mine: Dataset, cluster: Registry) -> None:
    """Have the cluster know which tools are of a dataset, and its head if it does not know of any."""
    while True:
        present, theirs = cluster.get(head_key(mine.name)), head_in(cluster.get, mine.name)
        newest = theirs if theirs.head else mine
        together = tuple(dict.fromkeys((*theirs.produced_by, *mine.produced_by)))
        told = {"produced_by": together, "head": newest.head, "updated_at": newest.updated_at}
        edit = head_edit(cluster.get, mine.name, **told)
        if present is not None and present.value == edit.value:
            return
        with suppress(StaleRevision):  # as above
            cluster.write(edit)
            return


def _joined(mine: Tool | Dataset, present: Entry | None) -> Tool | Dataset | str | None:
    """What the cluster is to have; None if it has it; in words, if the name is somebody else's there."""
    if present is None:
        return mine
    match mine:
        case Dataset():
            theirs = Dataset.model_validate_json(present.value)
            if theirs.url != mine.url:
                return (
                    f"The dataset '{theirs.name}' is registered in the cluster by node '{theirs.registered_by}' with"
                    f" the remote {theirs.url}; here it is {mine.url}. Give yours another name and register it."
                )
            return None
        case Tool():
            registered = Tool.model_validate_json(present.value)
            if registered.url == mine.url and registered.registered_by != mine.registered_by:
                return (
                    f"The tool '{registered.name}' is in the cluster already, registered by node"
                    f" '{registered.registered_by}' from the same repository. To bring it to another commit is for that"
                    " node, or an administrator."
                )
            if (registered.url, registered.registered_by.lower()) != (mine.url, mine.registered_by.lower()):
                return (
                    f"The tool '{registered.name}' is registered in the cluster by node '{registered.registered_by}'"
                    f" from {registered.url}; here it is from {mine.url}. Give yours another Name and register it."
                )
            return mine if mine.registered_at > registered.registered_at else None
        case _:
            assert_never(mine)
