"""The benchmarks measure what they say: their datasets, their server, and their check of what arrived."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import datasets
from etcd_cluster import need_etcd
from git_server import served
from history import Made, faults
from support import bare, git

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(("layout", "commits"), [("dated", 2), ("flat", 1), ("commits", 300)])
def test_a_dataset_has_its_files_in_its_layout(tmp_path: Path, layout: datasets.Layout, commits: int) -> None:
    remote = datasets.remote(tmp_path, layout, 300)

    listed = git("ls-tree", "-r", "--name-only", "main", cwd=remote).splitlines()
    assert listed == [datasets.path_of(layout, number) for number in range(300)]
    assert git("rev-list", "--count", "main", cwd=remote) == str(commits)
    assert datasets.remote(tmp_path, layout, 300) == remote
    assert git("fsck", cwd=remote) == ""


def test_what_happens_to_a_copy_does_not_happen_to_the_dataset(tmp_path: Path) -> None:
    source = datasets.remote(tmp_path, "dated", 10)
    before = git("rev-parse", "main", cwd=source)
    copy = datasets.copy(source, tmp_path / "copy.git")

    _commit(copy, _made("a", 1))
    git("gc", "--quiet", "--prune=now", cwd=copy)

    assert git("rev-parse", "main", cwd=source) == before != git("rev-parse", "main", cwd=copy)
    assert git("fsck", cwd=source) == ""


def test_the_server_takes_and_gives_what_git_sends_and_counts_it(tmp_path: Path) -> None:
    remote = datasets.remote(tmp_path, "dated", 10)
    big = os.urandom(3_000_000)  # more than git sends in one piece
    with served(tmp_path) as server:
        git("clone", "--quiet", server.url(remote), "clone", cwd=tmp_path)
        cloned = server.down[remote.name]
        (tmp_path / "clone" / "big").write_bytes(big)
        git("add", "big", cwd=tmp_path / "clone")
        git("commit", "--quiet", "-m", "big", cwd=tmp_path / "clone")
        git("push", "--quiet", "origin", "main", cwd=tmp_path / "clone")

    assert git("rev-parse", "main:big", cwd=remote) == datasets.blob_id(big)
    assert 500 < cloned < 20_000
    assert len(big) < server.up[remote.name] < len(big) * 1.01


def _made(node: str, number: int) -> Made:
    return Made(node, f"{node}-{number}", f"{node}/{number}.txt", f"{node} {number}".encode())


def _commit(remote: Path, *made: Made, ref: str = "refs/heads/main", onto: bool = True, merged: str = "") -> str:
    """A commit of runs on `ref`; it has `merged` as a further parent and, if so, the file of that."""
    text = "sync\n\n" + "".join(f"MAO-Run: {run.run}\n" for run in made)
    stream = f"commit {ref}\ncommitter a <a@example.org> 1700000000 +0000\ndata {len(text)}\n{text}"
    stream += f"from {ref}^0\n" if onto else ""
    stream += f"merge {merged}\n" if merged else ""
    for run in made:
        stream += f"M 100644 inline {run.path}\ndata {len(run.content)}\n{run.content.decode()}\n"
    git("fast-import", "--quiet", "--force", cwd=remote, given=stream.encode())
    return git("rev-parse", ref, cwd=remote)


def test_a_branch_with_every_run_once_and_in_order_has_no_faults(tmp_path: Path) -> None:
    remote = bare(tmp_path / "data.git")
    runs = [_made("a", 1), _made("b", 1), _made("a", 2), _made("b", 2)]
    _commit(remote, runs[0], onto=False)
    for run in runs[1:]:
        _commit(remote, run)

    assert faults(remote, runs) == []


def test_runs_that_were_folded_count_in_the_order_of_the_parents(tmp_path: Path) -> None:
    remote = bare(tmp_path / "data.git")
    first, second, third = (_made("a", number) for number in (1, 2, 3))
    _commit(remote, first, onto=False)
    folded = [_commit(remote, run, ref="refs/heads/aside", onto=False) for run in (second, third)]
    git("update-ref", "-d", "refs/heads/aside", cwd=remote)
    tree = git("mktree", cwd=remote, given=_entries(remote, first, second, third))
    parents = [word for commit in (git("rev-parse", "main", cwd=remote), *folded) for word in ("-p", commit)]
    git("update-ref", "refs/heads/main", git("commit-tree", tree, *parents, "-m", "fold", cwd=remote), cwd=remote)

    assert faults(remote, [first, second, third]) == []
    assert faults(remote, [first, third, second]) == ["the runs of a are not in the order in which it made them"]


def _entries(remote: Path, *made: Made) -> bytes:
    blobs = [(run.path.partition("/")[2], datasets.blob_id(run.content)) for run in made]
    folder = git("mktree", cwd=remote, given="".join(f"100644 blob {blob}\t{name}\n" for name, blob in blobs).encode())
    return f"040000 tree {folder}\ta\n".encode()


def test_a_run_that_is_lost_doubled_out_of_order_or_left_behind_is_a_fault(tmp_path: Path) -> None:
    remote = bare(tmp_path / "data.git")
    one, two, three = (_made("a", number) for number in (1, 2, 3))
    _commit(remote, one, onto=False)
    _commit(remote, two)

    assert faults(remote, [two, one]) == ["the runs of a are not in the order in which it made them"]
    assert faults(remote, [one, two, three]) == ["run a-3 of a is not on the branch", "a/3.txt of a is not there"]
    assert faults(remote, [one]) == ["nobody made run a-2"]
    changed = Made("a", "a-2", "a/2.txt", b"something else")
    assert faults(remote, [one, changed]) == ["a/2.txt of a is not there"]

    git("update-ref", "refs/mao/inbox/a/a-2", "main", cwd=remote)
    assert faults(remote, [one, two]) == ["1 runs are left in refs/mao/inbox"]
    git("update-ref", "-d", "refs/mao/inbox/a/a-2", cwd=remote)

    _commit(remote, two)
    assert "run a-2 is on the branch 2 times" in faults(remote, [one, two])


def _benchmark(name: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / name, *args], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_ways_to_publish_are_compared(tmp_path: Path) -> None:
    ways = ("mao", "floor", "push", "worktree", "prototype")
    printed = _benchmark("publishing.py", "--files", "300", "--repeat=1", f"--keep={tmp_path}", "--ways", *ways)

    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()[:1] != []}
    assert all(rows[way][1:2] == ["ms"] for way in ways), printed
    assert "goal: first publication on the wire, 300 files" in printed


def test_all_that_contending_publishers_publish_arrives() -> None:
    printed = _benchmark("contention.py", "--publishers=2", "--runs=2", "--files=10")

    assert "all there, each once, in order: met" in printed
    assert "pushes per run" in printed


@pytest.mark.long
def test_a_registry_in_etcd_is_compared_with_etcd_alone() -> None:
    need_etcd()
    printed = _benchmark("cluster.py", "--tools=20", "--requests=5", "--repeat=2")

    assert printed.count("  goal: ") == 5, printed
    assert "20 tools" in printed
    assert "with etcd away" in printed


def test_many_nodes_are_simulated_on_one_etcd() -> None:
    need_etcd()
    printed = _benchmark("leases.py", "--nodes=10", "--watches=4", "--lease=3", "--seconds=4", "--changes=2")

    assert "10 nodes, 4 watches" in printed
    assert "not told: 0" in printed, printed
