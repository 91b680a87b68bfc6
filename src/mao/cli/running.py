"""`mao tool run`, and what following a run means: its log, its end, and what that is in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete, installed_argument
from mao.cli.output import mao, moment, raw, say
from mao.errors import BadArguments
from mao.wording import count, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mao.cli.asking import Client
    from mao.cli.output import Output

NOT_SUCCEEDED = 8
"""The exit status if the run that was waited for did not succeed."""
UNENDED = frozenset({"queued", "running", "publishing"})


def tools_arguments(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments of a tool, in order or by name; `arguments_of` joins the two."""
    by_name = click.option(
        "--arg", "named", multiple=True, metavar="NAME=VALUE", help="An argument by its name; may be repeated."
    )
    in_order = click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARG...]")
    return in_order(by_name(command))


@click.command("run", options_metavar="[OPTIONS]")
@installed_argument
@click.argument("command", shell_complete=complete("/installations", "tool"))
@tools_arguments
@click.option("--wait", is_flag=True, help="Print the log as it grows, and return when the run has ended.")
@click.option("--no-publish", is_flag=True, help="Commit the data on this node, and push nothing.")
@asks_node
def run_tool(  # noqa: PLR0913  # what click hands over
    client: Client,
    output: Output,
    *,
    tool: str,
    command: str,
    arguments: tuple[str, ...],
    named: tuple[str, ...],
    wait: bool,
    no_publish: bool,
) -> None:
    """Run COMMAND of an installed tool. What stands after -- goes to the tool exactly as it is.

    Prints the run's id; with --wait the log, and exits with 8 if the run does not succeed.
    """
    body = {
        "tool": tool,
        "command": command,
        "arguments": arguments_of(named, arguments),
        "publish": not no_publish,
    }
    run = client.post("/runs", body)
    if wait:
        say(f"Run {run['id']}")
        finish(client, output, run["id"])
    elif output.is_table:
        click.echo(run["id"])
        follows, tells = mao(f"run log -f {run['id']}"), mao(f"run show {run['id']}")
        say(f"{follows} follows it, {tells} tells how it stands.")
    else:
        output.json(run)


def arguments_of(named: Sequence[str], arguments: Sequence[str]) -> list[str] | dict[str, str]:
    """The arguments of a tool as they were given: in order or by name, not both."""
    _check_text([*arguments, *named])
    return _by_name(named, arguments) if named else list(arguments)


def _by_name(named: Sequence[str], arguments: Sequence[str]) -> dict[str, str]:
    if arguments:
        raise click.UsageError("Give the arguments either by name (--arg) or in order (after --), not both.")
    pairs: dict[str, str] = {}
    for text in named:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"--arg takes NAME=VALUE, not '{text}'.")
        if name in pairs:
            raise click.UsageError(f"--arg {name} is given twice.")
        pairs[name] = value
    return pairs


def _check_text(words: Sequence[str]) -> None:
    """JSON carries text: bytes that are none would arrive as something else."""
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise BadArguments(f"Argument {number} is not UTF-8: {word!a}. Nothing was started.") from None


def finish(client: Client, output: Output, run_id: str) -> None:
    """Follow the log of a run to its end and tell the outcome; the exit status is that of the run."""
    try:
        run = follow(client, run_id, err=not output.is_table)
    except KeyboardInterrupt:
        say(f"\nThe run goes on. {mao(f'run log -f {run_id}')} follows it, {mao(f'run cancel {run_id}')} ends it.")
        raise
    conclude(output, run)


def follow(client: Client, run_id: str, *, err: bool) -> Any:
    """Pass the log of a run on until the run has ended; the run then."""
    for event in client.follow(at("runs", run_id, "log")):
        if event.name == "log":
            raw(json.loads(event.data), err=err)
        elif event.name == "end":
            return json.loads(event.data)
    return client.get(at("runs", run_id))


def conclude(output: Output, run: Any) -> None:
    """Tell how a run has ended; exit with 8 if it did not succeed."""
    say(outcome(run))
    if not output.is_table:
        output.json(run)
    if run["state"] != "succeeded":
        raise click.exceptions.Exit(NOT_SUCCEEDED)


def outcome(run: Any) -> str:
    """What became of a run, in a few lines."""
    words = f"Run {run['id']} {_became(run)}"
    return "\n".join([words, *_published(run)])


_PHRASES = {
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "timed-out": "took too long",
    "lost": "is lost",
    "unpublished": "has succeeded, but its data is not published",
}


def _became(run: Any) -> str:
    phrase = _PHRASES.get(run["state"], f"is {run['state']}")
    return f"{phrase}: {run['reason']}." if run["reason"] not in {None, run["state"]} else f"{phrase}."


def _published(run: Any) -> list[str]:
    publication = run["publication"]
    if publication is None or publication["state"] == "unchanged":
        return []
    files = publication["files"]
    what = f"{count(len(files), 'file')} ({size(sum(file['size'] for file in files))})"
    commit = (publication["commit"] or "")[:12]
    lines = [f"{publication['dataset']}: {describe(publication)}: {what}" + (f" in commit {commit}" if commit else "")]
    lines += [f"  {conflict}" for conflict in conflicts(publication)]
    lines += [f"  left out: {name}" for name in publication["left_out"]]
    if publication["message"] and publication["state"] != "published":
        lines.append(f"  {publication['message'].strip()}".replace("\n", "\n  "))
    if publication["state"] in {"kept", "waiting", "blocked"}:
        publish = mao(f"run publish {run['id']}")
        lines.append(f"{publish} pushes it.")
    return lines


def describe(publication: Any) -> str:
    """Where the data of a run stands."""
    state: str = publication["state"]
    match state:
        case "published":
            return f"published on {publication['branch']}"
        case "kept":
            return "kept on this node"
        case "delivered":
            return f"at the remote, on its way to {publication['branch']}"
        case "waiting" | "collecting":
            again = moment(publication["next_try_at"])
            cause = f" ({publication['cause']})" if publication["cause"] else ""
            return f"waits{cause}" + (f", next try {again}" if again else "")
        case "blocked":
            return f"needs a decision ({publication['cause']})"
        case _:
            return state


def conflicts(publication: Any) -> list[str]:
    """The files that were published under another name, as another node had published other content there."""
    return [
        f"{file['path']} was there with other content: published as {file['published_as']}"
        for file in publication["files"]
        if file["published_as"]
    ]
