"""Speaking with git fast-import: it is asked what a commit holds, and then given the next ones."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mao.errors import PathClash
from mao.values import display

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mao.data_directory import DataFile

_AHEAD = 100
"""Questions that are asked before the first answer is read: all answers together fit into a pipe."""


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


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file whose content is among the repository's objects already; `mode` is git's."""

    path: bytes
    mode: str
    oid: str

    def blob(self) -> str:
        return self.oid


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A small file whose content is given; `mode` is git's."""

    path: bytes
    mode: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def chunks(self) -> Iterator[bytes]:
        yield self.content

    def blob(self) -> str:
        return hashlib.sha1(b"blob %d\0%s" % (self.size, self.content), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """A small file whose content follows from that of others.

    Attributes:
        path: of the file.
        there: the blob that it has in the parent; None if it is not there.
        blobs: those whose contents are wanted.
        derive: is given these, in that order.
    """

    path: bytes
    there: str | None
    blobs: Sequence[str]
    derive: Callable[[Sequence[bytes]], bytes]


class BlobMissing(Exception):  # no fault: it is fetched then
    """The content of a file is wanted that is not among the repository's objects."""

    def __init__(self, oid: str) -> None:
        super().__init__(oid)
        self.oid = oid


@dataclass(frozen=True, slots=True)
class Moved:
    """What the parent has at `source`, a file or a folder, with another path; it need not be here."""

    source: bytes


@dataclass(frozen=True, slots=True)
class Deleted:
    """Nothing, where the parent has a file or a folder."""


Existing: TypeAlias = dict[bytes, str]
"""The blob that each path has in a commit, where it has one."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each file of a commit goes, and the commit's message; which of them stand beside their own path."""

    message: str
    files: Sequence[tuple[bytes, DataFile | StoredFile | WrittenFile | Moved | Deleted]]
    beside: Mapping[bytes, bytes] = field(default_factory=dict)
    derived: Sequence[DerivedFile] = ()
    """Further files; those that are there already are left out."""


@dataclass(frozen=True, slots=True)
class Addition:
    """A commit to be made.

    Attributes:
        author: who made its data.
        committer: who makes the commit.
        paths: those whose content in its parent is wanted.
        place: is given the blobs that `paths` have there; if it places nothing, no commit is made.
    """

    author: Author
    committer: Author
    paths: Sequence[bytes]
    place: Callable[[Existing], Placement]


@dataclass(frozen=True, slots=True)
class Made:
    """What became of an addition.

    Attributes:
        commit: its id; None if none was made.
        beside: the files that stand beside their own path, and where.
        clash: what was in its way; without it and without a commit, there was nothing to add.
    """

    commit: str | None = None
    beside: Mapping[bytes, bytes] = field(default_factory=dict)
    clash: PathClash | None = None


def dialogue(
    process: subprocess.Popen[bytes], base: str | None, additions: Sequence[Addition], *, apart: bool = False
) -> list[Made]:
    """Speak with fast-import (git-fast-import(1)) until each of `additions` is made.

    Args:
        process: that was started with `--done`.
        base: the parent of the first one; None for the first commit of a branch.
        additions: one commit each, every one on top of the one before it.
        apart: each stands by itself instead, without a parent and with nothing but its own files.

    Raises:
        BrokenPipeError: git has ended; its words say why.
        BlobMissing: it is to be fetched, and all of it begun again.
    """
    made: list[Made] = []
    parent = base
    for number, addition in enumerate(additions, 1):
        if apart or parent is None:  # what was committed before is no parent
            _write(process, b"reset refs/mao/publication\n\n")
        try:
            placement = addition.place({} if apart or parent is None else _existing(process, addition, parent))
        except PathClash as clash:
            made.append(Made(clash=clash))
            continue
        placement = replace(placement, files=[*placement.files, *_derived(process, placement.derived)])
        if not placement.files:
            made.append(Made(beside=placement.beside))
            continue
        _commit(process, f":{number}", None if apart else parent, addition, placement)
        made.append(Made(_answer(process).decode().strip(), placement.beside))
        parent = f":{number}"
    if parent is not None and not apart:  # what was only asked is referred to no longer
        _write(process, f"reset refs/mao/publication\nfrom {parent}\n\n".encode())
    _write(process, b"done\n", flush=True)
    return made


def _derived(process: subprocess.Popen[bytes], files: Sequence[DerivedFile]) -> Iterator[tuple[bytes, WrittenFile]]:
    for file in files:
        content = file.derive([_content(process, oid) for oid in file.blobs])
        made = WrittenFile(file.path, "100644", content)
        if made.blob() != file.there:
            yield file.path, made


def _content(process: subprocess.Popen[bytes], oid: str) -> bytes:
    _write(process, f"cat-blob {oid}\n".encode(), flush=True)
    _, kind, *size = _answer(process).split()
    if kind == b"missing":
        raise BlobMissing(oid)
    assert process.stdout is not None  # noqa: S101  # for the type checker: git is started with pipes
    content: bytes = process.stdout.read(int(size[0]) + 1)
    return content[:-1]


def _commit(
    process: subprocess.Popen[bytes], mark: str, parent: str | None, addition: Addition, placement: Placement
) -> None:
    text = placement.message.encode()
    _write(process, f"commit refs/mao/publication\nmark {mark}\n".encode())
    _write(process, f"author {addition.author}\ncommitter {addition.committer}\n".encode())
    _write(process, b"data %d\n%s" % (len(text), text))
    if parent:
        _write(process, f"from {parent}\n".encode())
    for path, file in placement.files:
        _put(process, path, file)
    _write(process, f"\nget-mark {mark}\n".encode(), flush=True)


def _put(
    process: subprocess.Popen[bytes], path: bytes, file: DataFile | StoredFile | WrittenFile | Moved | Deleted
) -> None:
    match file:
        case StoredFile():
            _write(process, b"M %s %s %s\n" % (file.mode.encode(), file.oid.encode(), _quoted(path)))
        case Moved():
            _write(process, b"R %s %s\n" % (_quoted(file.source), _quoted(path)))
        case Deleted():
            _write(process, b"D %s\n" % _quoted(path))
        case _:
            _write(process, b"M %s inline %s\ndata %d\n" % (file.mode.encode(), _quoted(path), file.size))
            for chunk in file.chunks():
                _write(process, chunk)
            _write(process, b"\n")


def _existing(process: subprocess.Popen[bytes], addition: Addition, parent: str) -> Existing:
    """What `parent` has at the paths of `addition`.

    It is asked within a commit that changes nothing and that nobody refers to: only there does fast-import read a
    folder once, however many paths are in it, and keeps it for the commit that follows.
    """
    _write(process, f"commit refs/mao/publication\ncommitter {addition.committer}\ndata 0\nfrom {parent}\n".encode())
    paths = addition.paths
    folders = {path[:at] for path in paths for at in range(len(path)) if path[at : at + 1] == b"/"}
    found: Existing = {}
    clash: PathClash | None = None
    for path, answer in _asked(process, [*sorted(folders), *paths]):
        if answer.startswith(b"missing "):
            continue
        mode, _, rest = answer.partition(b" ")
        if (mode == b"040000") != (path in folders):
            clash = clash or _clash(path, is_folder=path in folders)
        elif path not in folders:
            found[path] = rest.split()[1].decode()
    if clash is not None:
        raise clash
    return found


def _clash(path: bytes, *, is_folder: bool) -> PathClash:
    here, there = ("folder", "file") if is_folder else ("file", "folder")
    return PathClash(
        f"'{display(path)}' is a {here} in the data of the run and a {there} in the dataset."
        " Nothing of the run was published; its files are kept. Rename it in the tool, or in the dataset."
    )


def _asked(process: subprocess.Popen[bytes], paths: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for at in range(0, len(paths), _AHEAD):
        group = paths[at : at + _AHEAD]
        _write(process, b"".join(b"ls %s\n" % _quoted(path) for path in group), flush=True)
        for path in group:
            yield path, _answer(process)


def _write(process: subprocess.Popen[bytes], words: bytes, *, flush: bool = False) -> None:
    assert process.stdin is not None  # noqa: S101  # for the type checker: git is started with pipes
    process.stdin.write(words)
    if flush:
        process.stdin.flush()


def _answer(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101  # as above
    line: bytes = process.stdout.readline()
    if not line:
        raise BrokenPipeError  # git has ended; its words say why
    return line


def _quoted(path: bytes) -> bytes:
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%s"' % escaped
