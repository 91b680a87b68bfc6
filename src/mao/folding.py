"""The way to a branch that many want to write to: each gives its data to the remote's inbox, and one folds it in.

A push to a ref of one's own has no races. A fold puts all that waits there onto the branch and takes it out of the
inbox, in one push that happens as a whole or not at all. Whoever folds may die: what waits is folded by the next one.
"""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from mao import inbox, recording
from mao.bare_cache import HEADS, Tip
from mao.committing import Contribution, commit_apart, conflict_path
from mao.dataset_cache import FOLD, MOST, Arrival, Update
from mao.errors import OutsideFailed, RemoteRefused
from mao.fast_import import Addition, Author
from mao.queueing import OF_THE_DATA, is_in, undecided
from mao.run import PublicationState, Run
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mao.dataset_cache import DatasetCache, Habits, Look
    from mao.fast_import import Made
    from mao.inbox import Delivery
    from mao.local_node import LocalNode

_LARGE = 1_000_000
"""Bytes of a file from which it is left to its own node to fold, which need not fetch it for that..."""
_PATIENCE = timedelta(hours=1)
"""...unless it has waited for so long."""
_FEW = 8
"""How many, when others were quicker."""
_WINDOW, _SHARE = 2.0, 4.0
"""Seconds at most, and how many times a fold takes, that are waited for more to come when others publish, too."""
_ABANDONED = 20.0
"""Seconds after which whoever is folding is taken to have died."""
_UNFOLDED = 60.0
"""Seconds after which a node folds what it has put into the inbox, whoever else is folding."""


def deliver(node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run], before: Sequence[Run]) -> None:
    """Give the data of `runs` to the remote's inbox.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        tip: of its branch, as it is known.
        runs: to be delivered, again if need be.
        before: those that are there already.
    """
    habits = cache.habits
    habits.spoilt -= {inbox.ref_of(run.node, run.id) for run in runs}
    built = commit_apart(node, cache, tip, runs, before)
    commits = [run.publication.delivery for run in built if run.publication and run.publication.delivery]
    updates = [
        Update(inbox.ref_of(run.node, run.id), commit, forced=True) for run, commit in zip(built, commits, strict=True)
    ]
    lost = cache.push([*updates, Update(FOLD, commits[-1], old="")])
    if FOLD not in lost:  # it is for this node to fold
        habits.held = commits[-1]
        habits.look_at = time.monotonic() + (_window(habits) if habits.busy() else 0)
    elif not before:
        habits.look_at = time.monotonic() + _later(habits)
    recording.delivered(node, [run for run in built if inbox.ref_of(run.node, run.id) not in lost])


def _later(habits: Habits) -> float:
    """Seconds until the next look at what others are to fold: many nodes together look no more often than few."""
    return random.uniform(0.5, 1.5) * max(1.0, habits.others / 4)  # noqa: S311  # spreads the looks


def forward(node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run]) -> tuple[list[Run], float | None]:
    """See what became of deliveries, and fold if it is for this node to do so.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        tip: of its branch, as it is known.
        runs: all of this node that are on their way to it.

    Returns:
        those that have to be published anew, as they are neither in the inbox nor on the branch; and in how many
        seconds this is to be called again, if anything waits in the inbox.
    """
    habits = cache.habits
    if (wait := habits.look_at - time.monotonic()) > 0:
        return [], wait
    look = cache.look(tip.branch)
    tip, runs = recording.settle(node, cache, tip, runs, look)
    if any(_vanished(run, look) for run in runs):  # the branch may have been read before the fold, the inbox after it
        look = cache.look(tip.branch)
        tip, runs = recording.settle(node, cache, tip, runs, look)
    vanished = [run for run in runs if _vanished(run, look)]
    habits.others = len({inbox.node_of(ref) for ref in look.inbox.keys() - habits.left} - {node.config.node})
    if habits.others:
        habits.saw_others()
    ours = [run for run in runs if inbox.ref_of(run.node, run.id) in look.inbox]
    if is_for_us(cache, look, ours):
        folded = fold(node, cache, tip, look, [*ours, *undecided(node, cache.dataset)])
        ours = [run for run in ours if run.id not in folded]
    if not ours and not habits.held:
        return vanished, None
    wait = _window(habits) if habits.held else _later(habits)
    if habits.most < MOST:  # the fold that was begun is to be finished, in smaller parts
        wait = random.uniform(0.0, 0.1)  # noqa: S311  # as above
    habits.look_at = time.monotonic() + wait
    return vanished, wait


