"""Puts on stable storage what a job wrote, and what is known of it. Used in every supervisor: it imports little."""

# pathlib would cost every supervisor time and memory:
# ruff: noqa: PTH118
from __future__ import annotations

import contextlib
import os
import stat


def fsync_directory() -> None:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def flush(root: str, since: float) -> None:
    """Put what was changed below `root` since then (seconds since the epoch) on stable storage, as far as it can be."""
    for folder, _, names in os.walk(root):
        for path in (*(os.path.join(folder, name) for name in names), folder):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(path)
                if status.st_ctime >= since and stat.S_IFMT(status.st_mode) in {stat.S_IFREG, stat.S_IFDIR}:
                    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                    try:
                        os.fsync(fd)
                    finally:
                        os.close(fd)
