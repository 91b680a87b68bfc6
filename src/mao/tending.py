"""Keep small what grows with the years, and bring to the branch what was left in the inboxes of datasets."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from mao import folding, recording, settling
from mao.bare_cache import url_of
from mao.errors import MaoError
from mao.git import fetchable
from mao.queueing import held, on_the_way_to, undecided
from mao.run import ENDED, PublicationState
from mao.values import now
from mao.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.dataset_cache import DatasetCache
    from mao.local_node import LocalNode
    from mao.run import Run

log = logging.getLogger("mao.tending")

_REQUESTS = timedelta(days=30)
"""How long a request is known again by its Idempotency-Key."""


def tend(node: LocalNode) -> None:
    """Fold what waits in inboxes and nobody folds, make caches small again, remove what has been kept long enough."""
    certain = {(dataset, url) for dataset, url in list(_cached(node)) if _tended(node, dataset, url)}
    data, logs = node.config["runs.keep_data"], node.config["runs.keep_logs"]
    for run in _old_runs(node, data):
        if _is_certain(run, certain):
            _remove(node, run, node.workspace.run_data(run.id), lambda run: _is_published(run, data))
    for run in _old_runs(node, logs):
        if _is_certain(run, certain) or run.publication is None or not node.workspace.run_data(run.id).exists():
            _remove(node, run, node.workspace.run(run.id), lambda run: _is_over(run, logs))
    node.store.forget_requests(now() - _REQUESTS)


def _is_certain(run: Run, certain: set[tuple[str, str]]) -> bool:
    """Whether the remote of a run was seen to hold what it held."""
    return run.publication is not None and (run.dataset.lower(), fetchable(run.publication.remote)) in certain


def _remove(node: LocalNode, run: Run, directory: Path, may_go: Callable[[Run], bool]) -> None:
    if not may_go(run):
        return
    with node.locked("run", run.id):  # it may have been asked for again since it was read
        if may_go(node.store.run(run.id) or run):
            try:
                remove_tree(directory)
            except OSError as error:  # the others go all the same
                log.warning("%s could not be removed: %s", directory, error)


def _cached(node: LocalNode) -> Iterator[tuple[str, str]]:
    """The datasets that this node has published to, and the addresses of their remotes."""
    for path in node.workspace.datasets.glob("*.git"):
        if (url := url_of(path)) is not None:
            yield path.name.removesuffix(".git"), url


def _tended(node: LocalNode, dataset: str, url: str) -> bool:
    """Whether the remote was seen to hold, just now, all that this node has published there."""
    with node.locked("dataset", dataset), held(node, dataset):
        cache = node.cache(dataset, url)
        tip = cache.tip()
        if tip is None:
            return False
        try:
            tip, runs = settling.known(node, cache, on_the_way_to(node, dataset), [])
            look = cache.look(tip.branch)
            tip, runs = recording.settle(node, cache, tip, runs, look)
            if look.inbox and folding.is_for_us(cache, look, runs):
                folding.fold(node, cache, tip, look, [*runs, *undecided(node, dataset)], once=True)
            if not on_the_way_to(node, dataset) and cache.is_large():
                _make_anew(cache)
        except MaoError as error:
            log.warning("dataset %s could not be tended: %s", dataset, error.detail)
            return False
        return True


def _make_anew(cache: DatasetCache) -> None:
    known = cache.tip()
    if cache.fill() == known:  # in whose history nothing has to be looked for again
        cache.acquaint(known)


def _old_runs(node: LocalNode, days: float) -> Iterator[Run]:
    """The runs with a directory that were asked for more than so many days ago: their ids tell the time."""
    oldest = now() - timedelta(days=days)
    for directory in sorted(node.workspace.runs.iterdir()):
        try:
            asked_for = datetime.fromtimestamp((UUID(directory.name).int >> 80) / 1000, UTC)
        except ValueError:  # not of a run
            continue
        if asked_for > oldest:
            return
        run = node.store.run(directory.name)
        if run is not None:
            yield run


def _is_published(run: Run, days: float) -> bool:
    """Whether the branch has had the run's files for so many days."""
    if run.publication is None or run.publication.lost_at is not None:
        return False
    moment = run.publication.pushed_at
    return moment is not None and moment <= now() - timedelta(days=days) and not _on_this_node_only(run)


def _is_over(run: Run, days: float) -> bool:
    """Whether the run ended so many days ago, and this node is not the only one to have its data."""
    ended = run.finished_at or run.created_at
    return run.state in ENDED and ended <= now() - timedelta(days=days) and not _on_this_node_only(run)


def _on_this_node_only(run: Run) -> bool:
    over = {PublicationState.PUBLISHED, PublicationState.UNCHANGED}
    return run.publication is not None and run.publication.state not in over
