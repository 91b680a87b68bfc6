"""Look into the files of runs and clones that this node has. Tools and remotes made them: nothing else is opened."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.clone_directory import HERE
from mao.errors import PathNotFound, SecretInData
from mao.foreign_file import open_below, walk
from mao.run import PublicationState
from mao.values import Value, display

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.installation import Clone
    from mao.local_node import LocalNode
    from mao.run import PublishedFile, Run

_CHUNK = 1 << 16
_LOOKED_AT = 10_000
"""How many names of a clone are looked at to find its newest files."""
_NEWEST = 50
_OCTETS = "application/octet-stream"
_TEXT = "text/plain; charset=utf-8"
_SVG = "image/svg+xml"
# By what they begin with (https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern).
_PICTURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBPVP", "image/webp"),
)
SHOWN = frozenset({_TEXT, *(media_type for _, media_type in _PICTURES)})
"""The types that a browser shows by itself: what is of another one is but saved."""
PICTURES = SHOWN - {_TEXT} | {_SVG}


class FileHere(Value):
    """A file that a run has written, or that a clone holds."""

    path: str
    """Of a run, below its data directory; of a clone, in the dataset."""
    size: int
    """Bytes."""
    here: bool
    """Whether its content can be had from this node."""


@dataclass(frozen=True, slots=True)
class Found:
    """The content of a file on this node."""

    root: Path
    path: bytes
    size: int
    media_type: str

    def chunks(self) -> Iterator[bytes]:
        """All of it: exactly `size` bytes.

        Raises:
            OSError: somebody has changed it since it was found.
        """
        left = self.size
        with open_below(self.root, self.path) as file:
            while left and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError(f"'{display(self.path)}' has become shorter while it was read")

    def part(self, begin: int, size: int) -> bytes:
        """At most `size` bytes of it from `begin` on.

        Raises:
            OSError
        """
        with open_below(self.root, self.path) as file:
            file.seek(begin)
            return file.read(size)


def run_files(node: LocalNode, run: Run) -> Iterator[FileHere]:
    """The files that a run has published, or is to publish."""
    if run.publication is None:
        return
    here = not _holds_secret(run) and node.workspace.run_data(run.id).is_dir()
    for file in run.publication.files:
        yield FileHere(path=file.path, size=file.size, here=here)


def run_file(node: LocalNode, run: Run, path: str) -> Found:
    """A file that a run has published, or is to publish; not what else may lie in its directory.

    Raises:
        PathNotFound: it is none of them, is not here any more, or is not what it was.
        SecretInData: a secret was found in the files of the run.
    """
    if _holds_secret(run):
        raise SecretInData(f"The files of run {run.id} are not shown: a secret of the run was found in them.")
    file = _published(run, path)
    if file is None:
        raise PathNotFound(f"Run {run.id} has no file '{path}'. '/api/v1/runs/{run.id}/files' lists them.")
    for name in _names(path):
        found = _found(node.workspace.run_data(run.id), name)
        if found is not None and found.size == file.size:
            return found
    raise PathNotFound(
        f"This node does not have the file '{path}' of run {run.id} any more, or it is but a link, or was changed."
        " Clone the dataset to have what was published."
    )


def _holds_secret(run: Run) -> bool:
    """Whether a secret was found in the files of a run, and nobody has decided to publish them all the same."""
    publication = run.publication
    blocked = publication is not None and publication.state is PublicationState.BLOCKED
    return blocked and publication is not None and publication.cause == SecretInData.code()


def _published(run: Run, path: str) -> PublishedFile | None:
    return next((file for file in run.publication.files if file.path == path), None) if run.publication else None


def _names(path: str) -> Iterator[bytes]:
    r"""What a file is called that is shown as `path`, where bytes that are no text are written as `\xNN`."""
    name = path.encode("utf-8", "surrogateescape")
    yield name
    unescaped = re.sub(rb"\\x([89a-f][0-9a-f])", lambda match: bytes([int(match[1], 16)]), name)
    if unescaped != name and display(unescaped) == path:
        yield unescaped


def _found(root: Path, path: bytes) -> Found | None:
    try:
        with open_below(root, path) as file:
            return Found(root, path, os.fstat(file.fileno()).st_size, _media_type(file.read(_CHUNK), path))
    except OSError:
        return None


def _media_type(head: bytes, path: bytes) -> str:
    for pattern, media_type in _PICTURES:
        if re.match(pattern, head, re.DOTALL):
            return media_type
    text = head.decode("utf-8", "replace").rstrip("\ufffd")  # it may end in the middle of a character
    if "\0" in text or "\ufffd" in text:
        return _OCTETS
    return _SVG if path.lower().endswith(b".svg") else _TEXT


def clone_files(node: LocalNode, clone: Clone) -> list[FileHere]:
    """The newest files of a clone: those that were written last, and of these those with the greatest names.

    Raises:
        GitFailed: the clone is broken.
    """
    if clone.path is None:
        return []
    root = node.workspace.clone(clone.dataset)
    newest = sorted(walk(root, {b".git"}, _LOOKED_AT), reverse=True)[: 2 * _NEWEST]
    known = _tracked(node, root, [file.path for file in newest])
    return [FileHere(path=display(file.path), size=file.size, here=True) for file in newest if file.path in known][
        :_NEWEST
    ]


def clone_file(node: LocalNode, clone: Clone, path: str) -> Found:
    """A file of the dataset that a clone holds; not what else somebody has put beside it.

    Raises:
        PathNotFound
        GitFailed: the clone is broken.
    """
    root = node.workspace.clone(clone.dataset)
    for name in _names(path) if clone.path is not None else ():
        found = _found(root, name)
        if found is not None and _tracked(node, root, [name]):
            return found
    raise PathNotFound(f"The clone of '{clone.dataset}' has no file '{path}', or it is but a link.")


def _tracked(node: LocalNode, root: Path, paths: list[bytes]) -> frozenset[bytes]:
    """Those of `paths` that the dataset has."""
    if not paths:
        return frozenset()
    options = ("--literal-pathspecs", "ls-files", "-z")
    return frozenset(node.git.run(*HERE, *options, "--", *map(os.fsdecode, paths), cwd=root).split(b"\0")[:-1])
