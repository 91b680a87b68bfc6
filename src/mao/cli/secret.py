"""`mao secret`: the node's keyring, from which tools get secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete
from mao.cli.output import moment, say
from mao.errors import BadSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "SECRET": lambda secret: secret["name"],
    "FOR": lambda secret: ", ".join(secret["tools"]) or "any tool",
    "SET": lambda secret: moment(secret["set_at"]),
}

_name = click.argument("name", shell_complete=complete("/secrets", "name"))


@click.group()
def secret() -> None:
    """Keep secrets on this node, and give them to tools by name: an argument @keyring:NAME stands for one."""


@secret.command("set")
@_name
@click.option(
    "--tool",
    "tools",
    multiple=True,
    shell_complete=complete("/installations", "tool"),
    help="Give it to this tool alone, also when the user of another node starts it; may be repeated.",
)
@asks_node
def set_secret(client: Client, output: Output, name: str, tools: tuple[str, ...]) -> None:
    """Put a secret into the keyring, in place of one of that name. It is read from stdin, or asked for.

    Without --tool it may go to any tool that this node's own users start. A newline at its end is dropped.
    """
    kept = client.ask("PUT", at("secrets", name), {"value": _given(name), "tools": list(tools)}).json
    say(f"'{kept['name']}' is in the keyring. An argument @keyring:{kept['name']} stands for it.")
    if not output.is_table:
        output.json(kept)


def _given(name: str) -> str:
    """What is on stdin, or is typed without being shown. It is no argument: all users of a machine see those."""
    if sys.stdin.isatty():
        typed: str = click.prompt(f"The secret '{name}'", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise BadSecret(f"What was given for '{name}' is not UTF-8. Nothing was changed.") from None


@secret.command("list")
@asks_node
def list_secrets(client: Client, output: Output) -> None:
    """List the secrets in the keyring: their names, what they are for, and when they were set; never the values."""
    output.values(client.pages("/secrets"), _COLUMNS, "The keyring is empty.")


@secret.command("remove")
@_name
@asks_node
def remove(client: Client, output: Output, name: str) -> None:
    """Take a secret out of the keyring; runs that were started with it go on with it."""
    client.delete(at("secrets", name))
    say(f"'{name}' is no longer in the keyring.")
    if not output.is_table:
        output.json({"name": name})
