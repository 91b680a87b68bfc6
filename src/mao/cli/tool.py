"""`mao tool`: the tools that are registered in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mao.cli.alarm import marked, of_tools
from mao.cli.asking import at
from mao.cli.lazy import LazyGroup
from mao.cli.options import administrator_option, asks_node, tool_argument
from mao.cli.output import moment, say
from mao.errors import ToolNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COMMANDS = {
    "list": "mao.cli.tool:list_tools",
    "search": "mao.cli.tool:search",
    "register": "mao.cli.tool:register",
    "show": "mao.cli.tool:show",
    "withdraw": "mao.cli.tool:withdraw",
    "install": "mao.cli.installing:install",
    "installed": "mao.cli.installing:installed",
    "update": "mao.cli.updating:update",
    "approve": "mao.cli.approving:approve",
    "approvals": "mao.cli.approving:approvals",
    "remove": "mao.cli.installing:remove",
    "help": "mao.cli.installing:show_help",
    "run": "mao.cli.running:run_tool",
    "log": "mao.cli.installing:log",
}

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "NAME": lambda tool: tool["name"],
    "COMMIT": lambda tool: tool["commit"][:12],
    "DATASET": lambda tool: tool["dataset"],
    "REGISTERED BY": lambda tool: tool["registered_by"],
    "DESCRIPTION": lambda tool: tool["definition"].get("Description", ""),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def tool() -> None:
    """Find, register, install and run tools."""


@click.command("list")
@asks_node
def list_tools(client: Client, output: Output) -> None:
    """List the tools that are registered in the cluster."""
    none = "No tool is registered yet. 'mao tool register URL' registers one."
    output.values(client.pages("/tools"), marked(client, output, _COLUMNS, "name"), none)


@click.command()
@click.argument("text")
@asks_node
def search(client: Client, output: Output, text: str) -> None:
    """List the registered tools that have TEXT in their name or description."""
    columns = marked(client, output, _COLUMNS, "name")
    output.values(client.pages("/tools", search=text), columns, f"No registered tool has '{text}' in it.")


@click.command()
@click.argument("url")
@click.option("--ref", help="Branch, tag or commit; the remote's HEAD if not given.")
@click.option("--name", help="The name that the definition must have.")
@click.option("--replace", is_flag=True, help="Replace the registration, with the commit that the ref names now.")
@administrator_option
@asks_node
def register(  # noqa: PLR0913  # what click hands over
    client: Client,
    output: Output,
    url: str,
    ref: str | None,
    name: str | None,
    *,
    replace: bool,
    as_administrator: bool,
) -> None:
    """Register the tool in the git repository at URL.

    The definition (mao.yaml) at its root is read and checked, and the commit is pinned. Prints the tool's name.
    """
    if Path(url).is_dir():
        url = str(Path(url).resolve())  # the node works in another directory
    body = {"url": url} | {key: value for key, value in (("ref", ref), ("name", name)) if value is not None}
    etag = client.ask("GET", at("tools", name or _name_of(client, url))).etag if replace else None
    tool = client.post("/tools", body, if_match=etag, as_administrator=as_administrator or None)
    if output.is_table:
        click.echo(tool["name"])
        say(
            f"{'Replaced' if replace else 'Registered'} '{tool['name']}' at commit {tool['commit'][:12]}, with the"
            f" dataset '{tool['dataset']}'. 'mao tool install {tool['name']}' installs it here."
        )
    else:
        output.json(tool)


def _name_of(client: Client, url: str) -> str:
    for tool in client.pages("/tools"):
        if tool["url"] == url:
            return str(tool["name"])
    raise ToolNotFound(
        f"No registered tool comes from {url}. If it has moved there, say which one it is with --name; if it is new,"
        " leave --replace away."
    )


@click.command()
@tool_argument
@asks_node
def show(client: Client, output: Output, tool: str) -> None:
    """Show a registered tool."""
    shown = client.get(at("tools", tool))
    output.value(shown, _lines)
    if output.is_table and (alarm := of_tools(client).get(shown["name"].lower())):
        say(f"Alarm since {moment(alarm['since'])}: {alarm['detail']}")


def _lines(tool: Any) -> Iterator[tuple[str, str]]:
    definition = tool["definition"]
    yield "name", tool["name"]
    yield "description", definition.get("Description", "")
    yield "url", tool["url"]
    yield "ref", tool["ref"]
    yield "commit", tool["commit"]
    yield "dataset", f"{tool['dataset']} ({definition['Data']['Repo']['Remote']})"
    yield "license", definition.get("License") or ""
    yield "registered", f"{moment(tool['registered_at'])} by {tool['registered_by']}"
    for i, command in enumerate(definition["Commands"]):
        arguments = " ".join(argument["Name"] for argument in command.get("Arguments") or ())
        yield "" if i else "commands", f"{command['Name']} {arguments}".strip() + f": {command.get('Description', '')}"


@click.command()
@tool_argument
@administrator_option
@asks_node
def withdraw(client: Client, output: Output, tool: str, *, as_administrator: bool) -> None:
    """Take a tool out of the registry. Where it is installed, it stays."""
    client.delete(at("tools", tool), as_administrator=as_administrator or None)
    if output.is_table:
        say(f"Withdrew '{tool}' from the registry.")
    else:
        output.json({"name": tool, "withdrawn": True})
