"""What the history of a dataset's branch says of it: what was changed deliberately, and what stands beside others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import change, finding, settling
from mao.errors import ChangeNotFound
from mao.provenance import BESIDE_TRAILER, RUN_TRAILER, placed_beside
from mao.run import Run
from mao.values import Moment, Value, display

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mao.bare_cache import Recorded
    from mao.change import Change
    from mao.local_node import LocalNode

_ENDED = "MAO-Ended"


class Beside(Value):
    """A file of a run that stands beside its own path, as that held what somebody else had published."""

    path: str
    published_as: str
    run: str
    node: str
    ended_at: Moment | None
    commit: str | None


def changes(node: LocalNode, dataset: str) -> list[Change]:
    """What was deleted and moved in a dataset by any node, the newest first, as its remote has it now.

    Raises:
        DatasetNotFound
        OutsideFailed: the remote cannot be asked.
    """
    return list(_changes(_history(node, dataset, *change.TRAILERS)))


def find_change(node: LocalNode, dataset: str, commit: str) -> Change:
    """The change that a commit made.

    Raises:
        DatasetNotFound, ChangeNotFound
        OutsideFailed: the remote cannot be asked.
    """
    for found in changes(node, dataset):
        if found.commit == commit:
            return found
    raise ChangeNotFound(f"No change of '{dataset}' has the commit '{commit}'. 'mao dataset changes' lists them.")


def conflicts(node: LocalNode, dataset: str) -> list[Beside]:
    """The files of all nodes that stand beside others, the newest first; those not that were deleted or moved since.

    Raises:
        DatasetNotFound
        OutsideFailed: the remote cannot be asked.
    """
    found: list[Beside] = []
    gone: list[str] = []
    for one in _history(node, dataset, RUN_TRAILER, BESIDE_TRAILER, _ENDED, *change.TRAILERS):
        gone += [path for changed in _changes([one]) for path in changed.paths]
        found += [file for file in _beside(one) if not any(f"{file.published_as}/".startswith(f"{p}/") for p in gone)]
    return found


def conflicts_here(node: LocalNode, dataset: str) -> list[Beside]:
    """The files of this node's runs that were published beside others, the newest first; the remote is not asked.

    Raises:
        DatasetNotFound
    """
    name = finding.find_dataset(node, dataset).name
    runs = map(
        Run.model_validate_json, (body for _, body in node.store.bodies("run", newest_first=True, dataset=name.lower()))
    )
    return [
        Beside(
            path=file.path,
            published_as=file.published_as,
            run=run.id,
            node=run.node,
            ended_at=run.ended_at,
            commit=run.publication.commit,
        )
        for run in runs
        if run.publication
        for file in run.publication.files
        if file.published_as
    ]


def _history(node: LocalNode, dataset: str, *keys: str) -> list[Recorded]:
    found = finding.find_dataset(node, dataset)
    with node.locked("dataset", found.name):
        cache = node.cache(found.name, found.url)
        tip = settling.present(cache)
        return cache.history(tip.commit, *keys) if tip.commit else []


def _changes(history: Iterable[Recorded]) -> list[Change]:
    told = (change.read(one.commit, one.moment, one.trailers) for one in history)
    return [found for found in told if found is not None]


def _beside(one: Recorded) -> list[Beside]:
    told = placed_beside(one.trailers.get(BESIDE_TRAILER, ""))
    return [
        Beside(
            path=display(path),
            published_as=display(at),
            run=one.trailers.get(RUN_TRAILER, ""),
            node=one.trailers.get(change.NODE_TRAILER, ""),
            ended_at=one.moment,
            commit=one.commit,
        )
        for path, at in told.items()
    ]
