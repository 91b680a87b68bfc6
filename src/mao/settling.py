"""Bring what a node knows of a dataset's branch together with what is there, also where its history was replaced."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mao import recording
from mao.bare_cache import rewritten
from mao.errors import RemoteRewritten
from mao.git import fetchable
from mao.queueing import accepts_rewritten, asked_again, is_in, is_tried, undecided
from mao.run import PublicationState, Run, RunState
from mao.tree import Tree
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mao.bare_cache import Tip
    from mao.dataset_cache import Arrival, DatasetCache
    from mao.local_node import LocalNode

_PAGE = 500
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")
"""As a byte is shown that is not UTF-8."""


def known(node: LocalNode, cache: DatasetCache, runs: list[Run], sent: list[Run]) -> tuple[Tip, list[Run]]:
    """The tip to begin with, the one that is known unless there is a reason to ask; and what it does not hold.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        runs: all of this node that are on their way to it.
        sent: those of them that are to be sent now.

    Raises:
        RemoteRewritten: the branch no longer holds what was known of it, and nobody has said that it shall be so.
    """
    tip = cache.tip()
    accepted = any(accepts_rewritten(run) for run in sent)
    if tip is None or accepted:
        tip = cache.fill()
    elif not cache.is_new() and any(map(is_tried, sent)):  # a push may have arrived although no answer did
        cache.prepare()  # git may have been killed over it
        tip, runs = recording.settle(node, cache, tip, runs)
    if tip.commit is None:  # the first commit may come from elsewhere, and with it the name of the branch
        tip = cache.fill()
    if cache.is_new():
        runs = _made_acquainted(node, cache, tip, runs, accepted=accepted)
    return tip, runs


def _made_acquainted(node: LocalNode, cache: DatasetCache, tip: Tip, runs: list[Run], *, accepted: bool) -> list[Run]:
    """See what of this node is in the history of `tip`, of which nothing is known; those of `runs` that are not."""
    last = _last_published(node, cache)
    tried = cache.was_lost() or any(map(is_tried, (*runs, *undecided(node, cache.dataset))))
    there = cache.arrivals(tip.commit, None) if tip.commit and (tried or accepted or last) else {}
    if last is not None and last.id not in there and not accepted:
        raise rewritten(last.publication.commit or "" if last.publication else "")
    left = recording.found(node, cache, tip, runs, there)
    if accepted:
        compared = compare(node, cache.dataset, there)
        put_right(node, cache, compared, there)
        give_up(node, compared.lost)
    cache.acquaint(tip)
    if accepted:  # it is decided for all of them, once
        left = [run.with_publication(cause=None, message=None) if accepts_rewritten(run) else run for run in left]
        node.store.save(*left)
    return left


def give_up(node: LocalNode, lost: Sequence[Run]) -> None:
    """Record of runs that were published that the branch has lost them, and that it was decided that it shall be so."""
    for run in lost:
        with node.locked("run", run.id):
            latest = node.store.run(run.id)
            if latest is not None and is_in(latest, PublicationState.PUBLISHED):
                node.store.save(latest.with_publication(lost_at=now()))


def _last_published(node: LocalNode, cache: DatasetCache) -> Run | None:
    """The newest run of this node that is in the dataset, as far as is known here."""
    found = (run for run in _runs(node, cache.dataset, RunState.SUCCEEDED, newest_first=True))
    published = (run for run in found if is_in(run, PublicationState.PUBLISHED) and run.publication)
    return next((run for run in published if _is_in(run, cache)), None)


def _is_in(run: Run, cache: DatasetCache) -> bool:
    publication = run.publication
    return publication is not None and publication.lost_at is None and fetchable(publication.remote) == cache.url


def newest(node: LocalNode, cache: DatasetCache, runs: Sequence[Run]) -> Tip:
    """What the remote's branch is at now, once that is recorded which has arrived there of `runs`, those on their way.

    Raises:
        RemoteRewritten: see `known`.
    """
    there = [run for run in runs if run.publication and fetchable(run.publication.remote) == cache.url]
    tip, left = known(node, cache, there, there)
    return recording.settle(node, cache, tip, left)[0]


def present(cache: DatasetCache) -> Tip:
    """What the remote's branch is at now, whether or not it was rewritten. Nothing is recorded."""
    before = cache.tip() or cache.fill()
    tip = cache.refresh(before.branch)
    if tip.commit is None and (branch := cache.head()):
        tip = cache.refresh(branch)
    return tip


