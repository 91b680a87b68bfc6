"""kill -9 at each step of the way by the inbox, while another node publishes, too: what was measured is there once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from crashing import STEPS_OF_THE_INBOX
from publishers import publisher
from publishing_node import PublishingNode, check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("step", STEPS_OF_THE_INBOX)
def test_a_node_killed_at_any_step_of_a_delivery_or_a_fold_publishes_its_runs_once(
    tmp_path: Path, remote: Path, step: str
) -> None:
    with publisher(tmp_path / "alpha", remote) as alpha:
        alpha.made({"first.txt": "1"})
        alpha.publish()
    with publisher(tmp_path / "beta", remote) as beta:
        beta.made({"theirs.txt": "1"})
        beta.publish()  # alpha does not know of it
        node = PublishingNode(tmp_path / "alpha", remote, runs=4)
        assert node.start("--at-once", "--crash-at", step).wait() == -9, "it reaches the step, and dies there"

        meanwhile = beta.made({"shared.txt": "beta's", "meanwhile.txt": "2"})
        beta.cache.habits.saw_others()
        beta.publish()
        assert node.start().wait() == 0
        while beta.state(meanwhile) != "published":
            beta.cache.habits.folding = (beta.cache.habits.folding[0], time.monotonic() - 60)  # it need not be patient
            beta.look_now()
            beta.publish()

    counted = check(remote, {"alpha": tmp_path / "alpha", "beta": tmp_path / "beta"})
    assert counted["runs"] == counted["commits"] == 6
