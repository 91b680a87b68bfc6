"""Whether a branch holds every run that was published to it: each once, with its files, those of one node in order."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from datasets import blob_id
from support import git

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INBOX = "refs/mao/inbox"
"""Where runs lie at the remote until they are folded onto the branch."""
_FORMAT = "%H%x00%P%x00%(trailers:key=MAO-Run,valueonly,separator=%x2C)"


@dataclass(frozen=True, slots=True)
class Made:
    """A run that a publisher made: of a node, by its id, with one file."""

    node: str
    run: str
    path: str
    content: bytes


def faults(remote: Path, made: Iterable[Made], branch: str = "main") -> list[str]:
    """What is wrong with the branch of `remote`, if these runs, and no others, were published to it.

    Args:
        remote: a bare repository.
        made: the runs; those of one node in the order in which it made them.
        branch: that they were published to.
    """
    made = list(made)
    listed = runs_in_order(remote, branch)
    counts = Counter(listed)
    found = [f"run {run.run} of {run.node} is not on the branch" for run in made if not counts[run.run]]
    found += [f"run {run} is on the branch {count} times" for run, count in counts.items() if count > 1]
    found += [f"nobody made run {run}" for run in counts.keys() - {run.run for run in made}]
    node_of = {run.run: run.node for run in made}
    for node in sorted(set(node_of.values())):
        wanted = [run.run for run in made if run.node == node and counts[run.run]]
        if [run for run in listed if node_of.get(run) == node] != wanted:
            found.append(f"the runs of {node} are not in the order in which it made them")
    lines = (line.split("\t") for line in git("ls-tree", "-r", branch, cwd=remote).splitlines())
    blobs = {path: described.split()[2] for described, path in lines}
    found += [f"{run.path} of {run.node} is not there" for run in made if blobs.get(run.path) != blob_id(run.content)]
    if left := git("for-each-ref", "--format=%(refname)", INBOX, cwd=remote).splitlines():
        found.append(f"{len(left)} runs are left in {INBOX}")
    try:
        git("fsck", "--full", "--strict", "--no-dangling", cwd=remote)
    except AssertionError as error:
        found.append(f"git fsck: {error}")
    return found


def runs_in_order(remote: Path, branch: str) -> list[str]:
    """The runs of the branch's commits, the oldest first: what a merge brought came in the order of its parents."""
    parents, runs = dict[str, list[str]](), dict[str, list[str]]()
    for line in git("log", f"--format={_FORMAT}", branch, cwd=remote).splitlines():
        commit, above, names = line.split("\0")
        parents[commit], runs[commit] = above.split(), [name for name in names.split(",") if name]
    line_of_descent = [git("rev-parse", branch, cwd=remote)]
    while above_it := parents[line_of_descent[-1]]:
        line_of_descent.append(above_it[0])
    seen = set[str]()
    return [
        run
        for commit in reversed(line_of_descent)
        for brought in _brought(commit, parents, seen)
        for run in runs[brought]
    ]


def _brought(tip: str, parents: dict[str, list[str]], seen: set[str]) -> Iterator[str]:
    """The commits that `tip` added to those `seen`, parents first, each once."""
    pending = [(tip, False)]
    while pending:
        commit, parents_done = pending.pop()
        if parents_done:
            yield commit
        elif commit not in seen:
            seen.add(commit)
            pending.append((commit, True))
            pending += [(parent, False) for parent in reversed(parents[commit])]
