"""kill -9 between the moment at which a slot is due and its record: one outcome, one run at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crashing import STEPS_OF_SCHEDULES
from killing_schedules import check, kill_scheduled, scheduled_node
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import ServedNode


@pytest.mark.parametrize("step", [*STEPS_OF_SCHEDULES, "+slot: handed over", "+slot: start recorded"])
def test_a_node_killed_at_any_step_of_a_slot_gives_it_one_outcome(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, step: str
) -> None:
    node = serve(start=False)
    schedule = scheduled_node(node, tmp_path, remote)
    node.start(crash_at=step)
    eventually(node.dead, f"the node dies at '{step}'")

    node.start()
    eventually((tmp_path / "count").exists, "a slot is executed")
    found = check(node, schedule, tmp_path / "count", remote)

    assert found.slots >= found.executions >= 1


def test_a_node_killed_at_random_moments_gives_each_slot_one_outcome(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    found = kill_scheduled(serve(start=False), tmp_path, remote, kills=6, every=2.0, seed=1)

    assert found.slots > 6
    assert found.executions >= 1
