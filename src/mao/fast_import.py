"""Speaking with git fast-import: it is asked what a commit holds, and then given the next one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mao.data_directory import DataFile
from mao.errors import PathClash
from mao.values import display

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, and when."""

    name: str
    email: str
    moment: datetime

    def __str__(self) -> str:
        name = re.sub(r"[<>\n]", "", self.name)
        email = re.sub(r"[<>\s]", "", self.email)
        return f"{name} <{email}> {int(self.moment.timestamp())} +0000"


Existing: TypeAlias = dict[bytes, str]
"""The blob that each path has in a commit, where it has one."""

Placement: TypeAlias = list[tuple[bytes, DataFile]]
"""Where each file goes."""


def dialogue(
    process: subprocess.Popen[bytes],
    base: str | None,
    message: str,
    author: Author,
    wanted: tuple[list[bytes], Callable[[Existing], Placement]],
) -> str | None:
    """Speak with fast-import (git-fast-import(1)): begin a commit, ask what `base` has, then write what is placed.

    It is asked within the commit, as it reads a folder only once there. If nothing is placed, the commit is left
    unfinished and None is returned: the process waits for more, and is to be killed.
    """
    assert process.stdin is not None  # noqa: S101  # for the type checker: git is started with pipes
    paths, place = wanted
    text = message.encode()
    write = process.stdin.write
    write(b"commit refs/mao/publication\nmark :1\n")
    write(f"author {author}\ncommitter {author}\n".encode())
    write(b"data %d\n%s" % (len(text), text))
    if base:
        write(b"from %s\n" % base.encode())
    placement = place(_existing(process, paths) if base else {})
    if not placement:
        return None
    for path, file in placement:
        write(b"M %s inline %s\ndata %d\n" % (file.mode.encode(), _quoted(path), file.size))
        for chunk in file.chunks():
            write(chunk)
        write(b"\n")
    write(b"\nget-mark :1\ndone\n")
    process.stdin.flush()
    return _line(process).decode().strip()


def _existing(process: subprocess.Popen[bytes], paths: list[bytes]) -> Existing:
    folders = {path[:at] for path in paths for at in range(len(path)) if path[at : at + 1] == b"/"}
    found: Existing = {}
    for path in (*sorted(folders), *paths):
        assert process.stdin is not None  # noqa: S101  # as above
        process.stdin.write(b"ls %s\n" % _quoted(path))
        process.stdin.flush()
        answer = _line(process)
        if answer.startswith(b"missing "):
            continue
        mode, _, rest = answer.partition(b" ")
        if (mode == b"040000") != (path in folders):
            here, there = ("folder", "file") if path in folders else ("file", "folder")
            raise PathClash(
                f"'{display(path)}' is a {here} in the data of the run and a {there} in the dataset."
                " Nothing was published; the files of the run are kept. Rename it in the tool, or in the dataset."
            )
        if path not in folders:
            found[path] = rest.split()[1].decode()
    return found


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101  # for the type checker: git is started with pipes
    line: bytes = process.stdout.readline()
    if not line:
        raise BrokenPipeError  # git has ended; its words say why
    return line


def _quoted(path: bytes) -> bytes:
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%s"' % escaped