def stopped(node: LocalNode, dataset: str) -> list[Run]:
    """The runs whose data is not published until somebody has decided about the rewritten history of `dataset`."""
    return [run for run in undecided(node, dataset) if is_stopped(run)]


def is_stopped(run: Run) -> bool:
    """Whether the data of `run` waits for such a decision."""
    cause = run.publication.cause if run.publication else None
    return is_in(run, PublicationState.BLOCKED) and cause == RemoteRewritten.code()


def follow(node: LocalNode, dataset: str, runs: Sequence[Run]) -> bool:
    """Have all go on that a rewritten history has stopped, if somebody has decided so for one of `runs`.

    Returns:
        whether there was any.
    """
    accepted = [run for run in runs if accepts_rewritten(run)]
    remotes = {run.publication.remote for run in accepted if run.publication}
    if not accepted:
        return False
    found = [run for run in stopped(node, dataset) if run.publication and run.publication.remote in remotes]
    for run in found:
        go_on(node, run)
    return bool(found)


def go_on(node: LocalNode, run: Run) -> None:
    """Have a run go on that a rewritten history has stopped."""
    with node.locked("run", run.id):
        latest = node.store.run(run.id)
        if latest is not None and is_stopped(latest):
            node.store.save(asked_again(latest))


def _runs(node: LocalNode, dataset: str, state: RunState | None = None, *, newest_first: bool = False) -> Iterator[Run]:
    """The runs of this node for `dataset`, oldest first."""
    chosen = {"dataset": dataset.lower(), "state": state}
    after: str | None = None
    while bodies := node.store.bodies("run", after=after, limit=_PAGE, newest_first=newest_first, **chosen):
        yield from (Run.model_validate_json(body) for _, body in bodies)
        after = bodies[-1][0]


@dataclass(slots=True)
class Compared:
    """What this node has published to a dataset, beside what its branch has now.

    Attributes:
        published: how many runs it was.
        lost: those that the branch does not have, oldest first.
        paths: where their files are to go, or were.
        last: the newest run of this node that the branch has, for those of `paths` that one has written.
    """

    published: int = 0
    lost: list[Run] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    last: dict[str, Run] = field(default_factory=dict)


def compare(node: LocalNode, dataset: str, there: Mapping[str, Arrival]) -> Compared:
    """See which runs that were published the branch does not have.

    Args:
        node: whose runs they are.
        dataset: that they were published to.
        there: the runs in the whole history of its branch.
    """
    found = Compared()
    for run in _runs(node, dataset):
        if run.publication and is_in(run, PublicationState.PUBLISHED):
            found.published += 1
            if run.id not in there:
                found.lost.append(run)
                found.paths |= _paths(run) | {file.path for file in run.publication.files}
    if found.lost:
        for run in _runs(node, dataset):
            if is_in(run, PublicationState.PUBLISHED) and run.id in there:
                found.last |= dict.fromkeys(_paths(run) & found.paths, run)
    return found


def _paths(run: Run) -> set[str]:
    """Where its files were put in the dataset."""
    return {file.published_as or file.path for file in run.publication.files} if run.publication else set()


def put_right(node: LocalNode, cache: DatasetCache, compared: Compared, there: Mapping[str, Arrival]) -> None:
    """Record what of this node the branch has where it has lost something newer: only that is replaced from now on."""
    trees: dict[str, Tree] = {}
    blobs: dict[bytes, str | None] = {}
    for path in sorted(compared.paths):
        given = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(path))
        blobs[given] = None
        if last := compared.last.get(path):
            commit = there[last.id].commit
            tree = trees[commit] = trees.get(commit) or Tree(cache, commit)
            entry = tree.at(given)
            blobs[given] = entry.oid if entry and not entry.is_folder else None
    if compared.lost:
        node.store.own(compared.lost[0].dataset, blobs)
