"""A run from the request to the pushed commit, over the floor: the same work by subprocess and plain git.

    python benchmarks/end_to_end.py [--runs N] [--files 10 20000]

The tool writes one file of 1 KB and does nothing else. The floor runs the same command by subprocess in a clone of a
dataset of the same size, then `git add FILE`, `git commit`, `git push`. Both take turns in one process, against bare
remotes on the same disk. Goals: at most 1.3 with 10 files in the dataset; below 1 with 20,000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import ServedNode, bare, commit, git, tool_files

SCRIPT = 'head -c 1024 /dev/urandom > "$MAO_DATA_DIR/$1"\n'


def dataset(path: Path, files: int) -> Path:
    """A remote with so many files of 1 KB, 100 to a folder."""
    remote = bare(path)
    stream = [b"commit refs/heads/main\ncommitter a <a@example.org> 1700000000 +0000\ndata 5\nfirst"]
    stream += [b"M 100644 inline %03d/%05d\ndata 1024\n%s" % (i // 100, i, os.urandom(1024)) for i in range(files)]
    git("fast-import", "--quiet", cwd=remote, given=b"\n".join(stream) + b"\n")
    return remote


class Floor:
    """The same by subprocess and git."""

    def __init__(self, work: Path, files: int) -> None:
        remote = dataset(work / "floor.git", files)
        self.clone = work / "floor"
        git("clone", "--quiet", f"file://{remote}", self.clone, cwd=work)
        self.script = work / "floor.sh"
        self.script.write_text(SCRIPT)

    def once(self, name: str) -> float:
        begun = time.perf_counter()
        environment = {"PATH": os.environ["PATH"], "MAO_DATA_DIR": str(self.clone)}
        subprocess.run(["bash", self.script, name], env=environment, check=True)
        git("add", name, cwd=self.clone)
        git("commit", "--quiet", "--message", "sync", cwd=self.clone)
        git("push", "--quiet", "origin", "main", cwd=self.clone)
        return time.perf_counter() - begun


class Node:
    """The same by a node, from the POST to the run's end."""

    def __init__(self, work: Path, files: int) -> None:
        remote = dataset(work / "node.git", files)
        commit(work / "tool", tool_files(remote, scripts={"Write": SCRIPT}, arguments={"Write": 1}))
        self.node = ServedNode(work / "home", fresh=True).start()
        self.node.install(work / "tool")

    def once(self, name: str) -> float:
        begun = time.perf_counter()
        run = self.node.run("Write", name)
        while run["state"] in {"queued", "running", "publishing"}:
            run = self.node.api("GET", f"/runs/{run['id']}", Prefer="wait=30")
        took = time.perf_counter() - begun
        assert run["publication"]["state"] == "published", run
        return took


def compare(files: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        floor, node = Floor(work, files), Node(work, files)
        try:
            pairs = [(floor.once(f"n{i}"), node.once(f"n{i}")) for i in range(runs + 3)][3:]
        finally:
            node.node.stop()
    low, own = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{files:>8,} files   floor {low:7.1f} ms   node {own:7.1f} ms   ratio {ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--files", type=int, nargs="+", default=[10, 20_000])
    arguments = parser.parse_args()
    for count in arguments.files:
        compare(count, arguments.runs)
