"""`mao audit`: who asked this node to change something, when, from where, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.options import asks_node
from mao.cli.output import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output


def _about(entry: Any) -> str:
    named = " ".join(f"{key}={value}" for key, value in entry["about"].items())
    return f"{entry['method']} {entry['path']} {named}".rstrip()


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "TIME": lambda entry: moment(entry["at"]),
    "WHO": lambda entry: entry["caller"],
    "FROM": lambda entry: entry["origin"],
    "OUTCOME": lambda entry: f"{entry['outcome']} ({entry['code']})" if entry["code"] else entry["outcome"],
    "WHAT": _about,
}


def _between(command: Callable[..., None]) -> Callable[..., None]:
    caller = click.option("--who", "caller", metavar="CALLER", help="Of this caller: owner, token:NAME, node:NAME.")
    first = click.option("--since", metavar="WHEN", help="Asked from this day (in UTC) or moment on.")
    last = click.option("--until", metavar="WHEN", help="Asked up to this day (in UTC) or moment.")
    return caller(first(last(command)))


@click.group()
def audit() -> None:
    """Look at who asked this node to change something, and export it."""


@audit.command("list")
@_between
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="At most so many; 0: all.")
@asks_node
def list_entries(client: Client, output: Output, limit: int, **filters: Any) -> None:
    """List what was asked of this node that would change something, the newest first."""
    page_size = min(limit + 1, 500) if limit else 500
    entries = client.pages("/audit", page_size=page_size, **filters)
    output.newest(entries, _COLUMNS, "The audit log has no such entry.", limit)


@audit.command()
@_between
@asks_node
def export(client: Client, output: Output, **filters: Any) -> None:
    """Print the entries of the audit log, the oldest first; with -o ndjson, one on each line, as they come."""
    output.values(client.pages("/audit", order="oldest", **filters), _COLUMNS, "The audit log has no such entry.")
