"""What commands print: data on stdout, as a table or as JSON; talk on stderr."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from mao.wording import SHOWN_BEFORE, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FORMATS = ("table", "json", "ndjson")

_GREEN, _YELLOW, _RED, _CYAN = "32", "33", "31", "36"
_COLOURS = {
    **dict.fromkeys(("succeeded", "installed", "ready", "published", "ok", "ran", "active"), _GREEN),
    **dict.fromkeys(("unpublished", "cancelled", "waiting", "kept", "warn"), _YELLOW),
    **dict.fromkeys(("ran-late", "skipped-overlap", "paused"), _YELLOW),
    **dict.fromkeys(("failed", "timed-out", "lost", "blocked", "fail", "tag-moved"), _RED),
    **dict.fromkeys(("missed", "skipped-late", "tool-missing"), _RED),
    **dict.fromkeys(("queued", "running", "publishing", "installing", "cloning", "refreshing"), _CYAN),
}
_NARROWEST = 20
"""Characters that a cut column keeps at least."""


class Output:
    """Where the data of one command goes, in one of `FORMATS`."""

    def __init__(self, form: str = "table") -> None:
        self.form = form

    @property
    def is_table(self) -> bool:
        return self.form == "table"

    def value(self, value: Any, lines: Callable[[Any], Iterable[tuple[str, str]]], like: str = "") -> None:
        """One value: as JSON, or as `lines` of a label and a text; the texts stand where they do beside `like`."""
        if self.is_table:
            labelled = list(lines(value))
            width = max(len(like), *(len(label) for label, _ in labelled)) + 2
            for label, text in labelled:
                first, *more = plain(text).split("\n")
                click.echo(f"{label:<{width}}{_coloured(first, first)}".rstrip())
                for line in more:
                    click.echo(" " * width + line)
        else:
            self.json(value)

    def newest(self, values: Iterable[Any], columns: Mapping[str, Callable[[Any], str]], none: str, limit: int) -> None:
        """At most `limit` (0: all) of a list whose newest come first; that there are more is said."""
        listed = list(islice(values, limit + 1 if limit else None))
        self.values(listed[: limit or None], columns, none)
        if limit and len(listed) > limit:
            say(f"There are older ones: --limit {limit * 10} or --limit 0 shows them.")

    def values(self, values: Iterable[Any], columns: Mapping[str, Callable[[Any], str]], none: str) -> None:
        """A list: as JSON, or as a table with these columns; `none` is said if there is nothing in it."""
        if self.form == "ndjson":
            for value in values:
                self.json(value)
        elif self.form == "json":
            self.json(list(values))
        else:
            rows = [[_one_line(text(value)) for text in columns.values()] for value in values]
            if rows:
                _print_table(list(columns), rows)
            else:
                say(none)

    def json(self, value: Any) -> None:
        """`value` as JSON, on one line for `ndjson`."""
        text = json.dumps(value, indent=2 if self.form == "json" else None, ensure_ascii=False)
        click.echo(text.encode("utf-8", "replace"))  # JSON is UTF-8 (RFC 8259, 8.1), whatever the terminal is set to


def say(words: str) -> None:
    """Tell the person at the terminal something that is no data."""
    click.echo(plain(words), err=True)


def mao(command: str) -> str:
    """A command that is advised, in quotation marks: it asks the node that the present one asks."""
    context = click.get_current_context(silent=True)
    asked = context.obj if context is not None and isinstance(context.obj, dict) else {}
    return f"'mao {command} --node {asked['node']}'" if asked.get("node") else f"'mao {command}'"


def raw(text: str, *, err: bool = False) -> None:
    """Pass on what a tool prints, as it is and at once."""
    click.echo(text.encode("utf-8", "backslashreplace"), nl=False, err=err)


def plain(text: str) -> str:
    """`text` without what could steer a terminal: it may come from another node or a remote."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def with_lines(detail: str, faults: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with a definition, each fault followed by its line and a caret below the column."""
    told = detail.split("\n")
    for place, fault in enumerate(faults[: len(told)]):
        if text := fault.get("text"):
            caret = " " * min(fault["column"] - 1, SHOWN_BEFORE)
            told[place] += f"\n    {text}\n    {caret}^"
    return "\n".join(told)


def moment(text: str | None) -> str:
    """A time in RFC 3339 as people here read it."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else ""


def between(start: str | None, end: str | None) -> str:
    """How long it took from one time to another."""
    if start is None or end is None:
        return ""
    return seconds((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())


def _coloured(text: str, word: str) -> str:
    colour = _COLOURS.get(word.split(" ", maxsplit=1)[0].rstrip(":,"))
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\033[{colour}m{text}\033[0m" if colour and wanted else text


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(_width(row[i]) for row in [head, *rows]) for i in range(len(head))]
    if sys.stdout.isatty():
        # Only the last column is cut, and only for eyes: what goes into a pipe is whole.
        left = (os.get_terminal_size(sys.stdout.fileno()).columns or 80) - sum(widths[:-1]) - 2 * len(head[1:])
        widths[-1] = min(widths[-1], max(left, _NARROWEST))
    click.echo("  ".join(_padded(name, width) for name, width in zip(head, widths, strict=True)).rstrip())
    for row in rows:
        cells = [_coloured(_padded(cell, width), cell) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _padded(text: str, width: int) -> str:
    if _width(text) > width:
        while _width(text) >= width:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))
