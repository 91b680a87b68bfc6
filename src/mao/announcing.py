"""Tell the cluster of the newest commits of datasets: at once, or when the registry is back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mao.agreeing import written
from mao.catalogue import Dataset, dataset_key
from mao.errors import DatasetNotFound, DiskFull, RegistryUnavailable
from mao.kept_mirror import Head
from mao.registering import find_dataset
from mao.registry import Edit
from mao.values import now

if TYPE_CHECKING:
    from mao.agreeing import Look
    from mao.local_node import LocalNode


def sweep(node: LocalNode) -> None:
    """Remember what was published last, if this node was killed before it did so, or the registry was set back since."""
    for path in node.workspace.datasets.glob("*.git"):
        note_head(node, path.name.removesuffix(".git"), just_now=False)


def note_head(node: LocalNode, name: str, *, just_now: bool = True) -> bool:
    """Remember the newest commit of a dataset that is known here; whether the cluster is to be told of it.

    Nobody is asked, and nothing is raised: who has published must not wait for the registry, nor fail by it.
    """
    with suppress(DatasetNotFound, RegistryUnavailable, DiskFull, OSError):
        dataset = find_dataset(node, name)
        cache = node.cache(dataset.name, dataset.url)
        tip = cache.tip()
        if tip is None or tip.commit is None or tip.commit == dataset.head:
            return False
        known = node.kept.head(dataset.name)
        # What was told once is not told again: another node may have told of a newer one since.
        if known is None or known.commit != tip.commit or dataset.head is None:
            # What another node has told since then is known by its moment alone.
            earlier = Head(tip.commit, known.commit if known else None, cache.remembered_at())
            head = Head(tip.commit, dataset.head, now()) if just_now else earlier
            node.kept.remember(dataset.name, head)
            return True
    return False


def announce_head(node: LocalNode, name: str) -> None:
    """Tell the cluster of what is remembered of a dataset, unless another node has told of a newer commit meanwhile.

    Raises:
        RegistryUnavailable: it stays remembered.
    """
    head = node.kept.head(name)
    if head is None:
        return

    def told(look: Look) -> list[Edit]:
        entry = look(dataset_key(name))
        if entry is None:
            return []
        dataset = Dataset.model_validate_json(entry.value)
        updated_at = max(head.moment, dataset.updated_at or head.moment)
        overtaken = updated_at > head.moment and dataset.head != head.before
        if dataset.head == head.commit or overtaken:
            return []
        newer = dataset.model_copy(update={"head": head.commit, "updated_at": updated_at})
        return [Edit(entry.key, newer.model_dump_json().encode(), entry.revision)]

    written(node, told)
    node.kept.told(name, head)
