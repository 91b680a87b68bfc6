"""`mao dataset delete`, `move`, `changes`, `conflicts`: what is in a dataset, and changing it deliberately."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, dataset_argument
from mao.cli.output import moment, say
from mao.errors import OutsideFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

LONG_HISTORY = 900.0
"""Seconds that a node may take to fetch the history of a dataset for the first time."""


def _what(change: Any) -> str:
    paths = ", ".join(change["paths"])
    return f"moved {paths} to {change['to']}" if change["to"] else f"deleted {paths}"


_CHANGE_COLUMNS: dict[str, Callable[[Any], str]] = {
    "WHEN": lambda change: moment(change["at"]),
    "WHAT": _what,
    "REASON": lambda change: change["reason"],
    "BY": lambda change: f"{change['by']} on {change['node']}" if change["by"] else change["node"],
    "COMMIT": lambda change: change["commit"][:12],
}
_CONFLICT_COLUMNS: dict[str, Callable[[Any], str]] = {
    "PATH": lambda conflict: conflict["path"],
    "PUBLISHED AS": lambda conflict: conflict["published_as"],
    "NODE": lambda conflict: conflict["node"],
    "RUN": lambda conflict: conflict["run"],
    "ENDED": lambda conflict: moment(conflict["ended_at"]),
}


def _why(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say why, and who wants it."""
    by = click.option("--by", metavar="NAME", help="Who decided it; recorded with it.")
    return click.option("--reason", required=True, metavar="TEXT", help="Why; it stays in the history.")(by(command))


@click.command()
@dataset_argument
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@_why
@asks_node
def delete(client: Client, output: Output, *, name: str, paths: tuple[str, ...], reason: str, by: str | None) -> None:
    """Delete published files and folders from a dataset, by one commit that says why.

    All of them or none. They stay in the history, and on the nodes that made them.
    """
    _change(client, output, name, {"action": "delete", "paths": list(paths), "reason": reason, "by": by})


@click.command()
@dataset_argument
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@_why
@asks_node
def move(  # noqa: PLR0913  # what click hands over
    client: Client, output: Output, *, name: str, source: str, target: str, reason: str, by: str | None
) -> None:
    """Move a published file or folder to another path of its dataset, by one commit that says why.

    TO is the new path itself, and must not be there yet.
    """
    _change(client, output, name, {"action": "move", "paths": [source], "to": target, "reason": reason, "by": by})


def _change(client: Client, output: Output, name: str, body: Any) -> None:
    made = client.post(at("datasets", name, "changes"), body)
    if output.is_table:
        click.echo(made["commit"])
        what = _what(made)
        say(f"{what[0].upper()}{what[1:]} in '{name}'. The history keeps what was there.")
    else:
        output.json(made)


@click.command()
@dataset_argument
@asks_node
def changes(client: Client, output: Output, name: str) -> None:
    """List what was deleted from a dataset and moved in it by command, on any node, with the reasons."""
    made = client.pages(at("datasets", name, "changes"), timeout=LONG_HISTORY)
    output.values(made, _CHANGE_COLUMNS, f"Nothing was deleted from '{name}' or moved in it by command.")


@click.command()
@dataset_argument
@asks_node
def conflicts(client: Client, output: Output, name: str) -> None:
    """List the files of all nodes whose path held other content already, and where they were published.

    Those that were deleted or moved since by command are not listed. If the remote is away, the node lists what it
    knows of its own runs, and says so.
    """
    path = at("datasets", name, "conflicts")
    try:
        found = list(client.pages(path, timeout=LONG_HISTORY))
    except OutsideFailed as error:
        say(f"The remote cannot be asked, so these are of this node's runs alone ({error.detail})")
        found = list(client.pages(path, here="true"))
    output.values(found, _CONFLICT_COLUMNS, f"No file of a run met other content in '{name}'.")
