"""The lines of `.gitattributes` by which git knows that it has a file as a pointer, and git-lfs its content.

They stand in the file's own folder, one for each file, by its exact name. Whoever puts a run onto the branch joins its
lines with those that are there: nothing that somebody else wrote is changed or lost, in whatever order it happens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = b".gitattributes"
_VALUES = b"filter=lfs diff=lfs merge=lfs -text"
_MAGIC = re.compile(rb"[\\*?\[]")
_PLAIN = re.compile(rb"[!#-\[\]-~]+")
_ESCAPES = {b'"': rb"\"", b"\\": rb"\\"}


def path_for(path: bytes) -> bytes:
    """The path of the attributes that stand in the folder of the file at `path`."""
    folder, slash, _ = path.rpartition(b"/")
    return folder + slash + NAME


def line(name: bytes) -> bytes:
    """The line for the file called `name` in the same folder, and for no other (gitattributes(5), gitignore(5))."""
    pattern = b"/" + _MAGIC.sub(rb"\\\g<0>", name)
    if not _PLAIN.fullmatch(pattern):
        pattern = b'"%s"' % re.sub(rb"[^ !#-\[\]-~]", _escaped, pattern)
    return pattern + b" " + _VALUES


def _escaped(found: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(found[0], b"\\%03o" % found[0][0])


def joined(there: bytes, given: bytes, placed: Mapping[bytes, bytes]) -> bytes:
    """What a folder's `.gitattributes` is to hold.

    Args:
        there: what it holds.
        given: lines that are to be in it.
        placed: the names of the files that go into the folder, with those that they get. A file that is no longer a
            pointer loses its line; a pointer under another name has its line there.
    """
    renamed = {line(name): line(at) for name, at in placed.items()}
    wanted = [renamed.get(one, one) for one in _lines(given)]
    gone = {line(at) for at in placed.values()} - set(wanted)
    kept = [one for one in _lines(there) if one.rstrip(b"\r") not in gone]
    known = {one.rstrip(b"\r") for one in kept}
    added = [one for one in dict.fromkeys(wanted) if one.rstrip(b"\r") not in known]
    if not added and len(kept) == len(_lines(there)):
        return there
    return b"".join(one + b"\n" for one in [*kept, *added])


def _lines(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    return lines if lines[-1] else lines[:-1]
