"""Clone and refresh datasets on this node, to be read without their tools."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mao.clone_directory import CloneDirectory
from mao.errors import (
    CloneChanged,
    FolderNotFound,
    InUse,
    MaoError,
    NotCloned,
    RemoteUnreachable,
    RepositoryTooLarge,
    Stopping,
)
from mao.exchange import MOST_WORDS
from mao.finding import find_dataset
from mao.git import Output, failure
from mao.installation import Clone, CloneState
from mao.names import nearest
from mao.values import new_id, now
from mao.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from mao.local_node import LocalNode

_PROGRESS = re.compile(r"(Receiving objects|Resolving deltas|Updating files): +(\d+%)")
_LOOK = 0.2  # seconds between two looks at what git says it is doing
_MOST_WORDS = 1 << 24  # bytes on the disk: what git says of a large dataset's progress is some kB
_LIVE = frozenset({CloneState.CLONING, CloneState.REFRESHING})
_SHOWN_CHANGES = 10


def request_clone(
    node: LocalNode,
    name: str,
    *,
    folders: Sequence[str] = (),
    since: datetime | None = None,
    history: bool = False,
) -> Clone:
    """Begin to clone the dataset `name`, or to refresh the clone that is here, which keeps what it has.

    Args:
        node: that gets the clone.
        name: of a registered dataset.
        folders: bring the files below these only, besides those that are here; `.`, or none for a new clone: all.
        since: bring the history back to here, not only the newest commit.
        history: bring the whole history.

    Raises:
        DatasetNotFound: no clone is here either.
        CloneChanged: somebody changed files in the clone; nothing of that is touched.
        InUse: it is being cloned already, with less than is asked for.
    """

    def widened(clone: Clone) -> Clone:
        return _widened(clone, folders, since, history=history)

    if present := _under_way(node, name, widened):  # git holds the lock until it is done
        return present
    with node.locked("clone", name):
        if present := _under_way(node, name, widened):
            return present
        present = node.store.clone(name)
        if present is not None and present.path is not None:
            _check_unchanged(node, present)
            update = {"state": CloneState.REFRESHING, "error": None, "detail": None}
            begun = widened(present).model_copy(update=update)
        else:
            dataset = find_dataset(node, name)
            narrow = "." not in folders
            begun = Clone(
                dataset=dataset.name,
                url=dataset.url,
                state=CloneState.CLONING,
                folders=tuple(dict.fromkeys(folders)) if narrow else (),
                further=tuple(dict.fromkeys(folders)) if narrow else (),
                since=since,
                history=history,
            )
        node.store.save(begun)
        return begun


def _widened(clone: Clone, folders: Sequence[str], since: datetime | None, *, history: bool) -> Clone:
    """`clone` with what is asked for besides."""
    whole = not clone.folders or "." in folders
    further = () if whole else tuple(dict.fromkeys(folder for folder in folders if folder not in clone.folders))
    moments = [moment for moment in (since, clone.since) if moment]
    return clone.model_copy(
        update={
            "folders": () if whole else clone.folders + further,
            "further": () if whole else clone.further + further,
            "since": min(moments) if moments else None,
            "history": history or clone.history,
        }
    )


def _under_way(node: LocalNode, name: str, widened: Callable[[Clone], Clone]) -> Clone | None:
    present = node.store.clone(name)
    if present is None or present.state not in _LIVE:
        return None
    if widened(present) != present:
        raise InUse(f"'{name}' is being cloned with less than you ask for. Ask again when that is done.")
    return present


def find_clone(node: LocalNode, name: str) -> Clone:
    """The clone of the dataset `name` that is here.

    Raises:
        NotCloned
    """
    found = node.store.clone(name)
    if found is None:
        near = nearest(name, [key for key, _ in node.store.bodies("clone")])
        hint = f"; did you mean '{near}'?" if near else f". 'mao dataset clone {name}' clones it."
        raise NotCloned(f"The dataset '{name}' is not cloned on this node{hint}")
    return found


def remove_clone(node: LocalNode, name: str) -> None:
    """Remove a clone from this node.

    Raises:
        NotCloned
        InUse: it is being cloned or refreshed.
        CloneChanged: it holds changes that would be lost.
    """
    _check_idle(find_clone(node, name))  # git holds the lock until it is done
    with node.locked("clone", name):
        clone = find_clone(node, name)
        _check_idle(clone)
        if clone.path:
            _check_unchanged(node, clone)
        node.store.remove(clone)
        remove_tree(node.workspace.clone(clone.dataset))


def _check_idle(clone: Clone) -> None:
    if clone.state in _LIVE:
        raise InUse(f"'{clone.dataset}' is {clone.state} at present. Remove it when that is done.")


def _check_unchanged(node: LocalNode, clone: Clone) -> None:
    directory = _directory(node, clone)
    changed = directory.changes(clone.head) if directory.path.exists() else []
    if changed:
        more = f"\nand {len(changed) - _SHOWN_CHANGES} more" if len(changed) > _SHOWN_CHANGES else ""
        shown = "\n".join(changed[:_SHOWN_CHANGES])
        raise CloneChanged(
            f"{directory.path} holds changes that are not in the dataset:\n{shown}{more}\nMove them away first."
        )


def _directory(node: LocalNode, clone: Clone) -> CloneDirectory:
    def bring(*args: str, cwd: Path) -> None:
        with node.workspace.aside(new_id()) as aside:
            _followed(node, clone, aside / "progress", *args, cwd=cwd)

    return CloneDirectory(node.git, node.workspace.clone(clone.dataset), bring)


def advance(node: LocalNode, name: str) -> None:
    """Clone or refresh; it may be killed anywhere and called again."""
    with node.locked("clone", name):
        clone = node.store.clone(name)
        if clone is None or clone.state not in _LIVE:
            return
        try:
            changes = _brought(node, clone)
        except Stopping:
            raise  # it goes on when the node is started again
        except MaoError as error:
            changes = {"state": CloneState.FAILED, "error": error.cause, "detail": error.detail}
            if clone.path and isinstance(error, FolderNotFound):  # it stays as it was
                kept = tuple(folder for folder in clone.folders if folder not in clone.further)
                changes |= {"folders": kept, "further": ()}
        node.store.save(clone.model_copy(update={"progress": None, **changes}))


def _brought(node: LocalNode, clone: Clone) -> dict[str, object]:
    """What is to be recorded of a clone that was cloned or refreshed now."""
    directory = _directory(node, clone)
    replaced = None
    with node.workspace.aside(new_id()) as aside:
        if directory.path.exists():
            replaced = directory.refresh(clone, aside)
        else:
            directory.make(clone, aside)
    return {
        "state": CloneState.READY,
        "path": str(directory.path),
        "head": directory.head(),
        "further": (),
        "replaced": replaced,
        "pointers": directory.pointers(clone),
        "cloned_at": clone.cloned_at or now(),
        "refreshed_at": now(),
    }


def _followed(node: LocalNode, clone: Clone, words: Path, *args: str, cwd: Path) -> None:
    """Run git and keep what it says it is doing in the clone's `progress`; its words go to the file `words`."""
    with words.open("wb") as file:
        process = node.git.start(*args, cwd=cwd, stderr=file.fileno())
    try:
        _follow(node, clone, process, words)
    except BaseException:  # as the store is full: nothing else would put a limit to git's time
        node.git.abandon(process)
        raise
    try:
        output = node.git.finish(process, time_limit=_LOOK)
    except RemoteUnreachable:
        raise RemoteUnreachable(
            f"Bringing '{clone.dataset}' here was ended after {node.git.time_limit:g} s (timed out).", cause="timed-out"
        ) from None
    if output.status != 0:
        raise failure(Output(output.status, b"", _end_of(words)), args)


def _follow(node: LocalNode, clone: Clone, process: subprocess.Popen[bytes], words: Path) -> None:
    """Wait for git's end, or for that of its time."""
    deadline = time.monotonic() + node.git.time_limit
    shown = None
    while process.poll() is None and time.monotonic() < deadline:
        if words.stat().st_size > _MOST_WORDS:
            raise RepositoryTooLarge(f"The remote of '{clone.dataset}' said more than {_MOST_WORDS:,} bytes about it.")
        seen = _PROGRESS.findall(_end_of(words))
        if seen and (progress := " ".join(seen[-1])) != shown:
            shown = progress
            node.store.save(clone.model_copy(update={"progress": shown}))
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)


def _end_of(words: Path) -> str:
    """The last of what git has said, where its progress and the reason of a failure are."""
    with words.open("rb") as file:
        file.seek(max(0, words.stat().st_size - MOST_WORDS))
        return file.read().decode("utf-8", "replace").strip()
