"""A look at a file whoever made it: as a table with a chart, as a picture, as text, or as bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mao.inspecting import PICTURES
from mao.web.page.charting import Chart, chart_of
from mao.web.page.tabling import Table, read_csv, read_json, read_json_lines

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 2_000_000
"""Bytes that are read of a file; JSON that has more is not understood."""
_TAIL = 1 << 16
_TEXT = 1 << 16
_BYTES = 256
_WIDTH = 16
_SHOWN = 100
"""Rows at the beginning, and at the end, that are shown."""

# What moves the cursor, has no form, or turns text round (Unicode's Cc but for line ends and tabs, and its controls of
# direction), and what is no character.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_FIRST_PICTURE = 0x2400
_SPACE, _DELETE = 0x20, 0x7F
"""Between them is what can be seen of ASCII."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table as it is shown; `number` counts from 1, and is None where the rows before were not read."""

    number: int | None
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What is shown of a file: one of these is there.

    Attributes:
        columns: of a table, with its rows: the first and the last ones, and how many are left out between them (None:
            that is not known).
        chart: of the table's numbers.
        picture: whether the file is one, to be shown as such.
        text: the beginning of a text.
        octets: lines of the first bytes of something else.
        whole: whether that is all of it.
    """

    columns: list[str] | None = None
    first: tuple[Row, ...] = ()
    last: tuple[Row, ...] = ()
    left_out: int | None = 0
    more_columns: int = 0
    chart: Chart | None = None
    picture: bool = False
    text: str | None = None
    octets: tuple[str, ...] = ()
    whole: bool = True


def look(name: str, media_type: str, size: int, part: Callable[[int, int], bytes]) -> Glimpse:
    """What is shown of a file.

    Args:
        name: of it, whose ending tells of tables.
        media_type: as `inspecting` has it.
        size: in bytes.
        part: reads at most so many bytes of it from a place on.
    """
    if media_type in PICTURES:
        return Glimpse(picture=True)
    if not media_type.startswith("text/"):
        return Glimpse(octets=tuple(_octets(part(0, _BYTES))), whole=size <= _BYTES)
    head = part(0, MOST)
    tail = part(size - _TAIL, _TAIL) if size > MOST else b""
    table = _table(name.lower(), head, tail)
    if table is not None:
        return _shown(table)
    # The last character may have been cut in two.
    text = head[:_TEXT].decode("utf-8", "replace").rstrip("\ufffd")
    return Glimpse(text=visible(text.replace("\r\n", "\n")), whole=size <= _TEXT)


def _table(name: str, head: bytes, tail: bytes) -> Table | None:
    if name.endswith(".csv"):
        return read_csv(head, tail)
    if name.endswith((".tsv", ".tab")):
        return read_csv(head, tail, tabs=True)
    if name.endswith((".ndjson", ".jsonl")):
        return read_json_lines(head, tail)
    if name.endswith((".json", ".geojson")):
        return (read_json(head) if not tail else None) or _several(head, tail)
    return None


def _several(head: bytes, tail: bytes) -> Table | None:
    """Some tools write JSON of one value a line into files that are called as if it were one."""
    return read_json_lines(head, tail) if head.lstrip()[:1] == b"{" and b"\n{" in head else None


def _shown(table: Table) -> Glimpse:
    rows = [Row(at, [visible(cell, lines=True) for cell in row]) for at, row in enumerate(table.rows[:_SHOWN], 1)]
    columns = [visible(name, lines=True) for name in table.columns]
    last: list[tuple[int | None, list[str]]] = [(None, row) for row in table.end[-_SHOWN:]]
    left_out = None
    if not table.end:
        begin = max(_SHOWN, len(table.rows) - _SHOWN)
        last = list(enumerate(table.rows[begin:], begin + 1))
        left_out = begin - len(rows) if last else 0
    return Glimpse(
        columns=columns,
        first=tuple(rows),
        last=tuple(Row(at, [visible(cell, lines=True) for cell in row]) for at, row in last),
        left_out=left_out,
        more_columns=table.more_columns,
        chart=chart_of(replace(table, columns=columns)),
    )


def _octets(content: bytes) -> list[str]:
    found = []
    for at in range(0, len(content), _WIDTH):
        line = content[at : at + _WIDTH]
        text = "".join(chr(octet) if _SPACE <= octet < _DELETE else "·" for octet in line)
        found.append(f"{at:04x}  {line.hex(' '):<{3 * _WIDTH - 1}}  {text}")
    return found


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with what cannot be seen in it made visible; with `lines`, ends of lines and tabs, too."""
    text = _UNSEEN.sub(lambda found: _seen(found[0]), text)
    return re.sub("[\n\t]", lambda found: _seen(found[0]), text) if lines else text


def _seen(character: str) -> str:
    code = ord(character)
    if code < _SPACE:  # Unicode has pictures of ASCII's controls, in the same order
        return chr(_FIRST_PICTURE + code)
    return "\u2421" if code == _DELETE else f"\\u{code:04x}"
