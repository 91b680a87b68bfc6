"""Give large files to the LFS of their dataset's remote before their run is committed: git gets pointers to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import lfs, recording
from mao.committing import described
from mao.data_directory import DataFile, publishable
from mao.errors import OutsideFailed, RemoteRefused
from mao.values import display, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.dataset_cache import DatasetCache
    from mao.local_node import LocalNode
    from mao.run import Run

_NAMED = 10
"""How many large files a message names."""


def uploaded(node: LocalNode, cache: DatasetCache, runs: Sequence[Run]) -> list[Run]:
    """Upload the large files of `runs`; those that can be committed then. What became of the others is recorded.

    It is done anew in each attempt, and so never relies on what a remote had once.
    """
    ready = []
    for run in runs:
        try:
            ready.append(_uploaded(node, cache, run))
        except OutsideFailed as error:
            recording.failed(node, [run], error)
    return ready


def _uploaded(node: LocalNode, cache: DatasetCache, run: Run) -> Run:
    limit: int = node.config["publishing.large_file"]
    told = run.publication.files if run.publication else ()
    if not any(file.size >= limit or file.lfs for file in told):
        return run
    files, _ = publishable(node.workspace.run_data(run.id))
    large = [file for file in files if file.size >= limit and lfs.may_hold(file)]
    oids: list[str] = []
    if large:
        try:
            with node.workspace.aside(new_id()) as aside:
                oids = lfs.upload(node.git, aside, cache.url, large)
        except RemoteRefused as error:
            raise _with_choice(node, run, large, error) from error
    in_lfs = {(display(file.path), file.size): oid for file, oid in zip(large, oids, strict=True)}
    run = run.with_publication(files=described(files, {}, in_lfs))
    node.store.save(run)  # before a pointer may be at the remote: what is published there is recorded by it
    return run


def _with_choice(node: LocalNode, run: Run, large: Sequence[DataFile], error: RemoteRefused) -> RemoteRefused:
    """`error`; where large files cannot go through LFS at all, with what can be done."""
    if error.cause != lfs.MISSING:
        return error
    named = [f"{display(file.path)} ({file.size / 1e6:.6g} MB)" for file in large[:_NAMED]]
    if len(large) > _NAMED:
        named.append(f"and {len(large) - _NAMED} more")
    missing = "install git-lfs on this node" if lfs.is_absent(error) else "have the host turn LFS on for the dataset"
    limit = node.config["publishing.large_file"] / 1e6
    return RemoteRefused(
        f"Nothing of this run was pushed: {', '.join(named)} reach the size of publishing.large_file ({limit:.6g} MB),"
        f" and do not get into the dataset through git-lfs ({error.detail}). Choose:\n"
        f"1. {missing}, and 'mao run publish {run.id}';\n"
        "2. raise publishing.large_file, if the host takes such files without it (most refuse 100 MB), start the node"
        f" again, and 'mao run publish {run.id}';\n"
        f"3. take the files from {node.workspace.run_data(run.id)}, and have the tool write smaller ones.",
        cause=lfs.MISSING,
    )
