"""`mao node`: the nodes of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete
from mao.cli.output import moment, say
from mao.errors import MaoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "NAME": lambda node: node["name"] + (" (here)" if node["here"] else ""),
    "URL": lambda node: node["url"] or "",
    "VERSION": lambda node: node["version"],
    "SINCE": lambda node: moment(node["since"]),
    "LAST SEEN": lambda node: moment(node["last_seen"]),
    "TOOLS": lambda node: ", ".join(f"{tool} {commit[:12]}" for tool, commit in node["tools"].items()),
}


@click.group()
def node() -> None:
    """Look at the nodes of the cluster."""


@node.command("list")
@asks_node
def list_nodes(client: Client, output: Output) -> None:
    """List the nodes that are in the cluster now. One that dies is gone when its lease ends."""
    nodes = list(client.pages("/nodes"))
    output.values(nodes, _COLUMNS, "No node is in the cluster now.")
    if not any(node["here"] for node in nodes):
        say(f"The node that was asked is not among them: {_unannounced(client)}")


def _unannounced(client: Client) -> str:
    """Why the node that `client` asks is not among those that are listed."""
    try:
        findings = client.get("/health")["findings"]
    except MaoError as error:
        return error.detail
    return next((each["advice"] for each in findings if each["check"] == "announced"), "")


@node.command()
@click.argument("name", shell_complete=complete("/nodes", "name"))
@asks_node
def show(client: Client, output: Output, name: str) -> None:
    """Show a node of the cluster: where it is, and which tools it has."""
    output.value(client.get(at("nodes", name)), _lines)


def _lines(node: Any) -> Iterator[tuple[str, str]]:
    yield "name", node["name"] + (" (here)" if node["here"] else "")
    yield "url", node["url"] or "none: other nodes cannot ask it"
    yield "version", node["version"]
    yield "since", moment(node["since"])
    yield "tools run", {True: "in a sandbox", False: "without a sandbox", None: ""}[node.get("sandbox")]
    yield "last seen", moment(node["last_seen"])
    yield "tools", "\n".join(f"{tool} at commit {commit}" for tool, commit in node["tools"].items()) or "none"
