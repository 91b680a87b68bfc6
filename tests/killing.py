"""Kills publishers at random moments, and starts them again, until nothing is left to be done."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publishing_node import PublishingNode, check

if TYPE_CHECKING:
    from pathlib import Path

_MORE = 5
"""Runs that a publisher is given in addition when it has published all it had."""


@dataclass(frozen=True)
class Killed:
    """What came of it.

    Attributes:
        kills: how often a publisher was killed.
        runs: that were made; each was found once.
        beside: files that stand beside their own path.
        commits: on the branch.
        seconds: it took.
    """

    kills: int
    runs: int
    beside: int
    commits: int
    seconds: float


def kill_publishers(work: Path, remote: Path, *, publishers: int, kills: int, every: float, seed: int) -> Killed:
    """Let `publishers` publish to `remote` while they are killed at random moments, and assert that all is there once.

    Args:
        work: an empty directory for their homes.
        remote: a bare repository.
        publishers: how many there are.
        kills: how often one of them is killed; half of the time the git processes that it has started die with it.
        every: seconds between two kills, on average.
        seed: of the moments and the victims.
    """
    chance = random.Random(seed)  # noqa: S311  # no secret
    begun = time.monotonic()
    nodes = [PublishingNode(work / f"node-{number}", remote, _MORE).start() for number in range(publishers)]
    while sum(node.kills for node in nodes) < kills:
        time.sleep(chance.expovariate(1 / every))
        for node in nodes:
            if (status := node.ended()) is not None:
                assert status == 0, (work / f"{node.home.name}.log").read_text()[-2000:]
                node.runs += _MORE
                node.start()
        victim = chance.choice(nodes)
        victim.kill(with_git=chance.random() < 0.5)
        victim.start()
    for node in nodes:
        assert node.wait() == 0, (work / f"{node.home.name}.log").read_text()[-2000:]
    counted = check(remote, {node.home.name: node.home for node in nodes})
    return Killed(sum(node.kills for node in nodes), seconds=time.monotonic() - begun, **counted)
