"""CSV and JSON as a table, whatever is in them, within bounds: a tool made them, and who looks at them waits."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_ROWS = 20_000
"""Rows that are read."""
MOST_COLUMNS = 50
LONGEST = 200
"""Characters of a cell that are read."""
_END = 100
"""Rows that are read from the end of a file that is too large to be read whole."""
_SAMPLE = 20
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Table:
    """What was read of a table.

    Attributes:
        columns: their names.
        rows: the first ones; each has a text for each column.
        end: the last ones of a file that was not read whole.
        more_columns: how many columns were left out.
    """

    columns: list[str]
    rows: list[list[str]]
    end: list[list[str]]
    more_columns: int = 0


def read_csv(head: bytes, tail: bytes = b"", *, tabs: bool = False) -> Table | None:
    """The table that the text of a CSV file holds; None if it holds none.

    Args:
        head: the file, or its beginning.
        tail: the end of a file of which `head` is but the beginning.
        tabs: whether its values are known to be parted by tabs.
    """
    text = head.decode("utf-8-sig", "replace")
    text = _whole_lines(text, bool(tail))
    delimiter = "\t" if tabs else _delimiter(text)
    rows = _cut(_csv_rows(text, delimiter), MOST_ROWS + 1)
    if not rows:
        return None
    end: list[list[str]] = []
    if tail or len(rows) > MOST_ROWS:
        rest = tail or head[-(1 << 16) :]
        end = _cut(_csv_rows(rest.decode("utf-8", "replace").partition("\n")[2], delimiter), MOST_ROWS)[-_END:]
    width = min(max(map(len, rows)), MOST_COLUMNS)
    named = len(rows) > 1 and all(name.strip() and number(name) is None for name in rows[0])
    names = rows.pop(0) if named else [str(place) for place in range(1, width + 1)]
    columns = [*names, *(str(place) for place in range(len(names) + 1, width + 1))][:width]
    more = max(map(len, [names, *rows]), default=width) - width
    return Table(columns, _even(rows[:MOST_ROWS], width), _even(end, width), max(0, more))


def _whole_lines(text: str, cut: bool) -> str:  # noqa: FBT001  # it is said of the text
    """`text` without the line that was cut off at its end; a line without end stays."""
    return text.rpartition("\n")[0] or text if cut else text


def _delimiter(text: str) -> str:
    lines = [line for line in islice(io.StringIO(text), _SAMPLE) if line.strip()]

    def fit(delimiter: str) -> tuple[int, int]:
        counts = [line.count(delimiter) for line in lines]
        return sum(1 for count in counts if count and count == counts[0]), sum(counts)

    return max(_DELIMITERS, key=fit)


def _csv_rows(text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield row
    except csv.Error:  # a value that is longer than any should be: what came before it is there
        return


def _cut(rows: Iterable[list[str]], most: int) -> list[list[str]]:
    """The first rows, without what is beyond the bounds; of each one more column than is shown, to tell that it is."""
    return [[cell[:LONGEST] for cell in row[: MOST_COLUMNS + 1]] for row in islice(rows, most)]


def _even(rows: list[list[str]], width: int) -> list[list[str]]:
    return [[*row[:width], *[""] * (width - len(row))] for row in rows]


def read_json(content: bytes) -> Table | None:
    """The table that a JSON text holds; None if it is none, or is no JSON."""
    value = _parsed(content)
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list) and each]
        if lists and len(lists) == len(value) and not isinstance(lists[0][0], dict | list):
            return _of_columns({str(name): each for name, each in value.items()})
        tables = [each for each in lists if isinstance(each[0], dict | list)]
        value = max(tables, key=len) if tables else [value]
    return _of_items(value) if isinstance(value, list) and value else None


def read_json_lines(head: bytes, tail: bytes = b"") -> Table | None:
    """The table that the JSON values of lines make; None if they make none. `head` and `tail` as of `read_csv`."""
    text = _whole_lines(head.decode("utf-8-sig", "replace"), bool(tail))
    items = list(islice(_line_values(text), MOST_ROWS + 1))
    if not items:
        return None
    end: list[Any] = []
    if tail or len(items) > MOST_ROWS:
        rest = tail or head[-(1 << 16) :]
        end = list(_line_values(rest.decode("utf-8", "replace").partition("\n")[2]))[-_END:]
    return _of_items(items[:MOST_ROWS], end)


def _line_values(text: str) -> Iterator[Any]:
    for line in text.split("\n"):
        value = _parsed(line.encode("utf-8", "replace")) if line.strip() else None
        if value is not None:
            yield value


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):  # also of numbers that are too long, and of what is nested too deep
        return None


def _of_columns(value: dict[str, list[Any]]) -> Table:
    names = list(value)[:MOST_COLUMNS]
    length = min(max(map(len, value.values())), MOST_ROWS)
    rows = [[_text(value[name][at]) if at < len(value[name]) else "" for name in names] for at in range(length)]
    return Table([name[:LONGEST] for name in names], rows, [], len(value) - len(names))


def _of_items(items: list[Any], end: list[Any] | None = None) -> Table | None:
    end = end if end is not None else items[MOST_ROWS:][-_END:]
    items = items[:MOST_ROWS]
    if all(isinstance(item, list) for item in items):
        width = min(max(map(len, items)), MOST_COLUMNS)
        if not width:
            return None
        rest = [item for item in end if isinstance(item, list)]
        rows, last = ([[_text(cell) for cell in item[:width]] for item in part] for part in (items, rest))
        columns = [str(place) for place in range(1, width + 1)]
        return Table(columns, _even(rows, width), _even(last, width), max(map(len, items)) - width)
    names = dict.fromkeys(key for item in items if isinstance(item, dict) for key in islice(item, MOST_COLUMNS * 2))
    if not names and any(isinstance(item, dict | list) for item in items):
        return None
    columns = list(names)[:MOST_COLUMNS] or ["value"]
    rows, last = ([_row(item, columns) for item in part] for part in (items, end))
    return Table([name[:LONGEST] for name in columns], rows, last, max(0, len(names) - len(columns)))


def _row(item: Any, columns: list[str]) -> list[str]:
    if isinstance(item, dict):
        return [_text(item[name]) if name in item else "" for name in columns]
    return [_text(item), *[""] * (len(columns) - 1)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:LONGEST]
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)[:LONGEST]
    except (ValueError, RecursionError):
        return "…"


def number(text: str) -> float | None:
    """The finite number that `text` is, written as programs do."""
    if not text or len(text) > LONGEST or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
