"""kill -9 of a node with a schedule at random moments: each slot must have one outcome, and one run at most.

    python benchmarks/slots.py [--kills N] [--every SECONDS] [--seed N]

A node has a slot every second. At random moments it is killed, one time in three with the supervisors of its runs, and
started again. In the end it is checked that each slot from the first to the last has one outcome, that no slot was
executed twice or called what it was not, and that what is published is there once. If not, it ends with an error, and
leaves its folder behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing_schedules import kill_scheduled
from support import ServedNode, bare


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a node with a schedule.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--every", type=float, default=2.5, help="seconds for which the node lives at most")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="mao-slots-"))
    print(f"working in {work}")
    begun = time.monotonic()
    node = ServedNode(work / "home", "alpha")
    remote = bare(work / "data.git")
    found = kill_scheduled(node, work / "work", remote, kills=given.kills, every=given.every, seed=given.seed)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.outcomes.items()))
    print(
        f"{given.kills} kills in {time.monotonic() - begun:.0f} s: {found.slots} slots, each with one outcome"
        f" ({outcomes}); {found.executions} executions, none twice; {found.published} on the branch, each once"
    )
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
