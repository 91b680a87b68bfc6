"""What a job has printed, in parts: windows that are cut at lines, and a search. It may still grow, or be gone."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WINDOW_BYTES = 65_536
WINDOW_LINES = 500
SEARCHED = 8_000_000
"""Bytes that one search looks through."""
LONGEST_TEXT = 200
"""Characters that can be searched for."""

_BEFORE = 16_384
"""Bytes before a window in which is looked for what its colours are."""
_SHOWN_BEFORE = 5
"""Lines before the one that is searched for."""
_REWRITTEN = 16_384
"""Bytes up to which a line that is not over is given again, with what has come since."""
_CHUNK = 1_000_000
_PATIENCE = 1.0
"""Seconds after which a search stops where it is: the disk may be slow."""
_LINE_SHOWN = 500
"""Bytes of a line that a search gives."""
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\))")
"""What a terminal does not show; a text may be found around it."""
_BETWEEN = 1_024
"""Bytes of sequences that may be within a text that is found."""
_CUT_SHORT = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]P^_X][^\x07\x1b\n]{0,2000}\x1b?|[ -/]*)?\Z")
"""An escape sequence of which a part is missing at the end."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a log."""

    content: bytes
    start: int
    size: int
    """Bytes that the log had."""
    before: bytes
    """What comes right before, or the end of it: it says in which colours this begins."""
    following: int
    """Where to go on: at the end, or if the last line is not over, where that begins."""

    @property
    def end(self) -> int:
        return self.start + len(self.content)

    @property
    def begins_line(self) -> bool:
        return not self.before or self.before.endswith(b"\n")


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found."""

    offset: int | None
    """Where the text is; None if it was not found, as far as was looked."""
    length: int
    """Bytes of it."""
    line: str | None
    """The line that it is in, or the part around it."""
    scanned_to: int
    """Where to go on."""
    size: int
    """Bytes that the log had; it was looked through to its end if that is `scanned_to`."""


def size_of(path: Path) -> int:
    """Bytes of a log; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def window_from(path: Path, start: int, *, over: bool, least: int = 0) -> Window:
    """The window that begins at `start`.

    Args:
        path: of the log.
        start: where it begins, in bytes.
        over: whether nothing more will come: then half a character at the end belongs to it.
        least: up to where it has to reach, even if that is within a line.
    """
    return _opened(path, lambda file, size: _from(file, size, min(start, size), over=over, least=least))


def window_before(path: Path, end: int | None = None, *, over: bool) -> Window:
    """The window that ends at `end`: at the end of the log, if that is not given."""
    return _opened(path, lambda file, size: _until(file, size, size if end is None else min(end, size), over=over))


