"""Which columns of a table can be drawn: those of numbers, over the one that holds times, or over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mao.web.page.tabling import number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mao.web.page.tabling import Table

MOST_POINTS = 300
MOST_SERIES = 6
_MOSTLY = 0.8
"""Which part of what a column has must be numbers, or times, for it to be one of these."""
_NAMES = ("time", "date", "stamp", "epoch", "when", "_at")
# Seconds, and milliseconds, since 1970, of the years 1980 to 2100.
_SECONDS = (315_532_800, 4_102_444_800)
_LONGEST = 40


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    Attributes:
        over: the name of the column that holds times; None where it is the number of the row.
        series: the names of the columns of numbers.
        points: each with its moment in seconds since 1970 (or the row's number), and a number, or None, a series.
        every: of how many rows one is a point.
    """

    over: str | None
    series: list[str]
    points: list[tuple[float, list[float | None]]]
    every: int

    def written(self, at: float) -> str:
        """The moment, or row, of a point as people read it."""
        if self.over is None:
            return f"{at:.0f}"
        return (
            datetime.fromtimestamp(at, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00").removesuffix(".000")
        )


def chart_of(table: Table) -> Chart | None:
    """What can be drawn of a table; None if it has no numbers."""
    rows = table.rows + table.end
    times = _times(table.columns, rows)
    column: int | None = None
    over: list[float | None] = []
    if times is not None:
        column, over = times
    else:
        rows = table.rows  # it is not known which numbers the last rows have
        over += map(float, range(1, len(rows) + 1))
    numbers = [
        place
        for place in range(len(table.columns))
        if place != column and _is_mostly([row[place] for row in rows], number)
    ][:MOST_SERIES]
    points = [
        (at, [number(row[place]) for place in numbers]) for at, row in zip(over, rows, strict=True) if at is not None
    ]
    if not numbers or len(points) < 2:  # noqa: PLR2004  # a line has two ends
        return None
    every = -(-len(points) // MOST_POINTS)
    drawn = points[::every]
    if table.end and column is not None:
        drawn.append((_between(table, over), [None] * len(numbers)))  # no line leads over what was not read
    drawn.sort(key=lambda point: point[0])
    return Chart(
        None if column is None else table.columns[column], [table.columns[place] for place in numbers], drawn, every
    )


def _between(table: Table, over: Sequence[float | None]) -> float:
    """A moment between the first rows and the last ones."""
    first = [at for at in over[: len(table.rows)] if at is not None]
    last = [at for at in over[len(table.rows) :] if at is not None]
    return (max(first, default=0.0) + min(last, default=max(first, default=0.0))) / 2


def _times(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[int, list[float | None]] | None:
    """The column that holds times, and these."""
    for place, name in enumerate(columns):
        cells = [row[place] for row in rows]
        named = any(part in name.casefold() for part in _NAMES)
        read = _either if named else moment
        if _is_mostly(cells, read):
            return place, [read(cell) for cell in cells]
    return None


def _is_mostly(cells: Sequence[str], read: Callable[[str], float | None]) -> bool:
    given = [cell for cell in cells if cell.strip()]
    return bool(given) and sum(1 for cell in given if read(cell) is not None) >= _MOSTLY * len(given)


def _either(text: str) -> float | None:
    found = moment(text)
    return found if found is not None else _since_1970(text)


def moment(text: str) -> float | None:
    """The moment that `text` names, in seconds since 1970; without a zone it is in UTC."""
    text = text.strip()
    if len(text) > _LONGEST or not ("-" in text[4:5] or "/" in text[4:5]):
        return None
    try:
        found = datetime.fromisoformat(text.replace("/", "-").removesuffix(" UTC"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _since_1970(text: str) -> float | None:
    value = number(text.strip())
    for divisor in (1, 1000):
        if value is not None and _SECONDS[0] <= value / divisor < _SECONDS[1]:
            return value / divisor
    return None
