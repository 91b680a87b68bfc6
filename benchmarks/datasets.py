"""Remotes with very many files or commits, made quickly, kept between benchmarks, copied in no time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import bare, git

if TYPE_CHECKING:
    from collections.abc import Iterator

Layout: TypeAlias = Literal["dated", "flat", "commits"]
"""dated: YYYY/MM/DD, 280 files and one commit a day. flat: one folder, one commit. commits: dated, a commit a file."""

LAYOUTS: tuple[Layout, ...] = get_args(Layout)
A_DAY = 280
_FIRST_DAY = date(2015, 1, 1)
_EPOCH = 1_420_070_400  # the first day, in Unix time


def path_of(layout: Layout, number: int) -> str:
    """The path of the file with this number."""
    if layout == "flat":
        return f"measurements/{number:07d}.csv"
    day = _FIRST_DAY + timedelta(days=number // A_DAY)
    return f"{day:%Y/%m/%d}/{number % A_DAY:03d}.csv"


def new_path(layout: Layout, files: int, name: str) -> str:
    """A path for one more file, in the newest folder of a dataset of `files` files."""
    return f"{path_of(layout, max(files - 1, 0)).rpartition('/')[0]}/{name}"


def _content(number: int) -> bytes:
    return b"%d,%d,%d\n" % (_EPOCH + number, number, number * 2_654_435_761 % 2**32)


def blob_id(content: bytes) -> str:
    """Git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()


def remote(keep: Path, layout: Layout, files: int) -> Path:
    """A bare remote with `files` small files in `keep`, made if it is not there; it is for copying, not for use.

    It serves partial clones and takes pushes over HTTP. It is packed, with bitmaps and a commit-graph, as hosts have
    it, and does not tidy itself up while somebody waits (`receive.autogc`).
    """
    path = keep / f"{layout}-{files}.git"
    if path.exists():
        return path
    part = keep / f"{path.name}.part"
    subprocess.run(["rm", "-rf", "--", part], check=True)
    bare(part)
    for setting in ("http.receivepack=true", "receive.autogc=false", "gc.auto=0"):
        git("config", *setting.split("="), cwd=part)
    (_make_flat if layout == "flat" else _make_dated)(part, layout, files)
    git("repack", "-a", "-d", "-q", "--write-bitmap-index", cwd=part)
    git("commit-graph", "write", "--reachable", cwd=part)
    part.rename(path)
    return path


def copy(source: Path, target: Path) -> Path:
    """A repository like `source`. Its files are shared where the disk can: git replaces files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    linked = subprocess.run(["cp", "-a", "-l", "--", source, target], capture_output=True, check=False)
    if linked.returncode:  # the two are on different disks
        subprocess.run(["rm", "-rf", "--", target], check=True)
        subprocess.run(["cp", "-a", "--reflink=auto", "--", source, target], check=True)
    return target


def _import(repository: Path, stream: Iterator[bytes]) -> None:
    process = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=repository, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.writelines(stream)
    process.stdin.close()
    assert process.wait() == 0


def _make_dated(repository: Path, layout: Layout, files: int) -> None:
    step = 1 if layout == "commits" else A_DAY

    def stream() -> Iterator[bytes]:
        for number in range(files):
            if number % step == 0:
                yield b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\ndata 4\nsync\n" % (
                    _EPOCH + number
                )
            content = _content(number)
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path_of(layout, number).encode(), len(content), content)

    _import(repository, stream())


def _make_flat(repository: Path, layout: Layout, files: int) -> None:
    # fast-import looks through the whole folder for each file that it adds; mktree does not.
    contents = [_content(number) for number in range(files)]
    _import(repository, (b"blob\ndata %d\n%s\n" % (len(content), content) for content in contents))
    lines = [
        f"100644 blob {blob_id(content)}\t{path_of(layout, number).rpartition('/')[2]}\n"
        for number, content in enumerate(contents)
    ]
    folder = git("mktree", cwd=repository, given="".join(lines).encode())
    name = path_of(layout, 0).partition("/")[0]
    root = git("mktree", cwd=repository, given=f"040000 tree {folder}\t{name}\n".encode())
    git("update-ref", "refs/heads/main", git("commit-tree", root, "-m", "sync", cwd=repository), cwd=repository)
