"""`mao tool update`: see what another commit of a tool would change, then install it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.installing import begin
from mao.cli.options import asks_node, installed_argument
from mao.cli.output import say
from mao.errors import NotInstalled

if TYPE_CHECKING:
    from mao.cli.asking import Client
    from mao.cli.output import Output

_SHOWN_FILES = 30
_FETCH = 900.0
"""Seconds that the node may take to fetch the two commits."""


@click.command()
@installed_argument
@click.option("--commit", metavar="SHA", help="Change to this commit, not to the one that the ref names now.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return when it has begun.")
@asks_node
def update(client: Client, output: Output, tool: str, commit: str | None, *, yes: bool, no_wait: bool) -> None:
    """Show what the newest commit of a tool changes in its definition, its installer and its files; then install it."""
    installation = client.get(at("installations", tool))
    if installation["commit"] is None:
        raise NotInstalled(
            f"'{tool}' is not installed yet: its installation is {installation['state']}"
            f" ({installation['attempt']['detail'] or installation['attempt']['step']})."
            f" 'mao tool install {tool}' installs it."
        )
    preview = client.get(at("installations", tool, "update"), timeout=_FETCH, commit=commit)
    if preview["old_commit"] == preview["new_commit"]:
        say(f"'{preview['tool']}' is at commit {preview['new_commit'][:12]} already: nothing to do.")
        if not output.is_table:
            output.json(installation)
        return
    _show(preview)
    if not yes:
        _ask(preview)
    begin(client, output, preview["tool"], preview["new_commit"], no_wait=no_wait)


def _show(preview: Any) -> None:
    say(f"'{preview['tool']}' would go from commit {preview['old_commit'][:12]} to {preview['new_commit'][:12]}.")
    for what, diff in (("definition", preview["definition_diff"]), ("installer", preview["installer_diff"])):
        say(f"\nThe {what} changes:\n{diff.rstrip()}" if diff else f"The {what} stays the same.")
    files = preview["changed_files"]
    if files:
        more = f"\n  ... and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
        say("\nFiles that change:\n" + "\n".join(f"  {path}" for path in files[:_SHOWN_FILES]) + more)


def _ask(preview: Any) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on whether to do it. Look at what changes and give --yes.")
    click.confirm(f"Install commit {preview['new_commit'][:12]}?", abort=True, err=True)
