"""Make the commits of runs: on the branch of their dataset, or by themselves for its inbox."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mao import attributes, lfs, provenance
from mao.data_directory import DataFile, publishable
from mao.errors import OutsideFailed
from mao.fast_import import Addition, Author, DerivedFile, Placement, StoredFile, WrittenFile
from mao.run import PublishedFile
from mao.values import display

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

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
    files: Sequence[tuple[DataFile | StoredFile | WrittenFile, str]]
    replaced: Mapping[bytes, Collection[str]]

    def place(self, existing: Existing) -> Placement:
        """Nothing is overwritten that somebody else published (ADR 11): both versions are kept.

        The lines of `.gitattributes` are joined with those that are there (ADR 13).
        """
        placed: list[tuple[bytes, DataFile | StoredFile | WrittenFile]] = []
        beside: dict[bytes, bytes] = {}
        for file, blob in self.files:
            if _is_attributes(file):
                continue
            there, path = existing.get(file.path), file.path
            if there not in {None, blob, *self.replaced.get(file.path, ())}:
                path = conflict_path(file.path, self.node, self.run)
                beside[file.path] = path
            if existing.get(path) != blob:
                placed.append((path, file))
        derived = list(self._attributes(existing, beside))
        return Placement(provenance.with_beside(self.message, beside), placed, beside, derived)

    def _attributes(self, existing: Existing, beside: Mapping[bytes, bytes]) -> Iterator[DerivedFile]:
        """The `.gitattributes` of the folders in which a file of the run is a pointer, or another may have been one."""
        given = {file.path: file for file, _ in self.files if _is_attributes(file)}
        placed: dict[bytes, dict[bytes, bytes]] = {path: {} for path in given}
        for file, blob in self.files:
            path = attributes.path_for(file.path)
            if file.path not in given and existing.get(file.path) != blob and (path in given or path in existing):
                placed.setdefault(path, {})[_name(file.path)] = _name(beside.get(file.path, file.path))
        for path, names in placed.items():
            yield _joined(path, existing.get(path), given.get(path), names)

    @property
    def paths(self) -> list[bytes]:
        """Those whose content on the branch decides where the files go."""
        own = [file.path for file, _ in self.files]
        return list(dict.fromkeys([*own, *map(attributes.path_for, own)]))


def _is_attributes(file: DataFile | StoredFile | WrittenFile) -> bool:
    return _name(file.path) == attributes.NAME and file.mode != "120000"


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _joined(
    path: bytes, there: str | None, given: DataFile | StoredFile | WrittenFile | None, names: Mapping[bytes, bytes]
) -> DerivedFile:
    known = [there] if there is not None else []
    asked = [given.oid] if isinstance(given, StoredFile) else []

    def derive(contents: Sequence[bytes]) -> bytes:
        if asked:
            more = contents[-1]
        else:
            more = b"".join(given.chunks()) if given is not None and not isinstance(given, StoredFile) else b""
        return attributes.joined(contents[0] if known else b"", more, names)

    return DerivedFile(path, there, [*known, *asked], derive)


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
    told = {file.path for run in runs if run.publication for file in run.publication.files}
    meeting = [run for run in before if run.publication and any(file.path in told for file in run.publication.files)]
    earlier: dict[bytes, list[DataFile | WrittenFile]] = {}
    given: list[_Given] = []
    for number, run in enumerate((*meeting, *runs)):
        files, left_out = publishable(node.workspace.run_data(run.id))
        kept = stored(run, files)
        if number >= len(meeting):
            _check_complete(run, files)
            own = _own(node, run, files)
            for file in kept:
                if file.path in earlier:
                    own.setdefault(file.path, set()).update(other.blob() for other in earlier[file.path])
            with_blobs = [(file, file.blob()) for file in _with_lines(kept)]
            rule = Contribution(run.node, run.id, provenance.message(run), with_blobs, own)
            given.append(_Given(rule, files, tuple(left_out)))
        for file in kept:
            earlier.setdefault(file.path, []).append(file)
    return given


def _check_complete(run: Run, files: Sequence[DataFile]) -> None:
    """Nothing is published of a run whose files are not all here any more: it would seem to be all there was."""
    here = {display(file.path) for file in files}
    gone = [file.path for file in run.publication.files if file.path not in here] if run.publication else []
    if gone:
        raise OutsideFailed(
            f"{len(gone)} of the files of run {run.id} are not on this node any more, as '{gone[0]}': bring them back.",
            cause="file-changed",
        )


def _own(node: LocalNode, run: Run, files: Sequence[DataFile]) -> dict[bytes, set[str]]:
    """What this node has published last at the paths of a run, but for those where something later of it is."""
    later = run.publication.superseded if run.publication else ()
    known = node.store.own_blobs(run.dataset, [file.path for file in files])
    return {path: {blob} for path, blob in known.items() if display(path) not in later}


def stored(run: Run, files: Sequence[DataFile]) -> list[DataFile | WrittenFile]:
    """The files of `run` as git gets them: a pointer in place of what the remote's LFS has."""
    in_lfs = lfs_of(run)
    kept: list[DataFile | WrittenFile] = []
    for file in files:
        oid = in_lfs.get((display(file.path), file.size)) if lfs.may_hold(file) else None
        kept.append(WrittenFile(file.path, file.mode, lfs.pointer(oid, file.size)) if oid else file)
    return kept


def _with_lines(files: Sequence[DataFile | WrittenFile]) -> list[DataFile | WrittenFile]:
    """`files` with the lines of `.gitattributes` that make git-lfs give the contents of the pointers among them."""
    lines: dict[bytes, bytes] = {}
    for pointer in (file for file in files if isinstance(file, WrittenFile)):
        path = attributes.path_for(pointer.path)
        lines[path] = lines.get(path, b"") + attributes.line(_name(pointer.path)) + b"\n"
    for file in files:
        if file.path in lines:  # the run has written some itself
            lines[file.path] = attributes.joined(b"".join(file.chunks()), lines[file.path], {})
    others = [file for file in files if file.path not in lines]
    return [*others, *(WrittenFile(path, "100644", content) for path, content in lines.items())]


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
        files = described(one.files, made.beside, lfs_of(run))
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


def described(
    files: Sequence[DataFile], beside: Mapping[bytes, bytes], in_lfs: Mapping[tuple[str, int], str]
) -> tuple[PublishedFile, ...]:
    """What is told of the files of a run.

    Args:
        files: of the run.
        beside: those that do not stand at their own path, and where they do.
        in_lfs: the ids of those that the remote's LFS has, by path and size.
    """
    return tuple(
        PublishedFile(
            path=display(file.path),
            size=file.size,
            published_as=display(beside[file.path]) if file.path in beside else None,
            lfs=in_lfs.get((display(file.path), file.size)),
        )
        for file in files
    )


def lfs_of(run: Run) -> dict[tuple[str, int], str]:
    """The ids of those files of `run` that the remote's LFS has, by path and size."""
    told = run.publication.files if run.publication else ()
    return {(file.path, file.size): file.lfs for file in told if file.lfs}


def _author(node: LocalNode, run: Run) -> Author:
    return Author(node.config.node, node.author_email, run.ended_at or run.created_at)
