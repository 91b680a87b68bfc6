from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    """A node that serves in this process."""
    with serving(tmp_path / "home") as node:
        yield node
