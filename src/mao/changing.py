"""Delete and move what is published in a dataset: deliberately, with a reason, by a commit that says so."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import announcing, finding, settling
from mao.bare_cache import HEADS, Tip
from mao.change import Action, Change, message
from mao.data_directory import is_gits
from mao.dataset_cache import Update
from mao.errors import BadChange, OutsideFailed, PathNotFound, PathTaken
from mao.fast_import import Addition, Author, Deleted, Moved, Placement
from mao.git import LOST_RACE
from mao.queueing import held
from mao.tree import Tree
from mao.values import display, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.dataset_cache import DatasetCache
    from mao.local_node import LocalNode
    from mao.run import Run

_RACES = 12
"""How many races for the branch are lost before it is given up."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be changed in a dataset.

    Attributes:
        action: to be taken.
        paths: files and folders, from the dataset's root; one, if it is moved.
        to: where to, if it is moved.
        reason: for it.
        by: who wants it.
    """

    action: Action
    paths: tuple[str, ...]
    reason: str
    to: str | None = None
    by: str | None = None


def change(node: LocalNode, dataset: str, wish: Wish) -> Change:
    """Make one commit on the branch of a dataset that deletes or moves what it has, all of it or nothing.

    What is on its way to the dataset is not touched, and the history keeps what was there.

    Raises:
        DatasetNotFound
        BadChange: there is no reason, or a path cannot be one in a dataset.
        PathNotFound, PathTaken: the dataset has nothing where it is taken from, or something where it is to go.
        RemoteRewritten: the history of the branch was replaced, and nobody has decided yet whether it shall stay so.
        OutsideFailed: the remote did not take it, or gave no answer: then it may have taken it.
    """
    found = finding.find_dataset(node, dataset)
    wanted = _checked(node, wish)
    with node.locked("dataset", found.name), held(node, found.name) as runs:
        commit = _pushed(node, node.cache(found.name, found.url), runs, wanted)
        _move_own(node, found.name, wanted)
    announcing.note_head(node, found.name)
    return wanted.model_copy(update={"commit": commit})


def _checked(node: LocalNode, wish: Wish) -> Change:
    """The change that is wished for, if it can be made of any dataset."""
    reason, by = " ".join(wish.reason.split()), " ".join((wish.by or "").split())
    if not reason:
        raise BadChange("Give the reason: it stays in the dataset's history.")
    paths = [_path(path) for path in wish.paths]
    to = _path(wish.to) if wish.to is not None else None
    if not paths or (wish.action is Action.MOVE) != (to is not None) or (to is not None and len(paths) != 1):
        raise BadChange("Name the paths to be deleted, or the one to be moved and where to.")
    if to is not None and f"{to}/".startswith(f"{paths[0]}/"):
        raise BadChange(f"'{paths[0]}' cannot be moved to '{to}', which is or would be in it.")
    outermost = [path for path in sorted(set(paths)) if not any(path.startswith(f"{other}/") for other in paths)]
    return Change(
        commit="",
        action=wish.action,
        paths=tuple(outermost),
        to=to,
        reason=reason,
        by=by or None,
        node=node.config.node,
        at=now().replace(microsecond=0),  # as git keeps it
    )


def _path(text: str) -> str:
    """A path in a dataset, as it is written in git."""
    path = text.removesuffix("/")
    parts = os.fsencode(path).split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part or is_gits(part) for part in parts):
        raise BadChange(
            f"'{display(text)}' is no path in a dataset: give it from the dataset's root, without '.', '..' and '.git'."
        )
    return path


def _pushed(node: LocalNode, cache: DatasetCache, runs: Sequence[Run], wanted: Change) -> str:
    """Put the commit of a change on the branch, on whatever is newest there; its id."""
    author = Author(node.config.node, node.author_email, wanted.at)
    commit: str | None = None
    for race in range(_RACES):
        tip = settling.newest(node, cache, runs)
        if commit and tip.commit and cache.contains(tip.commit, commit):
            return commit
        placement = _placement(Tree(cache, tip.commit), wanted)
        addition = Addition(author, author, (), lambda _, placement=placement: placement)  # type: ignore[misc]
        commit = cache.build(tip.commit, [addition])[0].commit
        if commit and _is_on_branch(cache, tip, commit):
            cache.remember(Tip(tip.branch, commit))
            return commit
        time.sleep(random.uniform(0, min(2.0, 0.02 * 2**race)))  # noqa: S311  # full jitter, not a secret
    raise OutsideFailed(f"{_RACES} times another node published first. Nothing was changed.", cause=LOST_RACE)


def _is_on_branch(cache: DatasetCache, tip: Tip, commit: str) -> bool:
    """Push a commit made on `tip`; False if somebody else was first."""
    try:
        return not cache.push([Update(f"{HEADS}{tip.branch}", commit, old=tip.commit)], whole=True)
    except OutsideFailed:
        with suppress(OutsideFailed):  # the answer may have been lost, and not the push
            if cache.look(tip.branch).tip == commit:
                return True
        raise


def _placement(tree: Tree, wanted: Change) -> Placement:
    """What a commit on `tree` is to change.

    Raises:
        PathNotFound, PathTaken
    """
    paths = [os.fsencode(path) for path in wanted.paths]
    for path in paths:
        if tree.at(path) is None:
            near = tree.near(path)
            hint = f"; did you mean '{display(near)}'?" if near else "."
            raise PathNotFound(f"The dataset has nothing at '{display(path)}'{hint} Nothing was changed.")
    if wanted.to is None:
        return Placement(message(wanted), [(path, Deleted()) for path in paths])
    to = os.fsencode(wanted.to)
    for end in [*(at for at, char in enumerate(to) if char == ord("/")), len(to)]:
        there = tree.at(to[:end])
        if there is not None and (end == len(to) or not there.is_folder):
            raise PathTaken(f"The dataset has '{display(to[:end])}' already. Nothing was changed.")
    return Placement(message(wanted), [(to, Moved(paths[0]))])


def _move_own(node: LocalNode, dataset: str, wanted: Change) -> None:
    """What this node published stays its own where it was moved to, so that a later run may replace it."""
    for path in map(os.fsencode, wanted.paths):
        blobs: dict[bytes, str | None] = {}
        for old, blob in node.store.own_below(dataset, path).items():
            blobs[old] = None
            if wanted.to is not None:
                blobs[os.fsencode(wanted.to) + old[len(path) :]] = blob
        node.store.own(dataset, blobs)
