"""A schedule of a cluster while its nodes and the leader of its etcd fail in turn: each slot once.

    python benchmarks/cluster_schedules.py [--minutes N] [--pause SECONDS]

Three nodes, three members of etcd, leases of three seconds, and a schedule that is due every second. A node is killed
(kill -9), then the leader of etcd, then the next node stands still until its lease has ended, and so on; each is mended
before the next one fails. In the end it is checked that the ledgers of all nodes have one and the same outcome for
every slot, and that no slot was run twice: by what the tool wrote outside of all that belongs to MAO, and by the
commits of the dataset. If not, it ends with an error, and leaves its folder behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from anywhere import NOTE, break_in_turn, shared
from clusters import Cluster
from mao import sharing
from namespaces import Loopback


def main() -> None:
    parser = argparse.ArgumentParser(description="Break nodes and leaders under a schedule of a cluster.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds that each is away")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="mao-anywhere-"))
    cluster = Cluster(work, Loopback(), inbox=True, scripts={"Note": NOTE})
    begun = time.monotonic()
    try:
        cluster.start()
        print(f"working in {work}", flush=True)
        with shared(cluster) as schedule:
            done = break_in_turn(cluster, given.minutes * 60, given.pause)
            cluster.mend()
            until = sharing.remove(schedule.desk, schedule.schedule).changed_at
            outcomes = schedule.check(until)
            delays = schedule.delays()
            published = schedule.check_published()
            print(f"{time.monotonic() - begun:.0f} s; {_shown(done)}")
            print(f"{outcomes.total()} slots, each with one outcome: {_shown(outcomes)}")
            print(f"{published} published, none twice")
            print(
                f"started after they were due: median {delays[len(delays) // 2]:.3f} s, 99 of 100 within"
                f" {delays[len(delays) * 99 // 100]:.3f} s; longest time in which none was started:"
                f" {schedule.longest_gap():.0f} s"
            )
    finally:
        cluster.close()
    shutil.rmtree(work)


def _shown(counted: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counted.items()))


if __name__ == "__main__":
    main()
