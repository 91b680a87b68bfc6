"""Survey a dataset: its size, its growth, and what will make it slow or too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.daily import Course, course_of
from mao.errors import MaoError, Stopping
from mao.finding import find_dataset
from mao.growth import (
    SOON,
    GrowthWarning,
    Source,
    file_warning,
    folder_warning,
    history_warning,
    is_costly,
    measured,
    versions_warning,
)
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from mao.catalogue import Dataset
    from mao.dataset_history import History
    from mao.growth import Added, Growth
    from mao.local_node import LocalNode
    from mao.tally import Tally

_BUSY = 15.0
"""Seconds that one who asks waits for another who has the same history counted."""
_TOLD = 10
"""How many files or folders of one kind are told of."""


def survey(node: LocalNode, name: str, today: date | None = None, *, ask: bool = True) -> Growth:
    """The growth of the dataset `name`: from its history, or from this node's own runs where that cannot be seen.

    Args:
        node: that asks the dataset's remote.
        name: of a registered dataset.
        today: the day, in UTC, up to which growth is measured; the present one if not given.
        ask: whether the remote is asked for what is new; if not, what was seen last goes.

    Raises:
        DatasetNotFound
    """
    dataset = find_dataset(node, name)
    history, problem = _history(node, dataset) if ask else (node.history(dataset.name, dataset.url).counted(), None)
    limit: int = node.config["publishing.dataset_limit"]
    with node.locked("tally", ""), node.tally() as tally:
        tally.follow(node.store)
        own = tally.days(dataset.name, node.config.node)
        warnings = tuple(_warnings(tally, dataset.name, limit))
    source, added = _known(history, own)
    if source is Source.OWN_RUNS and history is not None:
        problem = problem or "No commit of its history says how much it added."
    grown = measured(dataset.name, added, today or now().date(), limit, source)
    seen = {"counted_at": history.counted_at if history else None, "problem": problem}
    return grown.model_copy(update={**seen, "warnings": grown.warnings + warnings})


def course(node: LocalNode, name: str, today: date | None = None) -> Course:
    """What was added to the dataset `name` day by day, as far as this node knows: no remote is asked.

    Args:
        node: that has seen the history, or published to it.
        name: of a registered dataset.
        today: the day, in UTC, on which it is looked at; the present one if not given.

    Raises:
        DatasetNotFound
    """
    dataset = find_dataset(node, name)
    history = node.history(dataset.name, dataset.url).counted()
    with node.locked("tally", ""), node.tally() as tally:
        tally.follow(node.store)
        source, added = _known(history, tally.days(dataset.name, node.config.node))
    counted_at = history.counted_at if history else None
    return course_of(dataset.name, added, today or now().date(), source).model_copy(update={"counted_at": counted_at})


def _known(history: History | None, own: list[Added]) -> tuple[Source, list[Added]]:
    """What is known of a dataset, and from what: its history, if that says how much was added, or the node's runs."""
    said = history is not None and any(row.unsaid < row.commits for row in history.added)
    if history is not None and (said or not own):
        return Source.HISTORY, list(history.added)
    return Source.OWN_RUNS, own


def _history(node: LocalNode, dataset: Dataset) -> tuple[History | None, str | None]:
    """What was counted of the history, and why it could not be counted as it is now."""
    history = node.history(dataset.name, dataset.url)
    tip = node.cache(dataset.name, dataset.url).tip()
    try:
        with node.locked("history", dataset.name, wait=_BUSY):
            return history.count(tip.branch if tip else None), None
    except Stopping:
        raise
    except MaoError as error:
        return history.counted(), error.detail


def _warnings(tally: Tally, dataset: str, limit: int) -> Iterator[GrowthWarning]:
    large = tally.large(dataset)
    repeated = tally.repeated(dataset)
    told = {file.path for file in large}
    coming = [file for file in repeated if file.path not in told and (file.days_to_file_limit or SOON) < SOON]
    for file in (large + coming)[:_TOLD]:
        yield file_warning(file.path, file.size, file.days_to_file_limit)
    costly = [file for file in repeated if is_costly(file, limit)][:_TOLD]
    yield from map(history_warning, costly)
    count, size = tally.older_versions(dataset)
    rest = size - sum(file.total - file.size for file in costly)
    if warning := versions_warning(count - len(costly), rest, limit):
        yield warning
    for folder, entries in tally.folders(dataset)[:_TOLD]:
        yield folder_warning(folder, entries)
