"""Clone and refresh datasets on this node, to be read without their tools."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from mao.errors import CloneChanged, InUse, MaoError, NotCloned
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
    with node.locked("clone", name):
        present = node.store.clone(name)
        if present is not None and present.state in {CloneState.CLONING, CloneState.REFRESHING}:
            if history and not present.history:
                raise InUse(f"'{name}' is being cloned without its history. Ask again when that is done.")
            return present
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
    find_clone(node, name)
    with node.locked("clone", name):
        clone = find_clone(node, name)
        if clone.state in {CloneState.CLONING, CloneState.REFRESHING}:
            raise InUse(f"'{clone.dataset}' is {clone.state} at present. Remove it when that is done.")
        if clone.path:
            _check_unchanged(node, clone)
        node.store.remove(clone)
        remove_tree(node.workspace.clone(clone.dataset))


def _check_unchanged(node: LocalNode, clone: Clone) -> None:
    directory = node.workspace.clone(clone.dataset)
    if not directory.exists():
        return
    changed = node.git.run("status", "--porcelain", "--untracked-files=normal", cwd=directory).decode(
        "utf-8", "replace"
    )
    if changed:
        raise CloneChanged(
            f"{directory} holds changes that are not in the dataset:\n{changed.rstrip()}\nMove them away first."
        )


def advance(node: LocalNode, name: str) -> None:
    """Clone or refresh; it may be killed anywhere and called again."""
    with node.locked("clone", name):
        clone = node.store.clone(name)
        if clone is None or clone.state not in {CloneState.CLONING, CloneState.REFRESHING}:
            return
        directory = node.workspace.clone(clone.dataset)
        try:
            if directory.exists():
                _refresh(node, clone, directory)
            else:
                _clone(node, clone, directory)
            head = node.git.attempt("rev-parse", "--verify", "--quiet", "HEAD^0", cwd=directory).out.decode().strip()
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
                "head": head or None,
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
    for lock in directory.glob(".git/*.lock"):  # what a killed git left: this node's lock on the clone is held
        lock.unlink()
    shallow = (directory / ".git" / "shallow").exists()
    if clone.history:
        depth = ("--unshallow",) if shallow else ()
    else:
        depth = ("--depth=1",)
    with node.workspace.aside(new_id()) as aside:
        _followed(node, clone, aside, "fetch", "--progress", "--no-tags", *depth, "origin", cwd=directory)
    head = node.git.attempt("rev-parse", "--verify", "--quiet", "FETCH_HEAD^0", cwd=directory)
    if head.status == 0:
        node.git.run("reset", "--quiet", "--hard", head.out.decode().strip(), cwd=directory)


def _followed(node: LocalNode, clone: Clone, aside: Path, *args: str, cwd: Path | None = None) -> None:
    """Run git and keep what it says it is doing in the clone's `progress`."""
    words = aside / "progress"
    with words.open("wb") as file:
        process = node.git.start(*args, cwd=cwd or aside, stderr=file.fileno())
    deadline = time.monotonic() + node.git.time_limit
    shown = None
    while process.poll() is None and time.monotonic() < deadline:
        seen = _PROGRESS.findall(words.read_text("utf-8", "replace"))
        if seen and (progress := " ".join(seen[-1])) != shown:
            shown = progress
            node.store.save(clone.model_copy(update={"progress": shown}))
        time.sleep(_LOOK)
    output = node.git.finish(process, time_limit=1)
    if output.status != 0:
        raise failure(Output(output.status, b"", words.read_text("utf-8", "replace").strip()), args)
