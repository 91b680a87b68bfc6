"""Commit what a run wrote and push it to the dataset: once, whatever is killed, and never over another's file.

The run's directory holds its files until the remote has them; the commit is built from there as often as needed.
The same run on the same base always gives the same commit, so a push that may or may not have arrived is simply
made again.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mao import provenance
from mao.data_directory import publishable
from mao.dataset_cache import DatasetCache, Tip
from mao.errors import (
    Conflict,
    DiskFull,
    MaoError,
    NothingToPublish,
    OutsideFailed,
    PathClash,
    RemoteRewritten,
    RunEnded,
)
from mao.fast_import import Author, Existing, Placement
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.values import display, now

if TYPE_CHECKING:
    from mao.local_node import LocalNode

_LIVE = frozenset({PublicationState.PENDING, PublicationState.WAITING})
_RACES = 12
"""How many races for the branch are lost before the others are given a longer pause."""


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


def publish(node: LocalNode, run: Run) -> Run:
    """Make one attempt to commit the run's data and, unless it is to be kept back, to push it; the run after it.

    It may be killed anywhere and called again. The caller holds the node's locks on the run and on the dataset.
    """
    if run.publication is None or run.publication.state not in _LIVE:
        return run
    try:
        return _published(node, run, node.cache(run.dataset, run.publication.remote))
    except (OutsideFailed, DiskFull) as error:
        return _waiting(node, run, error)
    except Conflict as error:
        return _blocked(node, run, error)


def ask(node: LocalNode, run: Run) -> Run:
    """Have the data of `run` published that was kept back, waits, or was refused.

    Raises:
        RunEnded: it ended without data to publish.
        NothingToPublish: it is published already, or on its way.
    """
    publication = run.publication
    if publication is None:
        if run.state in {RunState.QUEUED, RunState.RUNNING}:
            raise NothingToPublish(f"Run {run.id} is {run.state}; its data is published when it has ended.")
        raise RunEnded(f"Run {run.id} is {run.state}: a run that did not succeed publishes nothing.")
    if publication.state in {
        PublicationState.PUBLISHED,
        PublicationState.UNCHANGED,
        PublicationState.PENDING,
    }:
        raise NothingToPublish(f"The data of run {run.id} is {publication.state}: there is nothing more to publish.")
    run = run.model_copy(update={"publish": True})
    run = run.with_publication(state=PublicationState.PENDING, next_try_at=None, attempts=0)
    run = run.moved(RunState.PUBLISHING, reason=None, finished_at=None)
    node.store.save(run)
    return run


def _published(node: LocalNode, run: Run, cache: DatasetCache) -> Run:
    tip = _known(cache, run)
    if run.publication and run.publication.attempts:
        cache.prepare()  # git may have been killed over the last attempt
    if _holds(cache, tip, run):
        return _arrived(node, run, cache, tip)
    asked = False  # whether `tip` is what the remote says, not what it said once
    for race in range(_RACES):
        run = _committed(node, run, cache, tip)
        if not run.publish:
            return _kept(node, run)
        commit = run.publication.commit if run.publication else None
        if commit is None and asked:
            return _unchanged(node, run)
        if commit is not None and _pushed(cache, commit, tip):
            return _arrived(node, run, cache, Tip(tip.branch, commit))
        _pause(race)
        tip, asked = _newer(cache, tip), True
        if _holds(cache, tip, run):
            return _arrived(node, run, cache, tip)
    raise OutsideFailed(
        f"{_RACES} times another node published to '{run.dataset}' first; it is tried again.",
        cause="lost-race",
    )


def _known(cache: DatasetCache, run: Run) -> Tip:
    """The tip to begin with: the one that is known, unless there is a reason to ask the remote first."""
    publication = run.publication
    tip = cache.tip()
    if tip is None or (publication and publication.cause == RemoteRewritten.code()):
        return cache.fill()  # whoever asks again after a rewritten history has decided that it shall be so
    if tip.commit is not None:
        return tip
    # While a dataset is empty, its first commit may come from elsewhere, and with it the name of its branch. After an
    # attempt of ours it may be our own, under what came since: then all of the history is wanted, not its end.
    newer = cache.refresh(tip.branch) if publication and publication.commit else tip
    if newer.commit is None:
        return cache.fill()
    cache.remember(newer)
    return newer


def _holds(cache: DatasetCache, tip: Tip, run: Run) -> bool:
    """Whether the commit of an earlier attempt is there: its push may have arrived although no answer did."""
    commit = run.publication.commit if run.publication else None
    return commit is not None and tip.commit is not None and cache.contains(tip.commit, commit)


def _newer(cache: DatasetCache, tip: Tip) -> Tip:
    newer = cache.refresh(tip.branch)
    if tip.commit and (newer.commit is None or not cache.contains(newer.commit, tip.commit)):
        raise RemoteRewritten(
            f"The branch '{tip.branch}' no longer holds commit {tip.commit}, which it held before. Was it restored or"
            " rewritten? If so, and it shall stay so: 'mao run publish RUN' publishes to it as it is now."
        )
    cache.remember(newer)
    return newer


def _committed(node: LocalNode, run: Run, cache: DatasetCache, tip: Tip) -> Run:
    """`run` with its commit on `tip`; with none, if nothing in it is new there."""
    files, left_out = publishable(node.workspace.run_data(run.id))
    blobs = {file.path: file.blob() for file in files}
    own = node.store.own_blobs(run.dataset, list(blobs))
    beside: set[bytes] = set()

    def place(existing: Existing) -> Placement:
        beside.update(path for path, present in existing.items() if present not in {blobs[path], own.get(path)})
        new = [file for file in files if existing.get(file.path) != blobs[file.path]]
        return [(_beside(file.path, run) if file.path in beside else file.path, file) for file in new]

    author = Author(node.config.node, node.author_email, run.ended_at or run.created_at)
    commit = cache.commit(tip.commit, provenance.message(run), author, list(blobs), place)
    described = tuple(
        PublishedFile(
            path=display(file.path),
            size=file.size,
            published_as=display(_beside(file.path, run)) if file.path in beside else None,
        )
        for file in files
    )
    run = run.with_publication(
        branch=tip.branch, commit=commit, base=tip.commit, left_out=tuple(left_out), files=described
    )
    node.store.save(run, flush=False)  # the same run on the same tip gives the same commit again
    return run


def _beside(path: bytes, run: Run) -> bytes:
    """The path for a file whose own path holds what somebody else published."""
    name = PurePosixPath(os.fsdecode(path))
    return os.fsencode(str(name.with_name(f"{name.stem}.conflict-{run.node}-{run.id}{name.suffix}")))


def _pushed(cache: DatasetCache, commit: str, tip: Tip) -> bool:
    """Put `commit` on the branch; False if another writer was first."""
    try:
        cache.push(commit, tip.branch, onto=tip.commit)
    except OutsideFailed as error:
        if error.cause == "lost-race":
            return False
        raise
    return True


def _pause(race: int) -> None:
    time.sleep(random.uniform(0, min(2.0, 0.02 * 2**race)) if race else 0)  # noqa: S311  # full jitter, not a secret


def _arrived(node: LocalNode, run: Run, cache: DatasetCache, tip: Tip) -> Run:
    run = run.with_publication(
        state=PublicationState.PUBLISHED, pushed_at=now(), next_try_at=None, cause=None, message=None
    )
    beside = (
        {file.path: file.published_as for file in run.publication.files if file.published_as} if run.publication else {}
    )
    reason = f"other content was there: published beside it as {', '.join(beside.values())}" if beside else None
    run = run.moved(RunState.SUCCEEDED, reason=reason, finished_at=now())
    files, _ = publishable(node.workspace.run_data(run.id))
    own = {_beside(f.path, run) if display(f.path) in beside else f.path: f.blob() for f in files}
    node.store.published(run, own)
    cache.remember(tip)
    return run


def _unchanged(node: LocalNode, run: Run) -> Run:
    run = run.with_publication(state=PublicationState.UNCHANGED, next_try_at=None, cause=None, message=None)
    run = run.moved(RunState.SUCCEEDED, reason="the dataset holds all of it already: no commit", finished_at=now())
    node.store.save(run)
    return run


def _kept(node: LocalNode, run: Run) -> Run:
    run = run.with_publication(state=PublicationState.KEPT, next_try_at=None, cause=None, message=None)
    run = run.moved(RunState.SUCCEEDED, reason="committed on this node, not pushed", finished_at=now())
    node.store.save(run)
    return run


def _waiting(node: LocalNode, run: Run, error: MaoError) -> Run:
    """`run` with its next attempt after a pause that doubles each time, a quarter of it by chance."""
    assert run.publication is not None  # noqa: S101  # for the type checker
    attempts = run.publication.attempts + 1
    longest: float = node.config["publishing.longest_pause"]
    pause = min(longest, node.config["publishing.first_pause"] * 2 ** min(attempts - 1, 30))
    next_try = now() + timedelta(seconds=pause * random.uniform(0.75, 1))  # noqa: S311  # as above
    return _unpublished(node, run, error, PublicationState.WAITING, attempts=attempts, next_try_at=next_try)


def _blocked(node: LocalNode, run: Run, error: MaoError) -> Run:
    changes: dict[str, object] = {"next_try_at": None}
    if isinstance(error, PathClash):  # what was built before a lost race did not arrive either
        files = run.publication.files if run.publication else ()
        unplaced = tuple(file.model_copy(update={"published_as": None}) for file in files)
        changes |= {"commit": None, "base": None, "files": unplaced}
    return _unpublished(node, run, error, PublicationState.BLOCKED, **changes)


def _unpublished(node: LocalNode, run: Run, error: MaoError, state: PublicationState, **changes: object) -> Run:
    current = node.store.run(run.id) or run  # with the commit, if that was made
    current = current.with_publication(state=state, cause=error.cause, message=error.detail, **changes)
    reason = "its data waits to be pushed" if state is PublicationState.WAITING else "its data needs a decision"
    if current.state is RunState.UNPUBLISHED:
        current = current.model_copy(update={"reason": f"{reason}: {error.cause}"})
    else:
        current = current.moved(RunState.UNPUBLISHED, reason=f"{reason}: {error.cause}", finished_at=now())
    node.store.save(current)
    return current


def sweep(node: LocalNode) -> None:
    """Take away what git left in the caches when this node was killed."""
    for path in node.workspace.datasets.glob("*.git"):
        with suppress(MaoError):  # a cache that cannot be mended is made anew when it is needed
            DatasetCache(node.git, path, "").prepare()
