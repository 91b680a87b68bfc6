"""Bring what runs wrote to the dataset: once, whatever is killed, and never over another's file.

The run's directory holds its files until the branch has them; commits are built from there as often as needed. The
same runs on the same base always give the same commits, so a push that may or may not have arrived is simply made
again. All runs of this node for one dataset go together, in the order in which they were made.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mao import fencing, folding, recording, settling
from mao.bare_cache import HEADS, BareCache, Tip
from mao.committing import commit_on
from mao.data_directory import publishable
from mao.dataset_cache import Arrival, Update
from mao.errors import (
    Conflict,
    DiskFull,
    MaoError,
    NothingToPublish,
    OutsideFailed,
    RemoteRefused,
    RunEnded,
    SecretInData,
)
from mao.git import LOST_RACE
from mao.queueing import OF_THE_DATA, ON_THE_WAY, asked_again, batch, due, held, is_in, of_its_own, on_the_way_to, size
from mao.run import UNENDED, Publication, PublicationState, PublishedFile, Run
from mao.uploading import uploaded
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.dataset_cache import DatasetCache
    from mao.fast_import import Made
    from mao.local_node import LocalNode

_RACES = 12
"""How many races for the branch are lost before the others are given a longer pause."""
_SMALL = 1_000_000
"""Bytes up to which the time of a push tells of the remote, and not of the data."""
_REFUSED = 86_400.0
"""Seconds for which a remote that refused a ref of our own is not asked again."""


def collected(node: LocalNode, run: Run, remote: str) -> Publication:
    """What the directory of a run that succeeded holds to be published."""
    files, left_out = publishable(node.workspace.run_data(run.id))
    return Publication(
        dataset=run.dataset,
        remote=remote,
        state=PublicationState.PENDING if files else PublicationState.UNCHANGED,
        files=tuple(PublishedFile(path=display(file.path), size=file.size) for file in files),
        left_out=tuple(left_out),
    )


def publish(node: LocalNode, dataset: str) -> float | None:
    """Bring all data of this node that is on its way to `dataset` forward by one attempt.

    It may be killed anywhere and called again. The caller holds the node's lock on the dataset.

    Returns:
        in how many seconds it is to be called again for what the remote has, but not on its branch yet; None if there
        is no such thing.
    """
    with held(node, dataset) as under_way:
        if settling.follow(node, dataset, under_way):
            return publish(node, dataset)
        by_remote: dict[str, list[Run]] = {}
        for run in under_way:
            by_remote.setdefault(run.publication.remote if run.publication else "", []).append(run)
        waits = [_to_remote(node, node.cache(dataset, remote), runs) for remote, runs in by_remote.items()]
        if all(wait is None for wait in waits) and (cache := node.folds(dataset)) is not None:
            waits.append(_fold_for_others(node, cache))
        return min((wait for wait in waits if wait is not None), default=None)


def _fold_for_others(node: LocalNode, cache: DatasetCache) -> float | None:
    try:
        tip = cache.tip()
        return folding.forward(node, cache, tip, [])[1] if tip is not None else None
    except (OutsideFailed, DiskFull, Conflict):  # then another takes over
        cache.habits.held = ""
        return None


def _to_remote(node: LocalNode, cache: DatasetCache, runs: list[Run]) -> float | None:
    if held_back := fencing.held_back(node, due(node, runs)):
        runs = [run for run in runs if run.id not in held_back]
    sent = due(node, runs)
    delivered = [run for run in runs if is_in(run, PublicationState.DELIVERED)]
    first = next((run for run in runs if is_in(run, PublicationState.WAITING) and not of_its_own(run)), None)
    if first is not None and not sent:
        recording.waiting_too(node, [run for run in runs if is_in(run, PublicationState.PENDING)], first)
    if not sent and not delivered:
        return None
    try:
        return _advance(node, cache, runs, sent)
    except (OutsideFailed, DiskFull) as error:
        recording.failed(node, [*sent, *delivered], error)
    except Conflict as error:
        recording.blocked(node, [*sent, *delivered], error)
    return None


def _advance(node: LocalNode, cache: DatasetCache, runs: list[Run], sent: list[Run]) -> float | None:
    tip, runs = settling.known(node, cache, runs, sent)
    wanted = {run.id for run in sent}
    sent = [run for run in runs if run.id in wanted]
    for run in sent:
        if not run.publish:
            _keep(node, cache, tip, run)
    going, more = batch([run for run in sent if run.publish])
    if going := uploaded(node, cache, going):
        _send(node, cache, going)
    runs = _still(node, runs)
    wait: float | None = None
    if any(is_in(run, PublicationState.DELIVERED) for run in runs):
        vanished, wait = folding.forward(node, cache, cache.tip() or tip, runs)
        if vanished:  # it was folded without a commit, or the remote does not show what it takes
            again = [run.with_publication(state=PublicationState.PENDING) for run in vanished]
            node.store.save(*again)
            more = bool(_to_branch(node, cache, cache.tip() or tip, again)[1]) or more
    return 0.0 if more else wait


def _still(node: LocalNode, runs: Sequence[Run]) -> list[Run]:
    """Those of `runs` that are on their way still, as they are now."""
    stored = (node.store.run(run.id) for run in runs)
    return [run for run in stored if run is not None and run.publication and run.publication.state in ON_THE_WAY]


def _keep(node: LocalNode, cache: DatasetCache, tip: Tip, run: Run) -> None:
    try:
        ((run, made),) = commit_on(node, cache, tip, [run])
    except OutsideFailed as error:
        if error.cause not in OF_THE_DATA:
            raise
        recording.failed(node, [run], error)
        return
    if made.clash is not None:
        recording.blocked(node, [run], made.clash)
    else:
        recording.kept(node, [run])


def _send(node: LocalNode, cache: DatasetCache, runs: list[Run]) -> None:
    """Give `runs` to the remote. What may lie in the data of one of them is found by sending them in halves."""
    try:
        _give(node, cache, runs)
    except OutsideFailed as error:
        if error.cause not in OF_THE_DATA:
            raise
        runs = _still(node, runs)
        if len(runs) == 1:
            recording.failed(node, runs, error)
            return
        for half in (runs[: len(runs) // 2], runs[len(runs) // 2 :]):
            _send(node, cache, half)


def _give(node: LocalNode, cache: DatasetCache, runs: list[Run]) -> None:
    tip = cache.tip() or cache.fill()
    delivered = [run for run in on_the_way_to(node, runs[0].dataset) if is_in(run, PublicationState.DELIVERED)]
    if not delivered and not cache.habits.prefers_inbox():
        tip, runs = _to_branch(node, cache, tip, runs)
    if runs:
        try:
            folding.deliver(node, cache, tip, runs, delivered)
        except RemoteRefused:
            _only_to_branch(node, cache, tip, runs)


def _only_to_branch(node: LocalNode, cache: DatasetCache, tip: Tip, runs: list[Run]) -> None:
    """Push `runs` to the branch, as the remote has refused them a ref of their own."""
    cache.habits.refused_until = time.monotonic() + _REFUSED
    try:
        _to_branch(node, cache, tip, runs)
    except MaoError as error:
        if error.cause != LOST_RACE:  # it was not for the ref
            cache.habits.refused_until = 0.0
        raise


def _to_branch(node: LocalNode, cache: DatasetCache, tip: Tip, runs: list[Run]) -> tuple[Tip, list[Run]]:
    """Push `runs` to the branch; the tip then, and those that lost a race and had better go to the inbox.

    Raises:
        OutsideFailed: the remote takes nothing into the inbox, and too many races for the branch were lost.
    """
    for race in range(_RACES):
        told = commit_on(node, cache, tip, runs)
        for run, made in told:
            if made.clash is not None:
                recording.blocked(node, [run], made.clash)
        if _is_on_branch(node, cache, tip, told, asked=race > 0):
            return cache.tip() or tip, []
        lost = any(made.commit for _, made in told)
        if lost:
            cache.habits.saw_others()
        tip, left = recording.settle(node, cache, tip, on_the_way_to(node, runs[0].dataset))
        runs = [run for run in left if any(run.id == wanted.id for wanted in runs)]
        if not runs or (lost and cache.habits.prefers_inbox()):
            return tip, runs
        _pause(race)
    raise OutsideFailed(
        f"{_RACES} times another node published to '{runs[0].dataset}' first; it is tried again.", cause=LOST_RACE
    )


def _is_on_branch(
    node: LocalNode, cache: DatasetCache, tip: Tip, told: Sequence[tuple[Run, Made]], *, asked: bool
) -> bool:
    """Push what was made, and record it; False if another writer was first, or if only the remote can tell.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        tip: that it was made on.
        told: the runs with what was made of them.
        asked: whether `tip` is what the remote says, not what it said once.
    """
    adding = [(run, Arrival(made.commit, dict(made.beside))) for run, made in told if made.commit]
    if not adding and not asked:
        return False
    if adding:
        last = adding[-1][1].commit
        begun = time.monotonic()
        if cache.push([Update(f"{HEADS}{tip.branch}", last, old=tip.commit or "")]):
            return False
        if sum(size(run) for run, _ in adding) <= _SMALL:
            cache.habits.took(time.monotonic() - begun)
        recording.arrived(node, tip.branch, adding)
        cache.remember(Tip(tip.branch, last))
    recording.unchanged(node, [run for run, made in told if made.commit is None and made.clash is None])
    return True


def _pause(race: int) -> None:
    time.sleep(random.uniform(0, min(2.0, 0.02 * 2**race)) if race else 0)  # noqa: S311  # full jitter, not a secret


def ask(node: LocalNode, run: Run, *, despite_secret: bool = False) -> Run:
    """Have the data of `run` published that was kept back, waits, or was refused.

    Args:
        node: whose run it is.
        run: which.
        despite_secret: also if a secret of the run was found in its files, which are published as they are now.

    Raises:
        SecretInData: one was found, and nobody says that it shall be published all the same.
        RunEnded: it ended without data to publish.
        NothingToPublish: it is published already, or on its way.
    """
    publication = run.publication
    if publication is None:
        if run.state in UNENDED:
            raise NothingToPublish(f"Run {run.id} is {run.state}; its data is published when it has ended.")
        raise RunEnded(f"Run {run.id} is {run.state}: a run that did not succeed publishes nothing.")
    if publication.state in {
        PublicationState.PUBLISHED,
        PublicationState.UNCHANGED,
        PublicationState.PENDING,
        PublicationState.DELIVERED,
    }:
        raise NothingToPublish(f"The data of run {run.id} is {publication.state}: there is nothing more to publish.")
    if publication.state is PublicationState.BLOCKED and publication.cause == SecretInData.code():
        if not despite_secret:
            raise SecretInData(
                f"Run {run.id} is not published: {publication.message} Change that secret where it is known; then see"
                " to the files in the run's directory, and ask with --despite-secret (`despite_secret`) for them to be"
                " published as they are then. Nothing was changed."
            )
        run = run.with_publication(files=collected(node, run, publication.remote).files)
    run = asked_again(run)
    node.store.save(run)
    return run


def sweep(node: LocalNode) -> None:
    """Take away what git left in the caches when this node was killed."""
    for path in node.workspace.datasets.glob("*.git"):
        with suppress(MaoError):  # a cache that cannot be mended is made anew when it is needed
            BareCache(node.git, path, "").prepare()
