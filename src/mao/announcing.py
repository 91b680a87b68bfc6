"""Tell the cluster of the newest commits of datasets: at once, or when the registry is back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mao.agreeing import written
from mao.catalogue import dataset_in, head_edit
from mao.errors import DatasetNotFound, DiskFull, RegistryUnavailable
from mao.finding import find_dataset
from mao.kept_mirror import Head
from mao.values import now

if TYPE_CHECKING:
    from mao.agreeing import Look
    from mao.catalogue import Dataset
    from mao.local_node import LocalNode
    from mao.registry import Edit


def sweep(node: LocalNode) -> None:
    """Remember what was published last, if a kill came before that was done, or the registry was set back since."""
    for path in node.workspace.datasets.glob("*.git"):
        note_head(node, path.name.removesuffix(".git"), just_now=False)


def note_head(node: LocalNode, name: str, *, just_now: bool = True) -> bool:
    """Remember the newest commit of a dataset that is known here; whether the cluster is to be told of it.

    Nobody is asked, and nothing is raised: who has published must not wait for the registry, nor fail by it.
    """
    with suppress(DatasetNotFound, RegistryUnavailable, DiskFull):
        dataset = find_dataset(node, name)
        tip = node.cache(dataset.name, dataset.url).tip()
        if tip is None or tip.commit is None or tip.commit == dataset.head:
            return False
        known = node.kept.head(dataset.name)
        # What was told once is not told again: another node may have told of a newer one since.
        if known is None or known.commit != tip.commit or dataset.head is None:
            before = dataset.head if just_now else known and known.commit
            node.kept.remember(dataset.name, Head(tip.commit, before, now()))
            return True
    return False


def announce_head(node: LocalNode, name: str) -> None:
    """Tell the cluster of what is remembered of a dataset; if another node has told of it meanwhile, ask the remote.

    No clock decides what is newer: those of two nodes may differ, and who was told last is not who published last.

    Raises:
        RegistryUnavailable: it stays remembered.
        OutsideFailed: the remote cannot be asked; it stays remembered.
    """
    head = node.kept.head(name)
    if head is None:
        return

    def told(look: Look) -> list[Edit]:
        dataset = dataset_in(look, name)
        if dataset is None:
            return []
        newest = head.commit if dataset.head in {head.before, head.commit} else _at_remote(node, dataset)
        if newest in {None, dataset.head}:
            return []
        return [head_edit(look, name, head=newest, updated_at=head.moment)]

    written(node, told)
    node.kept.told(name, head)


def _at_remote(node: LocalNode, dataset: Dataset) -> str | None:
    """The newest commit that the remote has."""
    with node.locked("dataset", dataset.name):
        cache = node.cache(dataset.name, dataset.url)
        tip = cache.tip() or cache.fill()
        return cache.look(tip.branch).tip
