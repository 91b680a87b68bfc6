"""Faults at random, of one host or two at a time, while all is at work."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from namespaces import Cut, Namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from clusters import Cluster

_LONGEST = 8.0
"""Seconds that a fault lasts at most: longer than a lease, an election, and what a node waits for an answer."""

FAULTS: dict[str, Callable[[Cluster, int], None]] = {
    "members killed": lambda cluster, i: cluster.etcd.kill(i),
    "members stopped": lambda cluster, i: cluster.etcd.pause(i),
    "nodes killed": lambda cluster, i: cluster.nodes[i].kill(),
    "nodes stopped": lambda cluster, i: cluster.nodes[i].signal(signal.SIGSTOP),
}
CUTS: dict[str, Callable[[Cluster, int], None]] = {
    "hosts cut off": lambda cluster, i: cluster.cut(i, Cut.BOTH),
    "hosts cut off in one direction": lambda cluster, i: cluster.cut(i, Cut.INCOMING),
}


def at_random(cluster: Cluster, *, seconds: float, every: float, seed: int) -> Counter[str]:
    """Break and mend for so long, and assert that all agree in the end; how often what was done.

    Args:
        cluster: three nodes and their members of etcd.
        seconds: how long; what is broken then is mended.
        every: seconds between two faults, and that one lasts, on average.
        seed: of what is done, and when.
    """
    chance = random.Random(seed)  # noqa: S311  # no secret
    possible = FAULTS | CUTS if isinstance(cluster.network, Namespaces) else FAULTS
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with cluster.at_work():
        while time.monotonic() < end:
            for host in chance.sample(range(3), chance.choice((1, 1, 2))):
                fault = chance.choice(list(possible))
                possible[fault](cluster, host)
                done[fault] += 1
            with suppress(subprocess.CalledProcessError):  # too many members are broken
                cluster.etcd.etcdctl("compact", "--command-timeout=2s", str(cluster.revision()))
                done["compactions"] += 1
            time.sleep(min(chance.expovariate(1 / every), _LONGEST))
            cluster.mend()
            time.sleep(min(chance.expovariate(1 / every), _LONGEST))
    return done
