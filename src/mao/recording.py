"""Record what became of the data of runs on its way to the dataset."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from mao import failures
from mao.bare_cache import rewritten
from mao.committing import described, lfs_of, stored
from mao.data_directory import publishable
from mao.errors import PathClash
from mao.queueing import ON_THE_WAY, undecided
from mao.run import PublicationState, Run, RunState
from mao.values import display, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mao.bare_cache import Tip
    from mao.dataset_cache import Arrival, DatasetCache, Look
    from mao.errors import MaoError
    from mao.local_node import LocalNode

_SETTLED = {"next_try_at": None, "cause": None, "message": None}


def arrived(node: LocalNode, branch: str, runs: Iterable[tuple[Run, Arrival]]) -> None:
    """The branch holds the commits of `runs`."""
    node.store.published(*(_arrived(node, branch, run, arrival) for run, arrival in runs))


def _arrived(node: LocalNode, branch: str, run: Run, arrival: Arrival) -> tuple[Run, dict[bytes, str]]:
    files, _ = publishable(node.workspace.run_data(run.id))
    moment = now()
    run = run.with_publication(
        state=PublicationState.PUBLISHED,
        branch=branch,
        commit=arrival.commit,
        files=described(files, arrival.beside, lfs_of(run)),
        delivered_at=(run.publication.delivered_at if run.publication else None) or moment,
        pushed_at=moment,
        lost_at=None,
        **_SETTLED,
    )
    beside = ", ".join(map(display, arrival.beside.values()))
    reason = f"other content was there: published beside it as {beside}" if beside else None
    run = _moved(run, RunState.SUCCEEDED, reason)
    return run, {arrival.beside.get(file.path, file.path): file.blob() for file in stored(run, files)}


def _moved(run: Run, state: RunState, reason: str | None) -> Run:
    if run.state is state:
        return run.model_copy(update={"reason": reason})
    return run.moved(state, reason=reason, finished_at=None if state is RunState.PUBLISHING else now())


def delivered(node: LocalNode, runs: Sequence[Run]) -> list[Run]:
    """The remote holds the data of `runs`, beside its branch; the runs then."""
    told = []
    for run in runs:
        changes = {"state": PublicationState.DELIVERED, "delivered_at": now(), **_SETTLED}
        told.append(_moved(run.with_publication(**changes), RunState.PUBLISHING, None))
    node.store.save(*told)
    return told


def unchanged(node: LocalNode, runs: Iterable[Run]) -> None:
    """The branch holds all files of `runs` already."""
    reason = "the dataset holds all of it already: no commit"
    _ended(node, runs, PublicationState.UNCHANGED, reason)


def kept(node: LocalNode, runs: Iterable[Run]) -> None:
    """The data of `runs` is committed here, and is not to be pushed."""
    _ended(node, runs, PublicationState.KEPT, "committed on this node, not pushed")


def _ended(node: LocalNode, runs: Iterable[Run], state: PublicationState, reason: str) -> None:
    told = [_moved(run.with_publication(state=state, **_SETTLED), RunState.SUCCEEDED, reason) for run in runs]
    node.store.save(*told)


def failed(node: LocalNode, runs: Iterable[Run], error: MaoError) -> None:
    """The attempt to publish `runs` failed: they wait for the next one, by the rule that its cause has for that."""
    first, longest = node.config["publishing.first_pause"], node.config["publishing.longest_pause"]
    chance = random.random()  # noqa: S311  # no secret; one for all, so that they go together
    told = []
    for run in _current(node, runs):
        attempts = (run.publication.attempts if run.publication else 0) + 1
        pause = failures.pause(error.cause, attempts, first, longest)
        if pause is None:
            blocked(node, [run], error)
            continue
        next_try = now() + timedelta(seconds=failures.spread(error.cause, pause, chance))
        changes = {"attempts": attempts, "next_try_at": next_try}
        told.append(_unpublished(run, PublicationState.WAITING, error.cause, error.detail, **changes))
    node.store.save(*told)


def waiting_too(node: LocalNode, runs: Iterable[Run], other: Run) -> None:
    """`runs` wait for what `other` waits for."""
    known = other.publication
    told = [
        _unpublished(run, PublicationState.WAITING, known.cause, known.message, next_try_at=known.next_try_at)
        for run in runs
        if known is not None
    ]
    node.store.save(*told)


def blocked(node: LocalNode, runs: Iterable[Run], error: MaoError) -> None:
    """Somebody has to decide about `runs`."""
    told = []
    for run in _current(node, runs):
        changes: dict[str, object] = {"next_try_at": None}
        if isinstance(error, PathClash):  # what was built before a lost race did not arrive either
            files = run.publication.files if run.publication else ()
            unplaced = tuple(file.model_copy(update={"published_as": None}) for file in files)
            changes |= {"commit": None, "base": None, "files": unplaced}
        told.append(_unpublished(run, PublicationState.BLOCKED, error.cause, error.detail, **changes))
    node.store.save(*told)


def _current(node: LocalNode, runs: Iterable[Run]) -> list[Run]:
    """The runs with their commits, if those were made; without those that are over."""
    stored = (node.store.run(run.id) or run for run in runs)
    return [run for run in stored if run.publication and run.publication.state in ON_THE_WAY]


def _unpublished(run: Run, state: PublicationState, cause: str | None, message: str | None, **changes: object) -> Run:
    run = run.with_publication(state=state, cause=cause, message=message, **changes)
    reason = "its data waits to be pushed" if state is PublicationState.WAITING else "its data needs a decision"
    return _moved(run, RunState.UNPUBLISHED, f"{reason}: {cause}")


def settle(
    node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run], seen: Look | None = None
) -> tuple[Tip, list[Run]]:
    """Learn what the remote's branch is at, and record which of `runs` are there.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        tip: what was known of the branch: of this node's runs it holds none but those recorded as published.
        runs: all of this node that are on their way to it.
        seen: what a look at the remote has just told.

    Returns:
        the new tip, and the runs that it does not hold.

    Raises:
        RemoteRewritten: the branch no longer holds `tip`.
    """
    seen = seen or cache.look(tip.branch)
    if seen.tip == tip.commit:
        return tip, list(runs)
    newer = cache.refresh(tip.branch, seen)
    if newer.commit is None and tip.commit:
        raise rewritten(tip.commit)
    there = cache.arrivals(newer.commit, tip.commit) if newer.commit else {}
    left = found(node, cache, newer, runs, there)
    cache.remember(newer)
    return newer, left


def found(
    node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run], there: Mapping[str, Arrival]
) -> list[Run]:
    """Record those of `runs`, and of those that wait for a decision, that are `there`; the others of `runs`."""
    all_known = (*runs, *undecided(node, cache.dataset))
    arrived(node, tip.branch, [(run, there[run.id]) for run in all_known if run.id in there])
    return [run for run in runs if run.id not in there]
