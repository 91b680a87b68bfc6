"""`mao alarm`: what is not as it should be; and the mark beside the tools that it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.options import asks_node
from mao.cli.output import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

Columns = dict[str, "Callable[[Any], str]"]

_COLUMNS: Columns = {
    "SINCE": lambda alarm: moment(alarm["since"]),
    "ALARM": lambda alarm: alarm["kind"],
    "SUBJECT": lambda alarm: alarm["subject"],
    "DETAIL": lambda alarm: alarm["detail"],
}


@click.group()
def alarm() -> None:
    """Look at what is not as it should be."""


@alarm.command("list")
@click.option("--kind", type=click.Choice(["tag-moved"]), help="Alarms of this kind.")
@asks_node
def list_alarms(client: Client, output: Output, kind: str | None) -> None:
    """List the alarms of this node. Each goes when its cause does."""
    output.values(client.pages("/alarms", kind=kind), _COLUMNS, "There is no alarm.")


def of_tools(client: Client) -> dict[str, Any]:
    """The alarms about tools, by the tool's name in lower case."""
    return {alarm["subject"].lower(): alarm for alarm in client.pages("/alarms", kind="tag-moved")}


def marked(client: Client, output: Output, columns: Columns, tool: str) -> Columns:
    """`columns` with one for alarms before the last, if a tool has one; `tool` is the key of the tools' names."""
    alarms = of_tools(client) if output.is_table else {}
    if not alarms:
        return columns
    *first, last = columns.items()

    def kind(value: Any) -> str:
        return alarms[value[tool].lower()]["kind"] if value[tool].lower() in alarms else ""

    return dict([*first, ("ALARM", kind), last])
