"""`mao token`: who else may ask this node, and for what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete
from mao.cli.output import moment, plain, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "NAME": lambda token: token["name"],
    "SCOPE": lambda token: token["scope"],
    "TOOLS": lambda token: "any" if token["tools"] is None else ", ".join(token["tools"]),
    "STATE": lambda token: "revoked" if token["revoked_at"] else "expired" if _has_expired(token) else "valid",
    "EXPIRES": lambda token: moment(token["expires_at"]) or "never",
    "LAST USED": lambda token: moment(token["last_used_at"]) or "never",
}


def _has_expired(token: Any) -> bool:
    return bool(token["expires_at"]) and datetime.fromisoformat(token["expires_at"]) <= datetime.now(UTC)


@click.group()
def token() -> None:
    """Let others use this node, as far as you say.

    On the node's own machine its owner needs no token.
    """


def _end(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """When a token is to expire: after a duration such as 90d, or at a day or moment."""
    if text is None or "-" in text:
        return text  # the node reads a day or a moment
    from pydantic import TypeAdapter, ValidationError

    from mao.fields import Duration

    try:
        seconds = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        raise click.BadParameter(f"'{text}' must be a duration such as 90d, or a day such as 2027-03-01.") from None
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(["read", "run", "admin"]),
    required=True,
    help="read: look; run: also start, cancel, publish and schedule runs; admin: everything.",
)
@click.option(
    "--tool",
    "tools",
    metavar="TOOL",
    multiple=True,
    shell_complete=complete("/tools", "name"),
    help="With the scope run: only of this tool; may be given several times. Looking is not limited.",
)
@click.option("--expires", metavar="WHEN", callback=_end, help="After a duration (90d), or at a day (2027-03-01).")
@asks_node
def create(client: Client, output: Output, name: str, scope: str, tools: tuple[str, ...], expires: str | None) -> None:
    """Make a token called NAME, and print it: it cannot be shown again."""
    body = {"name": name, "scope": scope, "tools": list(tools) or None, "expires_at": expires}
    made = client.post("/tokens", body)
    if not output.is_table:
        output.json(made)
        return
    click.echo(plain(made["token"]))
    say(
        "Keep it like a password: nobody can be shown it again. It goes into MAO_TOKEN, or 'Authorization: Bearer ...'."
    )


@token.command("list")
@asks_node
def list_tokens(client: Client, output: Output) -> None:
    """List the tokens there are and were. LAST USED is to the hour."""
    output.values(client.pages("/tokens"), _COLUMNS, "There is no token.")


@token.command()
@click.argument("name", shell_complete=complete("/tokens", "name"))
@asks_node
def revoke(client: Client, output: Output, name: str) -> None:
    """Revoke a token, with all sessions that began with it. It stays listed: records name it."""
    revoked = client.delete(at("tokens", name))
    output.value(revoked, lambda token: ((key.lower(), show(token)) for key, show in _COLUMNS.items()))


@token.command()
@asks_node
def link(client: Client, output: Output) -> None:
    """Print a link with which a browser signs in, once, within 15 minutes, as whoever asks for it."""
    made = client.post("/links")
    if output.is_table:
        click.echo(plain(made["url"]))
    else:
        output.json(made)
