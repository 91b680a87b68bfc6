"""What is in a data directory: which files a run added or changed there, and which of them can be published."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mao.values import display
from mao.workspace import disk_errors, fsync, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Stamp: TypeAlias = tuple[int, int, int, int]
"""Size, time of change and of status change in ns, inode: any writing alters it, also of the same content."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file below a data directory, by its path there; `mode` is git's (100644, 100755, or 120000 for a link)."""

    path: bytes
    source: Path
    mode: str
    size: int

    def chunks(self) -> Iterator[bytes]:
        """What git stores of it."""
        if self.mode == "120000":
            yield os.fsencode(os.readlink(self.source))
            return
        with self.source.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    def blob(self) -> str:
        """Git's id of its content (gitformat-objects: SHA-1 over a header and the bytes)."""
        digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def scan(root: Path) -> dict[bytes, Stamp]:
    """The stamp of everything below `root` that is not a directory, by its path there."""
    found: dict[bytes, Stamp] = {}
    pending = [b""]
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(os.path.join(os.fsencode(root), folder)))  # noqa: PTH118  # paths are bytes
        except FileNotFoundError:
            continue
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(path + b"/")
            else:
                status = entry.stat(follow_symlinks=False)
                found[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return found


def written(stamps: Mapping[bytes, Stamp]) -> bytes:
    """`stamps` as the content of a file."""
    return b"".join(b"%d %d %d %d %s\0" % (*stamp, path) for path, stamp in stamps.items())


def read(content: bytes) -> dict[bytes, Stamp]:
    """What `written` wrote."""
    found: dict[bytes, Stamp] = {}
    for line in content.split(b"\0")[:-1]:
        size, mtime, ctime, inode, path = line.split(b" ", 4)
        found[path] = (int(size), int(mtime), int(ctime), int(inode))
    return found


def set_aside(root: Path, paths: list[bytes], destination: Path) -> None:
    """Copy the files at `paths` to `destination`, on stable storage: there they stay as they are now.

    It either gets there whole or not at all; what is there already stays.

    Raises:
        DiskFull: there is no room for the copy.
    """
    if destination.exists():
        return
    part = destination.with_name(destination.name + ".part")
    remove_tree(part)
    part.mkdir()
    with disk_errors("the files of the run"):
        for path in paths:
            target = part / os.fsdecode(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            source = root / os.fsdecode(path)
            mode = source.lstat().st_mode
            if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                shutil.copy2(source, target, follow_symlinks=False)
            else:
                os.mkfifo(target)  # stands for what cannot be copied, so that it is named among what is left out
        make_durable(part)
        part.rename(destination)
        fsync(destination.parent)


def make_durable(root: Path) -> None:
    """Put every file and folder below `root` on stable storage.

    Raises:
        DiskFull: the system could not write it.
    """
    with disk_errors("the files of the run"):
        for folder, folders, files in os.walk(root, topdown=False):
            for name in (*files, *folders):
                path = type(root)(folder, name)
                if stat.S_ISREG(path.lstat().st_mode):
                    fsync(path)
            fsync(type(root)(folder))


def publishable(root: Path) -> tuple[list[DataFile], list[str]]:
    """The files below `root` in the order of their paths; and what cannot be published, each with the reason."""
    files: list[DataFile] = []
    left_out: list[str] = []
    for path in sorted(scan(root)):
        source = root / os.fsdecode(path)
        status = source.lstat()
        if any(part.lower() == b".git" for part in path.split(b"/")):
            left_out.append(f"{display(path)}: git keeps '.git' to itself")
        elif stat.S_ISLNK(status.st_mode):
            if _leaves(path, os.fsencode(os.readlink(source))):
                left_out.append(f"{display(path)}: a link that leaves the data directory")
            else:
                files.append(DataFile(path, source, "120000", status.st_size))
        elif stat.S_ISREG(status.st_mode):
            mode = "100755" if status.st_mode & stat.S_IXUSR else "100644"
            files.append(DataFile(path, source, mode, status.st_size))
        else:
            left_out.append(f"{display(path)}: neither a file nor a link")
    return files, left_out


def _leaves(link: bytes, target: bytes) -> bool:
    if target.startswith(b"/"):
        return True
    reached = os.path.normpath(os.path.join(os.path.dirname(link), target))  # noqa: PTH118, PTH120  # paths are bytes
    return reached == b".." or reached.startswith(b"../")
