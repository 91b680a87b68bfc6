"""What `mao dataset show` costs a node with many runs, on a dataset with many commits.

    python benchmarks/growth.py [--commits N]

All runs are this node's own, one a commit. The first survey fetches and reads every commit and every run; its floor is
git alone, which fetches the commits without trees and prints their trailers. With nothing new the floor is
`git ls-remote`; with one new commit, git alone again. Goal: about a second, but for the first time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mao import config
from mao.local_node import LocalNode, opened
from mao.provenance import message
from mao.registering import register_dataset
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.surveying import survey
from mao.values import new_id, now
from support import bare, git

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 5000


def a_run(number: int, remote: Path) -> Run:
    """One of the runs that were made every four minutes since some months ago; each has published one file."""
    at = now() - timedelta(minutes=4 * number)
    file = PublishedFile(path=f"{at:%Y/%Y-%m-%d}/{number:06}.csv", size=1000)
    return Run(
        id=new_id(),
        tool="probe",
        tool_commit="c" * 40,
        command="Measure",
        arguments={"Station": str(number)},
        dataset="data",
        node="alpha",
        publish=True,
        fresh=True,
        state=RunState.SUCCEEDED,
        created_at=at,
        started_at=at,
        ended_at=at,
        publication=Publication(
            dataset="data", remote=str(remote), state=PublicationState.PUBLISHED, branch="main", files=(file,)
        ),
    )


def prepare(node: LocalNode, remote: Path, commits: int) -> None:
    """Runs in the node's store, and the commits that they have made in the remote."""
    for first in range(0, commits, _PAGE):
        runs = [a_run(number, remote) for number in range(first, min(commits, first + _PAGE))]
        node.store.save(*runs)
        add(remote, runs)


def add(remote: Path, runs: list[Run]) -> None:
    stream = []
    for run in runs:
        words = message(run).encode()
        stream.append(b"commit refs/heads/main\ncommitter a <a@e.org> %d +0000\n" % run.created_at.timestamp())
        stream.append(b"data %d\n%s\n" % (len(words), words))
        if run is runs[0] and git("for-each-ref", "refs/heads/main", cwd=remote):
            stream.append(b"from refs/heads/main^0\n")
    git("fast-import", "--quiet", cwd=remote, given=b"".join(stream))


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--commits", type=int, default=100_000)
    commits: int = parser.parse_args().commits
    with tempfile.TemporaryDirectory() as folder:
        home, plain = Path(folder) / "home", bare(Path(folder) / "plain.git")
        remote = bare(Path(folder) / "data.git")
        flags = {"node.home": str(home), "node.name": "alpha"}
        with opened(config.load({"HOME": folder}, flags)) as node:
            register_dataset(node, "data", str(remote), "")
            prepare(node, remote, commits)

            def fetch() -> None:
                git("fetch", "--quiet", "--filter=tree:0", f"file://{remote}", "+main:main", cwd=plain)
                git("log", "--format=%ct %(trailers)", "main", cwd=plain)

            first, floor = timed(lambda: survey(node, "data")), timed(fetch)
            again, listed = (
                timed(lambda: survey(node, "data")),
                timed(lambda: git("ls-remote", f"file://{remote}", cwd=plain)),
            )
            add(remote, [a_run(0, remote)])
            more, fetched = timed(lambda: survey(node, "data")), timed(fetch)
        print(f"{commits} commits, as many runs     survey     floor")
        print(f"the first time               {first:8.2f} s {floor:8.2f} s")
        print(f"with nothing new             {again:8.2f} s {listed:8.2f} s")
        print(f"with one new commit          {more:8.2f} s {fetched:8.2f} s")


if __name__ == "__main__":
    main()
