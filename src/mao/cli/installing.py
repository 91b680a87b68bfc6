"""`mao tool`, as far as it concerns what is on this node: install, look, remove."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mao.cli.alarm import marked
from mao.cli.asking import at
from mao.cli.options import asks_node, installed_argument, tool_argument
from mao.cli.output import between, mao, moment, raw, say
from mao.errors import CommandNotFound, NotFound, OutsideFailed, by_code
from mao.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

_OVER = frozenset({"done", "failed"})


def _note(installation: Any) -> str:
    attempt = installation["attempt"]
    if attempt["step"] == "done":
        return ""
    what = f"at {attempt['commit'][:12]}: " if attempt["commit"] != installation["commit"] else ""
    return f"{what}{attempt['step']}: {attempt['detail'] or ''}".rstrip(": ")


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "TOOL": lambda installation: installation["tool"],
    "STATE": lambda installation: installation["state"],
    "COMMIT": lambda installation: (installation["commit"] or "")[:12],
    "INSTALLED": lambda installation: moment(installation["installed_at"]),
    "LAST ATTEMPT": _note,
}


@click.command()
@tool_argument
@click.option("--commit", metavar="SHA", help="Install this commit, not the registered one.")
@click.option("--no-wait", is_flag=True, help="Return at once; 'mao tool log -f TOOL' follows it.")
@asks_node
def install(client: Client, output: Output, tool: str, commit: str | None, *, no_wait: bool) -> None:
    """Install a registered tool on this node, and wait until that is done.

    Clones it, runs its installer (whose log appears on stderr) and clones its dataset.
    """
    begin(client, output, tool, commit, no_wait=no_wait)


def begin(client: Client, output: Output, tool: str, commit: str | None, *, no_wait: bool) -> None:
    """Install `tool` and tell how it goes."""
    before = attempt_id(client, tool)
    installation = client.post("/installations", {"tool": tool} | ({"commit": commit} if commit else {}))
    attempt = installation["attempt"]
    name = installation["tool"]
    if attempt["id"] == before and attempt["step"] in _OVER:
        say(f"'{name}' is installed already, at commit {installation['commit'][:12]}.")
    elif no_wait:
        say(f"Installing '{name}' at commit {attempt['commit'][:12]}. {mao(f'tool log -f {name}')} follows it.")
    else:
        say(f"Installing '{name}' at commit {attempt['commit'][:12]}...")
        installation = _followed(client, name, err=True)
        _check(installation)
        took = between(installation["attempt"]["started_at"], installation["attempt"]["ended_at"])
        say(f"Installed '{name}' in {took}. {mao(f'tool help {name}')} shows what it can do.")
    if not output.is_table:
        output.json(installation)


def attempt_id(client: Client, tool: str) -> str | None:
    """The last attempt to install `tool`: what is asked for may be there already."""
    try:
        found: str = client.get(at("installations", tool))["attempt"]["id"]
    except NotFound:
        return None
    return found


def _followed(client: Client, tool: str, *, err: bool) -> Any:
    """Pass the installer's log on until the attempt has ended; the installation then."""
    for event in client.follow(at("installations", tool, "log")):
        if event.name == "log":
            raw(json.loads(event.data), err=err)
    return client.get(at("installations", tool))


def _check(installation: Any) -> None:
    attempt = installation["attempt"]
    if attempt["step"] != "failed":
        return
    kept = f" What is installed stays: commit {installation['commit'][:12]}." if installation["commit"] else ""
    kind = by_code().get(attempt["error"] or "", OutsideFailed)
    raise kind(f"Installing '{installation['tool']}' failed: {attempt['detail']}{kept}")


@click.command()
@asks_node
def installed(client: Client, output: Output) -> None:
    """List the tools that are on this node."""
    none = "No tool is installed on this node. 'mao tool list' shows those there are."
    output.values(client.pages("/installations"), marked(client, output, _COLUMNS, "tool"), none)


@click.command()
@installed_argument
@asks_node
def remove(client: Client, output: Output, tool: str) -> None:
    """Remove a tool from this node; or end the attempt to install it, if one is under way.

    What is in its data directory is moved to the folder 'kept' of the node's home.
    """
    left = client.delete(at("installations", tool))
    if left is not None:
        say(f"Ending the attempt to install '{tool}'...")
        left = client.wait(at("installations", tool), lambda found: found["attempt"]["step"] in _OVER)
        if left["commit"] is None:
            left = client.delete(at("installations", tool))
    if left is None:
        say(f"Removed '{tool}' from this node.")
        _tell_schedules(client, tool)
    else:
        say(f"Ended. '{tool}' stays installed at commit {left['commit'][:12]}; ask again to remove that.")
    if not output.is_table:
        output.json(left or {"tool": tool, "removed": True})


def _tell_schedules(client: Client, tool: str) -> None:
    """Say which schedules have nothing to start any more."""
    left = [known["id"] for known in client.pages("/schedules", tool=tool) if not known["anywhere"]]
    if left:
        say(
            f"It has {count(len(left), 'schedule')}, with nothing to start until it is installed again: slots get the"
            f" outcome tool-missing. {mao('schedule remove SCHEDULE')} ends one:"
        )
        for schedule_id in left:
            say(f"  {schedule_id}")


@click.command("help")
@installed_argument
@click.argument("command", required=False)
@asks_node
def show_help(client: Client, output: Output, tool: str, command: str | None) -> None:
    """Show what an installed tool can do: its commands, or one COMMAND, with their arguments."""
    shown = client.get(at("installations", tool, "help"))
    if command is not None:
        shown["commands"] = [_command(shown, command)]
    if not output.is_table:
        output.json(shown)
        return
    click.echo(f"{shown['tool']}: {shown['description']}")
    click.echo(f"at commit {shown['commit'][:12]}, data goes to {shown['dataset']}")
    for each in shown["commands"]:
        click.echo(f"\n{each['name']}: {each['description']}")
        for argument in each["arguments"]:
            click.echo(f"  {_argument(argument)}")
        click.echo(f"  $ {each['example']}")


def _command(shown: Any, wanted: str) -> Any:
    from mao.names import nearest

    names = [command["name"] for command in shown["commands"]]
    for command in shown["commands"]:
        if command["name"] == wanted:
            return command
    near = nearest(wanted, names)
    hint = f"; did you mean '{near}'?" if near else f". It has {', '.join(names)}."
    raise CommandNotFound(f"'{shown['tool']}' has no command '{wanted}'{hint}")


def _argument(argument: Any) -> str:
    kind = argument["type"]
    notes = ["one of " + ", ".join(argument["choices"]) if argument["choices"] else kind]
    if argument["pattern"]:
        notes.append(f"like {argument['pattern']}")
    if argument["default"] is not None:
        notes.append(f"'{argument['default']}' if not given")
    elif not argument["required"]:
        notes.append("may be left out")
    text = f"{argument['name']} ({', '.join(notes)})"
    return f"{text}: {argument['description']}" if argument["description"] else text


@click.command()
@installed_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the installer has ended.")
@asks_node
def log(client: Client, output: Output, tool: str, *, follow: bool) -> None:
    """Print what the installer of a tool printed."""
    if follow:
        _check(_followed(client, tool, err=False))
        return
    text = client.ask("GET", at("installations", tool, "log")).body.decode("utf-8", "replace")
    if output.is_table:
        raw(text)
    else:
        output.json({"tool": tool, "log": text})
    if not text:
        say(f"The installer of '{tool}' has printed nothing.")
