"""What is in a data directory: which files a run added or changed there, and which of them can be published."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mao.errors import DiskFull, OutsideFailed
from mao.values import display
from mao.workspace import disk_errors, fsync, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Stamp: TypeAlias = tuple[int, int, int, int]
"""Size, time of change and of status change in ns, inode: any writing alters it, also of the same content."""
_UNREADABLE: Stamp = (0, 0, 0, 0)
_TICK = 20_000_000
"""More ns than the clock that stamps files stands still: one tick of the kernel, 1 to 10 ms."""
# https://github.com/git/git/blob/v2.39.0/utf8.c (next_hfs_char)
_IGNORED_BY_HFS = "[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file below a data directory, by its path there; `mode` is git's (100644, 100755, or 120000 for a link)."""

    path: bytes
    source: Path
    mode: str
    size: int

    def chunks(self) -> Iterator[bytes]:
        """What git stores of it: exactly `size` bytes.

        Raises:
            OutsideFailed: somebody changes it.
        """
        left = self.size
        try:
            for chunk in self._read():
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        except OSError as error:
            raise OutsideFailed(f"'{display(self.path)}' cannot be read: {error}", cause="file-changed") from error
        if left:
            raise OutsideFailed(f"'{display(self.path)}' changed while it was read.", cause="file-changed")

    def _read(self) -> Iterator[bytes]:
        if self.mode == "120000":
            yield os.fsencode(self.source.readlink())
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
    """The stamp of everything below `root` that is not a directory, and of directories that cannot be read."""
    found: dict[bytes, Stamp] = {}
    pending = [b""]
    while pending:
        folder = pending.pop()
        inside = os.path.join(os.fsencode(root), folder)  # noqa: PTH118  # paths are bytes
        try:
            entries = list(os.scandir(inside))
        except FileNotFoundError:
            continue
        except OSError:  # without the right to read it, or deeper than the system can name
            if not folder:
                raise
            found[folder.rstrip(b"/")] = _UNREADABLE
            continue
        for entry in entries:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(path + b"/")
                continue
            with contextlib.suppress(FileNotFoundError):  # in a directory that is shared, others remove what is theirs
                found[path] = _stamp(entry)
    return found


def _stamp(entry: os.DirEntry[bytes]) -> Stamp:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        return _UNREADABLE
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def written(stamps: Mapping[bytes, Stamp]) -> bytes:
    """`stamps` as the content of a file, as soon as no later change can leave the same stamp."""
    youngest = time.time_ns() - max((stamp[2] for stamp in stamps.values()), default=0)
    if 0 <= youngest < _TICK:
        time.sleep((_TICK - youngest) / 1e9)
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
    try:
        with disk_errors("the files of the run"):
            part.mkdir()
            for path in paths:
                _copy(root / os.fsdecode(path), part / os.fsdecode(path))
            make_durable(part)
            part.rename(destination)
            fsync(destination.parent)
    except DiskFull:
        remove_tree(part)  # the room may be what others need to go on
        raise


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = _mode(source)
    if stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(source, os.R_OK)):
        shutil.copy2(source, target, follow_symlinks=False)
    else:
        os.mkfifo(target)  # stands for what cannot be copied, so that it is named among what is left out


def make_durable(root: Path) -> None:
    """Put every file and folder below `root` on stable storage.

    Raises:
        DiskFull: the system could not write it.
    """
    folders = {root}
    with disk_errors("the files of the run"):
        for path in scan(root):
            file = root / os.fsdecode(path)
            folders.update(parent for parent in file.parents if parent.is_relative_to(root))
            if stat.S_ISREG(_mode(file)) and os.access(file, os.R_OK):
                fsync(file)
        for folder in folders:
            fsync(folder)


def publishable(root: Path) -> tuple[list[DataFile], list[str]]:
    """The files below `root` in the order of their paths; and what cannot be published, each with the reason."""
    files: list[DataFile] = []
    left_out: list[str] = []
    for path in sorted(scan(root)):
        source = root / os.fsdecode(path)
        mode = _mode(source)
        if fault := _fault(root, path, source, mode):
            left_out.append(f"{display(path)}: {fault}")
            continue
        kind = "120000" if stat.S_ISLNK(mode) else "100755" if mode & stat.S_IXUSR else "100644"
        files.append(DataFile(path, source, kind, source.lstat().st_size))
    return files, left_out


def _mode(path: Path) -> int:
    """Of the file itself; 0 if the system does not tell."""
    try:
        return path.lstat().st_mode
    except OSError:
        return 0


def _fault(root: Path, path: bytes, source: Path, mode: int) -> str | None:
    """What keeps a file from being published, if anything does."""
    if any(is_gits(part) for part in path.split(b"/")):
        return "git keeps '.git' to itself"
    if stat.S_ISLNK(mode):
        return "a link that leaves the data directory" if _leaves(root, source) else None
    return None if stat.S_ISREG(mode) and os.access(source, os.R_OK) else "neither a link nor a file that can be read"


def is_gits(name: bytes) -> bool:
    """Whether some system takes `name` for `.git`: hosts refuse a commit that has it (git-fsck(1): hasDotgit)."""
    text = re.sub(_IGNORED_BY_HFS, "", name.decode("utf-8", "replace")).lower()
    return any(re.fullmatch(r"(\.git|git~1)[ .]*", part.split(":")[0]) for part in text.split("\\"))


def _leaves(root: Path, link: Path) -> bool:
    """Whether the target of `link` lies outside of `root`, or would once `root` stands elsewhere."""
    target = link.readlink()
    reached = Path(os.path.realpath(link))  # unlike Path.resolve, it takes links that go round in a circle
    return target.is_absolute() or not reached.is_relative_to(os.path.realpath(root))
