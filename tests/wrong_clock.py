"""A clock that is wrong, for one process and those that it starts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

MISSING = "there is no C compiler (Debian: gcc): what a wrong clock does is NOT tested here"


def wrong_clock(directory: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose time of day is wrong by so much; `directory` keeps what it needs.

    Debian's libfaketime cannot be used: under it, time.sleep fails if only the time of day is changed.
    """
    library = directory / "wrong_clock.so"
    if not library.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip(MISSING)
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(seconds)}
