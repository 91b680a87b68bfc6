"""Clone and refresh datasets on this node, to be read without their tools."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mao.errors import CloneChanged, InUse, MaoError, NotCloned, RemoteUnreachable, Stopping
from mao.git import Output, failure, fetchable
from mao.installation import Clone, CloneState
from mao.names import nearest
from mao.registering import find_dataset
from mao.values import new_id, now
from mao.workspace import fsync, remove_tree

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode

_PROGRESS = re.compile(r"(Receiving objects|Resolving deltas|Updating files): +(\d+%)")
_LOOK = 0.2  # seconds between two looks at what git says it is doing
_LIVE = frozenset({CloneState.CLONING, CloneState.REFRESHING})
_SHOWN_CHANGES = 10
# Without these git would look for a repository above the clone if the clone's own is broken, and reset that one.
_HERE = ("--git-dir=.git", "--work-tree=.")


def request_clone(node: LocalNode, name: str, *, history: bool = False) -> Clone:
    """Begin to clone the dataset `name`, or to refresh the clone that is here.

    Args:
        node: that gets the clone.
        name: of a registered dataset.
        history: bring the whole history, not only the newest commit; a clone that has it keeps it.

    Raises:
        DatasetNotFound: no clone is here either.
        CloneChanged: somebody changed files in the clone; nothing of that is touched.
        InUse: it is being cloned already, in another way.
    """
    if present := _under_way(node, name, history=history):  # git holds the lock until it is done
        return present
    with node.locked("clone", name):
        if present := _under_way(node, name, history=history):
            return present
        present = node.store.clone(name)
        if present is not None and present.path is not None:
            _check_unchanged(node, present)
            update = {
                "state": CloneState.REFRESHING,
                "history": history or present.history,
                "error": None,
                "detail": None,
            }
            begun = present.model_copy(update=update)
        else:
            dataset = find_dataset(node, name)
            begun = Clone(dataset=dataset.name, url=dataset.url, state=CloneState.CLONING, history=history)
        node.store.save(begun)
        return begun


def _under_way(node: LocalNode, name: str, *, history: bool) -> Clone | None:
    present = node.store.clone(name)
    if present is None or present.state not in _LIVE:
        return None
    if history and not present.history:
        raise InUse(f"'{name}' is being cloned without its history. Ask again when that is done.")
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
    directory = node.workspace.clone(clone.dataset)
    if not directory.exists():
        return
    listed = node.git.run(*_HERE, "status", "--porcelain", "--untracked-files=normal", cwd=directory)
    changed = listed.decode("utf-8", "replace").splitlines()
    if not changed and _head(node, directory) != clone.head:
        changed = ["commits that were made here"]
    if changed:
        more = f"\nand {len(changed) - _SHOWN_CHANGES} more" if len(changed) > _SHOWN_CHANGES else ""
        shown = "\n".join(changed[:_SHOWN_CHANGES])
        raise CloneChanged(
            f"{directory} holds changes that are not in the dataset:\n{shown}{more}\nMove them away first."
        )


def _head(node: LocalNode, directory: Path) -> str | None:
    output = node.git.attempt(*_HERE, "rev-parse", "--verify", "--quiet", "HEAD^0", cwd=directory)
    return output.out.decode().strip() or None


def advance(node: LocalNode, name: str) -> None:
    """Clone or refresh; it may be killed anywhere and called again."""
    with node.locked("clone", name):
        clone = node.store.clone(name)
        if clone is None or clone.state not in _LIVE:
            return
        directory = node.workspace.clone(clone.dataset)
        try:
            if directory.exists():
                _refresh(node, clone, directory)
            else:
                _clone(node, clone, directory)
            head = _head(node, directory)
        except Stopping:
            raise  # it goes on when the node is started again
        except MaoError as error:
            changes: dict[str, object] = {
                "state": CloneState.FAILED,
                "error": error.cause,
                "detail": error.detail,
            }
        else:
            changes = {
                "state": CloneState.READY,
                "path": str(directory),
                "head": head,
                "cloned_at": clone.cloned_at or now(),
                "refreshed_at": now(),
            }
        node.store.save(clone.model_copy(update={"progress": None, **changes}))


def _clone(node: LocalNode, clone: Clone, directory: Path) -> None:
    with node.workspace.aside(new_id()) as aside:
        part = aside / "clone"
        depth = () if clone.history else ("--depth=1",)
        _followed(node, clone, aside, "clone", "--progress", *depth, "--", fetchable(clone.url), str(part))
        part.rename(directory)
        fsync(directory.parent)


def _refresh(node: LocalNode, clone: Clone, directory: Path) -> None:
    # What a killed git left: this node's lock on the clone is held.
    for lock in (*directory.glob(".git/*.lock"), *directory.glob(".git/refs/**/*.lock")):
        lock.unlink()
    depth = () if clone.history else ("--depth=1",)
    if clone.history and (directory / ".git" / "shallow").exists():
        depth = ("--unshallow",)
    with node.workspace.aside(new_id()) as aside:
        _followed(node, clone, aside, *_HERE, "fetch", "--progress", "--no-tags", *depth, "origin", cwd=directory)
    head = node.git.attempt(*_HERE, "rev-parse", "--verify", "--quiet", "FETCH_HEAD^0", cwd=directory)
    if head.status == 0:
        node.git.run(*_HERE, "reset", "--quiet", "--hard", head.out.decode().strip(), cwd=directory)


def _followed(node: LocalNode, clone: Clone, aside: Path, *args: str, cwd: Path | None = None) -> None:
    """Run git and keep what it says it is doing in the clone's `progress`."""
    words = aside / "progress"
    with words.open("wb") as file:
        process = node.git.start(*args, cwd=cwd or aside, stderr=file.fileno())
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
        raise failure(Output(output.status, b"", words.read_text("utf-8", "replace").strip()), args)


def _follow(node: LocalNode, clone: Clone, process: subprocess.Popen[bytes], words: Path) -> None:
    """Wait for git's end, or for that of its time."""
    deadline = time.monotonic() + node.git.time_limit
    shown = None
    while process.poll() is None and time.monotonic() < deadline:
        seen = _PROGRESS.findall(words.read_text("utf-8", "replace"))
        if seen and (progress := " ".join(seen[-1])) != shown:
            shown = progress
            node.store.save(clone.model_copy(update={"progress": shown}))
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
