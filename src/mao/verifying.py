"""See whether all that this node has published is in a dataset still, and publish again what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import finding, recording, settling
from mao.data_directory import publishable
from mao.git import fetchable
from mao.queueing import asked_again, held, is_in, undecided
from mao.run import PublicationState, Run
from mao.values import Moment, Value, display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mao.bare_cache import Tip
    from mao.catalogue import Dataset
    from mao.dataset_cache import Arrival, DatasetCache
    from mao.local_node import LocalNode
    from mao.settling import Compared


class MissingRun(Value):
    """A run that was published, and that the dataset's branch does not have."""

    run: str
    tool: str
    command: str
    ended_at: Moment | None
    pushed_at: Moment | None
    commit: str | None
    """That it had on the branch."""
    files: tuple[str, ...]
    gone: tuple[str, ...]
    """Those of `files` that are not on this node any more, or not as they were published."""
    can_be_republished: bool
    """Whether any of `files` is on this node still, and none is there with another size."""
    republished: bool = False
    """Whether it is on its way to the dataset again."""


class Verification(Value):
    """What this node has published to a dataset, beside what its branch has now."""

    dataset: str
    remote: str
    branch: str
    head: str | None
    """The newest commit of the branch."""
    rewritten: bool
    """Whether the branch no longer holds what this node saw there; nothing is published until somebody has decided."""
    stopped: int
    """Runs whose data is not published for that reason."""
    published: int
    """Runs that this node has published."""
    missing: tuple[MissingRun, ...]
    """Those that the branch does not have, oldest first."""


def verify(node: LocalNode, dataset: str, *, republish: bool = False) -> Verification:
    """Search the whole history of a dataset's branch for the runs that this node has published.

    Args:
        node: whose runs they are.
        dataset: to be searched.
        republish: take the history as it is now, and publish again what is missing and on this node still.

    Raises:
        DatasetNotFound
        OutsideFailed: the remote cannot be asked; nothing was changed.
    """
    found = finding.find_dataset(node, dataset)
    with node.locked("dataset", found.name), held(node, found.name) as runs:
        cache = node.cache(found.name, found.url)
        known = cache.tip()
        tip = settling.present(cache)
        there = cache.arrivals(tip.commit, None) if tip.commit else {}
        compared = settling.compare(node, found.name, there)
        stopped = settling.stopped(node, found.name)
        missing = [_missing(node, run) for run in compared.lost]
        if republish:
            _accept(node, cache, tip, [*runs, *undecided(node, found.name)], there, compared)
            for run, one in zip(compared.lost, missing, strict=True):
                if one.can_be_republished:
                    _send_again(node, found, run, compared)
                else:
                    settling.give_up(node, [run])
            missing = [one.model_copy(update={"republished": one.can_be_republished}) for one in missing]
        return Verification(
            dataset=found.name,
            remote=found.url,
            branch=tip.branch,
            head=tip.commit,
            rewritten=bool(known and known.commit and not (tip.commit and cache.contains(tip.commit, known.commit))),
            stopped=len(stopped),
            published=compared.published,
            missing=tuple(missing),
        )


def _missing(node: LocalNode, run: Run) -> MissingRun:
    files = run.publication.files if run.publication else ()
    here = {display(file.path): file.size for file in publishable(node.workspace.run_data(run.id))[0]}
    gone = tuple(file.path for file in files if here.get(file.path) != file.size)
    return MissingRun(
        run=run.id,
        tool=run.tool,
        command=run.command,
        ended_at=run.ended_at,
        pushed_at=run.publication.pushed_at if run.publication else None,
        commit=run.publication.commit if run.publication else None,
        files=tuple(file.path for file in files),
        gone=gone,
        can_be_republished=len(gone) < len(files) and here.keys().isdisjoint(gone),
    )


def _accept(
    node: LocalNode,
    cache: DatasetCache,
    tip: Tip,
    runs: Sequence[Run],
    there: Mapping[str, Arrival],
    compared: Compared,
) -> None:
    """Take the history of the branch as it is for what this node knows of it; `runs` that it holds have arrived."""
    settling.put_right(node, cache, compared, there)
    for run in runs:
        with node.locked("run", run.id):
            if node.store.run(run.id) != run or not run.publication or fetchable(run.publication.remote) != cache.url:
                continue  # somebody has just asked for it, or it goes elsewhere
            if run.id in there:
                recording.arrived(node, tip.branch, [(run, there[run.id])])
            else:
                settling.go_on(node, run)
    cache.acquaint(tip)


def _send_again(node: LocalNode, dataset: Dataset, run: Run, compared: Compared) -> None:
    with node.locked("run", run.id):
        latest = node.store.run(run.id)
        if latest is None or latest.publication is None or not is_in(latest, PublicationState.PUBLISHED):
            return
        files = latest.publication.files
        later = [file.path for file in files if (last := compared.last.get(file.path)) and last.id > run.id]
        settled = {"cause": None, "message": None, "commit": None, "base": None, "delivery": None}
        here = {display(file.path) for file in publishable(node.workspace.run_data(run.id))[0]}
        unknown = {"delivered_at": None, "pushed_at": None, "files": tuple(f for f in files if f.path in here)}
        again = asked_again(latest, remote=dataset.url, superseded=tuple(later), **settled, **unknown)
        node.store.save(again)
