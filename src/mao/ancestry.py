"""Whether a commit is in the history of another one, if that history is not here; only commits are fetched for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.errors import OutsideFailed
from mao.folder_trees import ALONE

if TYPE_CHECKING:
    from pathlib import Path

    from mao.git import Git

PROMISOR = ("-c", "remote.origin.promisor=true", "-c", "remote.origin.partialclonefilter=tree:0")
"""Says of the remote that it has what is missing here."""
# Without the last one git looks for .gitmodules, and brings all trees to find it.
FETCH = ("fetch", "--progress", "--no-tags", "--recurse-submodules=no")
"""Fetching, as it is done in a clone."""

_UNFILTERED = "filtering not recognized by server"
_NEAR, _ALL = 1000, 2**31 - 1  # commits


def since_option(seconds: int) -> str:
    """Git's option for the history back to a moment, in seconds since 1970."""
    return f"--shallow-since=@{max(seconds, 1)} +0000"


def leads_to(git: Git, repository: Path, before: str, head: str, aside: Path) -> bool:
    """Whether `head` is `before` or has it in its history; also if that cannot be found out.

    Args:
        git: as the node calls it.
        repository: that has both commits, and maybe nothing between them.
        before: a commit.
        head: a commit that its remote `origin` has.
        aside: an empty directory, for what is fetched.
    """
    if before == head or _is_ancestor(git, before, head, repository):
        return True
    if not (repository / "shallow").exists():
        return False
    try:
        return _asked(git, repository, before, head, aside / "probe")
    except OutsideFailed:
        return True


def _asked(git: Git, repository: Path, before: str, head: str, probe: Path) -> bool:
    git.run("init", "--quiet", "--bare", "--template=", "--", str(probe), cwd=probe.parent)
    (probe / "objects" / "info").mkdir(exist_ok=True)
    (probe / "objects" / "info" / "alternates").write_text(f"{repository / 'objects'}\n")
    (probe / "shallow").write_text(f"{before}\n")
    git.run("update-ref", "--", "refs/heads/before", before, cwd=probe)
    shown = git.run("log", "--no-walk", "--format=%ct", "--end-of-options", before, head, "--", cwd=probe).split()
    url = git.run("config", "--get", "remote.origin.url", cwd=repository).decode().strip()
    fetch = ("-c", f"remote.origin.url={url}", *PROMISOR, *FETCH, "--no-write-fetch-head", ALONE)
    # A run that is published late has an early date, which ends the first search: then the commits are counted.
    for depth in (since_option(min(map(int, shown))), f"--depth={_NEAR}", f"--depth={_ALL}"):
        output = git.attempt(*fetch, depth, "--", "origin", head, cwd=probe)
        if output.status != 0 or _UNFILTERED in output.err or _is_ancestor(git, before, head, probe):
            return True
    return False


def _is_ancestor(git: Git, before: str, head: str, repository: Path) -> bool:
    return git.attempt("merge-base", "--is-ancestor", "--end-of-options", before, head, cwd=repository).status == 0
