"""How durations, sizes and numbers of things are said, at a terminal and on a page."""

from __future__ import annotations

SHOWN_BEFORE = 60
"""Characters of a long line that are shown before what is wrong in it."""


def seconds(number: float | None) -> str:
    """A duration in words."""
    if number is None:
        return ""
    minutes, rest = divmod(number, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02.0f} s" if minutes else f"{rest:.1f} s"


def size(number: float | None) -> str:
    """Bytes in words."""
    if number is None:
        return ""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":  # noqa: PLR2004  # as the prefixes have it
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