def _window(habits: Habits) -> float:
    """Seconds to wait for more before a fold, so that folds take but a small part of the time."""
    return min(_WINDOW, _SHARE * habits.fold_seconds)


def _vanished(run: Run, look: Look) -> bool:
    return is_in(run, PublicationState.DELIVERED) and inbox.ref_of(run.node, run.id) not in look.inbox


def is_for_us(cache: DatasetCache, look: Look, runs: Sequence[Run]) -> bool:
    """Whether nobody else is folding, or whoever said so has not been seen to do it."""
    habits = cache.habits
    own = {habits.held, *(run.publication.delivery for run in runs if run.publication)}
    if look.fold is not None and look.fold in own:
        habits.held = look.fold
        return True
    habits.held = ""
    if look.fold is None or any(_is_left_to_us(run) for run in runs):
        return bool(look.inbox)
    known, since = habits.folding
    if look.fold != known:
        habits.folding = (look.fold or "", time.monotonic())
        return False
    return time.monotonic() - since > _ABANDONED


def _is_left_to_us(run: Run) -> bool:
    """Whether others do not fold a run of this node: it is large, or for a reason that they do not tell."""
    publication = run.publication
    if publication is None or publication.delivered_at is None:
        return False
    waits = abs((now() - publication.delivered_at).total_seconds())  # a clock may have run ahead
    return waits > _UNFOLDED or any(file.size > _LARGE for file in publication.files)


def fold(
    node: LocalNode, cache: DatasetCache, tip: Tip, look: Look, runs: Sequence[Run], *, once: bool = False
) -> frozenset[str]:
    """Put what waits in the inbox onto the branch, and record those of `runs` that were among it.

    If somebody else changes the branch meanwhile, nothing happens, and it is to be tried again. Who finds something of
    others there stays the one who folds, unless it is to be done `once`: it has what is needed of the folders that they
    write to. What the remote refuses of it is found by folding less, and left to its own node.

    Returns:
        the ids of the runs that were recorded.
    """
    begun = time.monotonic()
    here = {run.publication.delivery for run in runs if run.publication and is_in(run, PublicationState.DELIVERED)}
    looked_at, deliveries = _foldable(cache, look, here)
    ours = {run.id: run for run in runs}
    made, over = _made(node, cache, tip, deliveries, ours)
    last = next((one.commit for one in reversed(made.values()) if one.commit), None)
    gone = [one for one in deliveries if one.run not in made or made[one.run].clash is None or one.run in ours]
    updates = [Update(f"{HEADS}{tip.branch}", last, old=tip.commit or "")] if last else []
    removed = [Update(one.ref, "", old=one.commit) for one in gone]
    goes_on = not once and any(one.node != node.config.node for one in gone)
    if look.fold is not None and not goes_on:
        removed.append(Update(FOLD, "", old=look.fold))
    elif goes_on and last:
        removed.append(Update(FOLD, last, old=look.fold or "", forced=True))
    try:
        if not _pushed(cache, updates, removed):
            # Somebody pushes to the branch directly, and knows of nobody else before it has lost a race: be quick.
            cache.habits.most = min(cache.habits.most, _FEW)
            return frozenset()
    except OutsideFailed as error:
        return _refused(node, cache, deliveries, ours, error)
    cache.habits.most = MOST
    cache.habits.held = (last or look.fold or "") if goes_on else ""
    cache.habits.fold_seconds = time.monotonic() - begun
    cache.habits.left = (cache.habits.left & look.inbox.keys() | looked_at) - {one.ref for one in gone}
    recording.arrived(node, tip.branch, [(ours[run], one) for run, one in over.items() if run in ours])
    told = {run: one for run, one in made.items() if run in ours}
    _record(node, cache, Tip(tip.branch, last or tip.commit), [(ours[run], one) for run, one in told.items()])
    return frozenset((*told, *over))


