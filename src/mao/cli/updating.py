"""`mao tool update`: see what another commit of a tool would change, then install it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.installing import begin
from mao.cli.options import asks_node, installed_argument
from mao.cli.output import say
from mao.errors import Denied, NotInstalled, by_code
from mao.wording import count

if TYPE_CHECKING:
    from mao.cli.asking import Client
    from mao.cli.output import Output

_SHOWN_FILES = 30
_MODES = {"100755": "program", "120000": "symbolic link", "160000": "submodule"}
FETCH = 900.0
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
    preview = client.get(at("installations", tool, "update"), timeout=FETCH, commit=commit)
    if preview["old_commit"] == preview["new_commit"]:
        say(f"'{preview['tool']}' is at commit {preview['new_commit'][:12]} already: nothing to do.")
        if not output.is_table:
            output.json(installation)
        return
    show(preview)
    if preview["error"]:
        raise by_code().get(preview["error"], Denied)(preview["detail"])
    if not yes:
        ask(f"Install commit {preview['new_commit'][:12]}?")
    begin(client, output, preview["tool"], preview["new_commit"], no_wait=no_wait)


def show(preview: Any) -> None:
    """Tell what would change; first of all, if data would go elsewhere."""
    _tell_places(preview)
    for what, diff in (("definition", preview["definition_diff"]), ("installer", preview["installer_diff"])):
        changes = "changes" if preview["old_commit"] else "is"
        say(f"\nThe {what} {changes}:\n{diff.rstrip()}" if diff else f"The {what} stays the same.")
    files = preview["files"]
    if files:
        added, removed = (sum(file[key] or 0 for file in files) for key in ("added_lines", "removed_lines"))
        more = f"\n  ... and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
        listed = "\n".join(f"  {_file(file)}" for file in files[:_SHOWN_FILES])
        say(f"\nFiles that change ({count(len(files), 'file')}, {added:+} and -{removed} lines):\n{listed}{more}")
    if preview["text"]:
        say(f"\n{preview['text'].rstrip()}")
    if preview["left_out"]:
        say("\nNOT SHOWN line by line, as they are too large or too many: " + ", ".join(preview["left_out"]))


def _tell_places(preview: Any) -> None:
    new = preview["new_commit"][:12]
    if preview["old_commit"] is None:
        say(f"'{preview['tool']}' would be installed here at commit {new}. It comes from {preview['new_url']}.")
        say(f"Its data will go to {preview['new_remote']}.")
        return
    say(f"'{preview['tool']}' would go from commit {preview['old_commit'][:12]} to {new}.")
    if preview["new_url"] != preview["old_url"]:
        say(f"\nIT COMES FROM {preview['new_url']}\ninstead of    {preview['old_url']}.\n")
    if preview["new_remote"] != preview["old_remote"]:
        say(f"\nITS DATA WILL GO TO {preview['new_remote']}\ninstead of          {preview['old_remote']}.\n")


def _file(file: Any) -> str:
    kind = "added" if file["old_mode"] is None else "removed" if file["new_mode"] is None else "changed"
    size = file["old_size"] if file["new_mode"] is None else file["new_size"]
    notes = ["not text"] if file["added_lines"] is None else [f"{file['added_lines']:+} -{file['removed_lines']}"]
    notes += [] if size is None else [count(size, "byte")]
    mode = file["new_mode"] or file["old_mode"]
    if mode != file["old_mode"] or mode in _MODES:
        notes.append(_MODES.get(mode, "file"))
    return f"{kind:<7} {file['path']} ({', '.join(notes)})"


def ask(question: str) -> None:
    """Go on if the person at the terminal says so."""
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on whether to do it. Look at what changes and give --yes.")
    click.confirm(question, abort=True, err=True)
