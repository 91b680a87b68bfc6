"""Files that a tool or a remote has made, opened so that nothing else is: who made them also chose names and kinds."""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, whoever opens a pipe waits until somebody writes to it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Listed(NamedTuple):
    """A file below a directory."""

    changed_ns: int
    """When its content was written last."""
    path: bytes
    """Below the directory."""
    size: int


def open_below(root: Path, path: bytes) -> IO[bytes]:
    """The file at `path` below `root`: a regular one, to which no link leads, and which lies nowhere else.

    Raises:
        OSError: there is none.
    """
    *folders, name = _parts(path)
    folder = _open_folder(root, folders)
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError("it is no file")
    return file


def _parts(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    if b"\0" in path or any(part in {b"", b".", b".."} for part in parts):
        raise OSError("it is no path of a file below")
    return parts


def _open_folder(root: Path, folders: list[bytes]) -> int:
    """A descriptor of the folder, opened part by part: a link may stand anywhere on the way."""
    descriptor = os.open(root, _FOLDER)
    for folder in folders:
        above = descriptor
        try:
            descriptor = os.open(folder, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def walk(root: Path, without: Collection[bytes], most: int) -> Iterator[Listed]:
    """The files below `root`, those in the uppermost folders first, and of names the greatest first.

    Args:
        root: of the files.
        without: names of files and folders that are passed over.
        most: how many entries of folders are looked at.
    """
    pending = deque([b""])
    while pending and most > 0:
        path = pending.popleft()
        try:
            folder = _open_folder(root, _parts(path) if path else [])
        except OSError:
            continue
        try:
            found = list(_entries(folder, most))
        finally:
            os.close(folder)
        most -= len(found)
        for name, status in sorted(found, reverse=True):
            below = path + b"/" + name if path else name
            if name in without:
                continue
            if stat.S_ISDIR(status.st_mode):
                pending.append(below)
            elif stat.S_ISREG(status.st_mode):
                yield Listed(status.st_mtime_ns, below, status.st_size)


def _entries(folder: int, most: int) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= most:
                return
            try:
                yield os.fsencode(entry.name), entry.stat(follow_symlinks=False)
            except OSError:
                continue
