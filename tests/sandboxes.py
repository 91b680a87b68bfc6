"""Whether the sandbox works where the tests run: in some containers it does not."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from mao.errors import Unavailable
from mao.executors.sandbox import SandboxExecutor


@functools.cache
def _fault() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            SandboxExecutor(Path(folder) / "devices").close()
        except Unavailable as error:
            return error.detail
    return ""


def need_sandbox() -> None:
    if fault := _fault():
        pytest.skip(f"{fault} The sandbox is NOT tested here")
