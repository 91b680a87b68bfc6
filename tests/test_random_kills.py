"""kill -9 at random moments of several publishers' work. More of it: `benchmarks/kills.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from killing import kill_publishers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.long
def test_publishers_that_are_killed_at_random_moments_publish_each_run_once(tmp_path: Path, remote: Path) -> None:
    killed = kill_publishers(tmp_path / "homes", remote, publishers=4, kills=15, every=0.4, seed=1)

    assert killed.kills == 15
    assert killed.runs >= 20
    assert killed.commits == killed.runs