def _refused(
    node: LocalNode, cache: DatasetCache, deliveries: Sequence[Delivery], ours: Mapping[str, Run], error: OutsideFailed
) -> frozenset[str]:
    """Have the next fold be smaller, or pass over the one delivery that the remote does not take onto its branch."""
    if error.cause not in OF_THE_DATA or not deliveries:
        raise error
    cache.habits.most = max(1, len(deliveries) // 2)
    if len(deliveries) > 1:
        return frozenset()
    (one,) = deliveries
    cache.habits.spoilt |= {one.ref}
    if one.run not in ours:
        return frozenset()
    recording.failed(node, [ours[one.run]], error)
    return frozenset({one.run})


def _made(
    node: LocalNode, cache: DatasetCache, tip: Tip, deliveries: list[Delivery], ours: Collection[str]
) -> tuple[dict[str, Made], dict[str, Arrival]]:
    """A commit of each delivery on the branch, by their runs; none for those whose run is on the branch already.

    A push that was given up may arrive after all, and its run may have been folded before; then what it brings may
    have been replaced or taken away since. The whole history is fetched for it only where something is in the way, as
    it is then.
    """
    made = cache.build(tip.commit, _additions(node, deliveries))
    over: dict[str, Arrival] = {}
    if tip.commit:
        told = list(zip((one.run for one in deliveries), made, strict=True))
        new = [run for run, one in told if one.commit or one.clash or run in ours]
        over = cache.holds(tip.commit, new, whole=any(one.beside or one.clash for one in made)) if new else {}
        if over:
            deliveries = [one for one in deliveries if one.run not in over]
            made = cache.build(tip.commit, _additions(node, deliveries))
    return dict(zip((one.run for one in deliveries), made, strict=True)), over


def _foldable(cache: DatasetCache, look: Look, delivered: set[str | None]) -> tuple[AbstractSet[str], list[Delivery]]:
    """The refs that were looked at; what of it is here with all its files, as it was `delivered` by us, or fetched."""
    taken = [(ref, commit) for ref, commit in look.inbox.items() if ref not in cache.habits.spoilt]
    # Oldest first, but for what could not be folded before: however much that is, the others go on.
    order = sorted(taken, key=lambda item: (item[0] in cache.habits.left, item[0].rpartition("/")[2]))
    waiting = dict(order[: cache.habits.most])
    # The cache may have been made anew since.
    here = cache.types(commit for commit in waiting.values() if commit in delivered)
    own = {commit for commit, kind in here.items() if kind == "commit"}
    of_others = {commit for commit in waiting.values() if commit not in own}
    cache.bring(of_others, at_most=_LARGE)
    others = {oid for oid, kind in cache.types(of_others).items() if kind == "commit"}
    deliveries = inbox.read(cache, {ref: commit for ref, commit in waiting.items() if commit in own | others})
    types = cache.types({file.oid for one in deliveries if one.commit in others for file in one.files})
    lacking = {oid for oid, kind in types.items() if kind == "missing"}
    large = [one for one in deliveries if any(file.oid in lacking for file in one.files)]
    late = [one for one in large if abs(now() - one.author.moment) > _PATIENCE]  # a clock may have run ahead
    if late:
        cache.bring_files({file.oid for one in late for file in one.files} & lacking)
    return waiting.keys(), [one for one in deliveries if one not in large or one in late]


def _additions(node: LocalNode, deliveries: Sequence[Delivery]) -> list[Addition]:
    committer = Author(node.config.node, node.author_email, now())
    additions = []
    for one in deliveries:
        replaced = {path: set(blobs) for path, blobs in one.replaced.items()}
        given = [(file, file.oid) for file in one.files]
        rule = Contribution(one.node, one.run, one.message, given, replaced)
        beside = [conflict_path(file.path, one.node, one.run) for file in one.files]
        additions.append(Addition(one.author, committer, [*rule.paths, *beside], rule.place))
    return additions


def _pushed(cache: DatasetCache, updates: list[Update], removed: list[Update]) -> bool:
    """Change the branch and the inbox, both or neither; False if somebody else was first."""
    begun = time.monotonic()
    try:
        lost = cache.push([*updates, *removed], atomic=True) if cache.habits.atomic else None
    except RemoteRefused as error:
        if error.cause != "atomic-unsupported":
            raise
        cache.habits.atomic, lost = False, None
    if lost is not None:
        if updates:
            cache.habits.took(time.monotonic() - begun)
        return not lost
    # What is on the branch already may wait in the inbox for a while; the reverse would be a loss.
    return not (updates and cache.push(updates)) and not cache.push(removed)


def _record(node: LocalNode, cache: DatasetCache, tip: Tip, ours: Sequence[tuple[Run, Made]]) -> None:
    there = [(run, Arrival(made.commit, dict(made.beside))) for run, made in ours if made.commit]
    recording.arrived(node, tip.branch, there)
    recording.unchanged(node, [run for run, made in ours if not made.commit and made.clash is None])
    for run, made in ours:
        if made.clash is not None:
            recording.blocked(node, [run], made.clash)
    cache.remember(tip)
