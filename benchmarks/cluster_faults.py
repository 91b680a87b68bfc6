"""Faults at random in a cluster of three nodes and three members of etcd: nothing may be lost, doubled or differ.

    python benchmarks/cluster_faults.py [--minutes N] [--seed N] [--every SECONDS]

Each node and its member of etcd are on a host of their own (a network namespace, so root is needed; without, they
share this machine's network and nothing is cut off). All nodes register, replace and withdraw, run and publish. One
host or two at a time are broken: a member or a node is killed or stopped, the host is cut off; and etcd is compacted.
One node has a clock an hour ahead, another one an hour behind. Every half-minute all is mended, and it is checked that
nodes and etcd agree on names, revisions, nodes and heads, that what was acknowledged is there once, and that what was
refused is not. If not, it ends with an error, and leaves its folder behind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from clusters import Cluster
from faults import at_random
from namespaces import MISSING, Loopback, Namespaces, possible
from wrong_clock import wrong_clock

if TYPE_CHECKING:
    from writers import Told

_PART = 30.0
"""Seconds from one check to the next."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Break a cluster at random.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two faults, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="mao-faults-"))
    if not possible():
        print(MISSING)
    cluster = Cluster(work, Namespaces(3) if possible() else Loopback(), inbox=True)
    done: Counter[str] = Counter()
    begun = time.monotonic()
    try:
        cluster.start()
        for node, seconds in zip(cluster.nodes[1:], (3600, -3600), strict=True):
            node.stop()
            node.settings |= wrong_clock(work, seconds)
            node.start()
        print(f"working in {work}", flush=True)
        part = 0
        while time.monotonic() - begun < given.minutes * 60:
            done += at_random(cluster, seconds=_PART, every=given.every, seed=given.seed * 1000 + part)
            part += 1
            print(f"{time.monotonic() - begun:.0f} s, {part} checks: {_shown(cluster, done)}", flush=True)
    finally:
        cluster.close()
    shutil.rmtree(work)


def _shown(cluster: Cluster, done: Counter[str]) -> str:
    told: Counter[Told] = Counter()
    for one in cluster.works:
        for registrar in one.registrars:
            told += registrar.told
    runs = sum(len(runner.accepted) for one in cluster.works for runner in one.runners)
    words = [f"{count} {fault}" for fault, count in sorted(done.items())]
    words += [f"{count} registrations {outcome.value}" for outcome, count in told.items()]
    return ", ".join([*words, f"{runs} runs"])


if __name__ == "__main__":
    main()
