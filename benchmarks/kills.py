"""kill -9 at random moments of publishers' work: each file of each run must be in the dataset once.

    python benchmarks/kills.py [--kills N] [--publishers N] [--every SECONDS] [--seed N]

Each publisher is a process that makes runs and publishes them to one bare repository on the same disk. At random
moments one of them is killed, half of the time with the git processes that it has started, and started again. In the
end it is checked that each run has one commit on the branch, with the files it wrote and no others, that nothing is
left in the inbox, and that `git fsck` is content. If not, it ends with an error, and leaves its folder behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing import kill_publishers
from support import bare


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill publishers at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--publishers", type=int, default=8)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="mao-kills-"))
    remote = bare(work / "data.git")
    (work / "homes").mkdir()
    print(f"working in {work}")
    chosen = {"publishers": given.publishers, "kills": given.kills, "every": given.every, "seed": given.seed}
    killed = kill_publishers(work / "homes", remote, **chosen)
    print(
        f"{killed.kills} kills of {given.publishers} publishers in {killed.seconds:.0f} s: {killed.runs} runs, each on"
        f" the branch once ({killed.commits} commits, {killed.beside} files beside another's); fsck is clean"
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
