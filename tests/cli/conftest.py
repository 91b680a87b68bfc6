from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.place import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.place import Place


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Shared by all tests: each looks only at what it makes itself."""
    directory = tmp_path_factory.mktemp("place")
    yield from prepared(directory)


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """For a test that stops its node or takes something away."""
    yield from prepared(tmp_path)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder for the command Gate, which goes on when 1, 2, 3 appear in it."""
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"
