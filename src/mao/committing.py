"""Make the commits of runs: on the branch of their dataset, or by themselves for its inbox."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mao import provenance
from mao.data_directory import DataFile, publishable
from mao.fast_import import Addition, Author, Placement, StoredFile
from mao.run import PublishedFile
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mao.bare_cache import Tip
    from mao.dataset_cache import DatasetCache
    from mao.fast_import import Existing, Made
    from mao.local_node import LocalNode
    from mao.run import Run


@dataclass(frozen=True, slots=True)
class Contribution:
    """The files of a run for a dataset, and the rule by which each gets its place there.

    Attributes:
        node: whose run it is.
        run: its id.
        message: what its commit says.
        files: each with its blob.
        replaced: the blobs that paths may have on the branch to be replaced: this node put them there before.
    """

    node: str
    run: str
    message: str
    files: Sequence[tuple[DataFile | StoredFile, str]]
    replaced: Mapping[bytes, Collection[str]]

    def place(self, existing: Existing) -> Placement:
        """Nothing is overwritten that somebody else published (ADR 11): both versions are kept."""
        placed: list[tuple[bytes, DataFile | StoredFile]] = []
        beside: dict[bytes, bytes] = {}
        for file, blob in self.files:
            there, path = existing.get(file.path), file.path
            if there not in {None, blob, *self.replaced.get(file.path, ())}:
                path = conflict_path(file.path, self.node, self.run)
                beside[file.path] = path
            if existing.get(path) != blob:
                placed.append((path, file))
        return Placement(provenance.with_beside(self.message, beside), placed, beside)

    @property
    def paths(self) -> list[bytes]:
        return [file.path for file, _ in self.files]


def conflict_path(path: bytes, node: str, run: str) -> bytes:
    """The path for a file whose own path holds what somebody else published."""
    name = PurePosixPath(os.fsdecode(path))
    return os.fsencode(str(name.with_name(f"{name.stem}.conflict-{node}-{run}{name.suffix}")))


@dataclass(frozen=True, slots=True)
class _Given:
    """What the directory of a run holds."""

    rule: Contribution
    files: list[DataFile]
    left_out: tuple[str, ...]


def _contributions(node: LocalNode, runs: Sequence[Run], before: Sequence[Run]) -> list[_Given]:
    """What the directories of `runs` hold; the runs `before` them are on their way to the branch, too."""
    found = [publishable(node.workspace.run_data(run.id)) for run in (*before, *runs)]
    given: list[_Given] = []
    for number, run in enumerate(runs, len(before)):
        files, left_out = found[number]
        paths = [file.path for file in files]
        own = {path: {blob} for path, blob in node.store.own_blobs(run.dataset, paths).items()}
        for earlier in (file for others, _ in found[:number] for file in others if file.path in set(paths)):
            own.setdefault(earlier.path, set()).add(earlier.blob())
        with_blobs = [(file, file.blob()) for file in files]
        rule = Contribution(run.node, run.id, provenance.message(run), with_blobs, own)
        given.append(_Given(rule, files, tuple(left_out)))
    return given


def commit_on(node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run]) -> list[tuple[Run, Made]]:
    """Make a commit of each run on the branch, every one on top of the one before it; with what was made."""
    given = _contributions(node, runs, ())
    authors = [_author(node, run) for run in runs]
    additions = [
        Addition(author, author, one.rule.paths, one.rule.place) for one, author in zip(given, authors, strict=True)
    ]
    base = tip.commit
    told: list[tuple[Run, Made]] = []
    for run, one, made in zip(runs, given, cache.build(base, additions), strict=True):
        files = described(one.files, made.beside)
        changes = {"branch": tip.branch, "commit": made.commit, "base": base, "files": files, "left_out": one.left_out}
        told.append((run.with_publication(**changes), made))
        base = made.commit or base
    # The same runs on the same tip give the same commits again; a tip that is not known is asked for again.
    node.store.save(*(run for run, _ in told), flush=tip.commit is None)
    return told


def commit_apart(
    node: LocalNode, cache: DatasetCache, tip: Tip, runs: Sequence[Run], before: Sequence[Run]
) -> list[Run]:
    """Make a commit without a parent of each run, which the remote can be given whatever its branch is at.

    Args:
        node: whose runs they are.
        cache: of their dataset.
        tip: of its branch.
        runs: to be committed.
        before: the runs that are in the inbox already.
    """
    given = _contributions(node, runs, before)
    additions = [
        Addition(_author(node, run), _author(node, run), (), _alone(one.rule))
        for run, one in zip(runs, given, strict=True)
    ]
    made = cache.build(None, additions, apart=True)
    told = [
        run.with_publication(branch=tip.branch, delivery=one.commit, left_out=what.left_out)
        for run, one, what in zip(runs, made, given, strict=True)
    ]
    node.store.save(*told, flush=tip.commit is None)  # as above
    return told


def _alone(rule: Contribution) -> Callable[[Existing], Placement]:
    """The files of a run at their own paths, with what whoever puts them on the branch has to know."""
    message = provenance.with_replaced(rule.message, {path: sorted(blobs) for path, blobs in rule.replaced.items()})
    placement = Placement(message, [(file.path, file) for file, _ in rule.files])
    return lambda _: placement


def described(files: Sequence[DataFile], beside: Mapping[bytes, bytes]) -> tuple[PublishedFile, ...]:
    """What is told of the files of a run."""
    return tuple(
        PublishedFile(
            path=display(file.path),
            size=file.size,
            published_as=display(beside[file.path]) if file.path in beside else None,
        )
        for file in files
    )


def _author(node: LocalNode, run: Run) -> Author:
    return Author(node.config.node, node.author_email, run.ended_at or run.created_at)