def window_around(path: Path, offset: int, *, over: bool) -> Window:
    """The window in which `offset` is, with some lines before it."""

    def around(file: BinaryIO, size: int) -> Window:
        at = min(offset, size)
        back = _read(file, max(0, at - _BEFORE // 2), at)
        start = len(back)
        for _ in range(_SHOWN_BEFORE + 1):
            start = back.rfind(b"\n", 0, start)
            if start < 0:
                break
        if start < 0 and len(back) < at:  # a line that is longer than can be shown with it
            start = max(back.find(b"\n"), len(back) - _BEFORE // 8 - 1)
        start = at - len(back) + _whole(back[start + 1 :]) + start + 1
        return _from(file, size, start, over=over, least=at + 1)

    return _opened(path, around)


def _opened(path: Path, read: Callable[[BinaryIO, int], Window]) -> Window:
    try:
        with path.open("rb") as file:
            return read(file, file.seek(0, 2))
    except FileNotFoundError:
        return Window(b"", 0, 0, b"", 0)


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _from(file: BinaryIO, size: int, start: int, *, over: bool, least: int) -> Window:
    first = max(0, start - _BEFORE)
    data = _read(file, first, min(size, start + WINDOW_BYTES))
    before, content = data[: start - first], data[start - first :]
    content = content[: _cut(content, least - start, more=start + len(content) < size, over=over)]
    return _window(content, start, size, before, over=over)


def _until(file: BinaryIO, size: int, end: int, *, over: bool) -> Window:
    first = max(0, end - WINDOW_BYTES - _BEFORE)
    data = _read(file, first, end)
    if end == size and not over:
        data = data[: len(data) - _unfinished(data)]
    at = max(0, len(data) - WINDOW_BYTES)
    if at or first:
        line = data.find(b"\n", at - 1 if at else 0) + 1
        at = line if 0 < line < len(data) else at + _whole(data[at:])
    lines, back = 0, len(data) - 1
    while back > at and lines < WINDOW_LINES:
        back = data.rfind(b"\n", at, back)
        lines += 1
    if lines == WINDOW_LINES and back >= at:
        at = back + 1
    return _window(data[at:], first + at, size, data[max(0, at - _BEFORE) : at], over=over)


def _window(content: bytes, start: int, size: int, before: bytes, *, over: bool) -> Window:
    end = start + len(content)
    line = content.rfind(b"\n") + 1
    rewritten = line or not before or before.endswith(b"\n")
    again = rewritten and not over and _unfinished_line(content, line) and end + 4 >= size
    return Window(content, start, size, before, start + line if again else end)


def _unfinished_line(content: bytes, line: int) -> bool:
    return 0 < len(content) - line <= _REWRITTEN


def _cut(content: bytes, least: int, *, more: bool, over: bool) -> int:
    """How much of `content` belongs to a window; `more` follows it."""
    end = -1
    for _ in range(WINDOW_LINES):
        found = content.find(b"\n", end + 1)
        if found < 0:
            break
        end = found
    else:
        return end + 1
    if more:
        # A line that is written over and over is cut where it begins anew.
        end = max(end, content.rfind(b"\r", 0, len(content) - 1) if end < 0 else -1)
        if end >= max(least, 0):
            return end + 1
    return len(content) if over and not more else len(content) - _unfinished(content)


def _unfinished(content: bytes) -> int:
    """Bytes at the end that are the beginning of a character or of an escape sequence."""
    escape = content.rfind(b"\x1b", -2048)
    if escape > 0 and _CUT_SHORT.match(content, escape):
        return len(content) - escape
    for back in range(1, min(3, len(content) - 1) + 1):
        byte = content[-back]
        if byte >= 0xC0:  # noqa: PLR2004  # the first of a character of UTF-8
            return back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else 0  # noqa: PLR2004  # likewise
        if byte < 0x80:  # noqa: PLR2004  # likewise
            break
    return 0


def _whole(content: bytes) -> int:
    """Bytes at the beginning that are the rest of a character."""
    return next((i for i, byte in enumerate(content[:4]) if byte & 0xC0 != 0x80), 0)  # noqa: PLR2004  # those of UTF-8


def search(path: Path, text: str, start: int = 0, *, most: int = SEARCHED) -> Found:
    """Where `text` comes next, in whatever case; looked for in `most` bytes from `start` on, for a second or so.

    Sequences for colours within it do not matter.
    """
    pattern = _pattern(text)
    longest = 4 * len(text) + _BETWEEN  # characters may be longer in the other case
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return Found(None, 0, None, start, 0)
    with file:
        size = file.seek(0, 2)
        end = min(size, start + most)
        deadline = time.monotonic() + _PATIENCE
        while start < end:
            data = _read(file, start, min(size, start + _CHUNK + longest))
            if found := pattern(_SEQUENCE.sub(b"", data) if b"\x1b" in data else data):
                at = _raw(data, found[0])
                length = _raw(data, sum(found) - 1) + 1 - at
                return Found(start + at, length, _line(file, start + at, size), start + at + length, size)
            start = min(start + _CHUNK, size)
            if time.monotonic() > deadline:
                break
        return Found(None, 0, None, min(start, size), size)


def _pattern(text: str) -> Callable[[bytes], tuple[int, int] | None]:
    if text.isascii():
        needle = text.lower().encode()

        def plain(data: bytes) -> tuple[int, int] | None:
            at = data.lower().find(needle)
            return None if at < 0 else (at, len(needle))

        return plain
    letters = [{letter, letter.lower(), letter.upper()} for letter in text]
    either = [b"(?:%s)" % b"|".join(re.escape(each.encode("utf-8", "replace")) for each in known) for known in letters]
    compiled = re.compile(b"".join(either))

    def varied(data: bytes) -> tuple[int, int] | None:
        found = compiled.search(data)
        return (found.start(), len(found[0])) if found else None

    return varied


def _raw(data: bytes, at: int) -> int:
    """Where something is in `data` that is at `at` without the sequences."""
    if b"\x1b" in data:
        for sequence in _SEQUENCE.finditer(data):
            if sequence.start() > at:
                break
            at += len(sequence[0])
    return at


def _line(file: BinaryIO, at: int, size: int) -> str:
    first = max(0, at - _LINE_SHOWN // 2)
    data = _read(file, first, min(size, at + _LINE_SHOWN // 2))
    begin = data.rfind(b"\n", 0, at - first) + 1
    end = data.find(b"\n", at - first)
    return _SEQUENCE.sub(b"", data[begin : len(data) if end < 0 else end]).decode("utf-8", "replace")
