"""`mao run`: look at the runs of this node, follow, cancel and publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete, run_argument
from mao.cli.output import between, mao, moment, say
from mao.cli.running import UNENDED, conclude, conflicts, describe, follow, outcome
from mao.errors import RunEnded
from mao.wording import seconds, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_STATES = ("queued", "running", "publishing", "succeeded", "failed", "cancelled", "timed-out", "lost", "unpublished")

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "RUN": lambda run: run["id"],
    "STATE": lambda run: run["state"],
    "TOOL": lambda run: run["tool"],
    "COMMAND": lambda run: run["command"],
    "CREATED": lambda run: moment(run["created_at"]),
    "TOOK": lambda run: between(run["started_at"], run["ended_at"]),
    "DATA": lambda run: describe(run["publication"]) if run["publication"] else run["reason"] or "",
}


@click.group()
def run() -> None:
    """Look at the runs of this node, follow, cancel and publish them."""


@run.command("list")
@click.option("--tool", help="Runs of this tool.", shell_complete=complete("/installations", "tool"))
@click.option("--state", type=click.Choice(_STATES), help="Runs in this state.")
@click.option("--dataset", help="Runs that publish to this dataset.", shell_complete=complete("/datasets", "name"))
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="At most so many; 0: all.")
@asks_node
def list_runs(client: Client, output: Output, limit: int, **filters: Any) -> None:
    """List the runs of this node, the newest first."""
    page_size = min(limit + 1, 500) if limit else 500
    runs = client.pages("/runs", page_size=page_size, **filters)
    none = "No such run is known on this node." if any(filters.values()) else "Nothing has been run on this node yet."
    output.newest(runs, _COLUMNS, none, limit)


@run.command()
@run_argument
@asks_node
def show(client: Client, output: Output, run_id: str) -> None:
    """Show all that is known of a run: its state, arguments, times, files, and the way of its data."""
    output.value(client.get(at("runs", run_id)), _lines)


def _lines(run: Any) -> Iterator[tuple[str, str]]:
    yield "run", run["id"]
    yield "state", f"{run['state']}: {run['reason']}" if run["reason"] else run["state"]
    if run["cancel_requested"] and run["state"] in UNENDED:
        yield "", "to be cancelled"
    yield "tool", f"{run['tool']} at commit {run['tool_commit']}"
    yield "command", run["command"]
    given = [f"{name} = {'(secret)' if value is None else repr(value)}" for name, value in run["arguments"].items()]
    yield "arguments", "\n".join(given) or "none"
    yield "node", run["node"] + (f", asked by node {run['asked_by']}" if run["asked_by"] else "")
    if run["schedule"]:
        attempt = f", attempt {run['attempt']}" if run["attempt"] > 1 else ""
        yield "slot", f"{moment(run['slot'])} of schedule {run['schedule']}{attempt}"
    yield "created", moment(run["created_at"])
    if run["started_at"]:
        yield "started", moment(run["started_at"])
    if run["ended_at"]:
        yield "ended", f"{moment(run['ended_at'])}, after {between(run['started_at'], run['ended_at']) or 'nothing'}"
    if run["exit_code"] is not None or run["signal"]:
        yield "exit", f"signal {run['signal']}" if run["signal"] else f"status {run['exit_code']}"
    if run["cpu_seconds"] is not None:
        yield "used", f"{seconds(run['cpu_seconds'])} of CPU, {size(run['max_rss'])} of memory at most"
    if run.get("confined"):
        yield (
            "confined",
            {"sandbox": "in a sandbox", "none": "no: it could touch all that the node's user can"}[run["confined"]],
        )
    if run["log_bytes"] is not None:
        dropped = f", {size(run['log_dropped'])} more were dropped" if run["log_dropped"] else ""
        yield "log", f"{size(run['log_bytes'])}{dropped}"
    yield "dataset", run["dataset"] if run["publish"] else f"{run['dataset']} (not to be pushed)"
    if run["publication"]:
        yield from _publication_lines(run["publication"])


def _size(file: Any) -> str:
    return size(file["size"]) + (", in LFS" if file["lfs"] else "")


def _publication_lines(publication: Any) -> Iterator[tuple[str, str]]:
    commit = f"{publication['commit']} on {publication['branch']}" if publication["commit"] else ""
    files = [
        f"{file['path']} ({size(file['size'])}{', in LFS' if file['lfs'] else ''})" for file in publication["files"]
    ]
    lines = {
        "publication": describe(publication),
        "remote": publication["remote"],
        "commit": commit,
        "base": publication["base"],
        "files": "\n".join(files),
        "conflicts": "\n".join(conflicts(publication)),
        "left out": "\n".join(publication["left_out"]),
        "attempts": str(publication["attempts"] or ""),
        "next try": moment(publication["next_try_at"]),
        "cause": publication["cause"],
        "which means": " ".join(_explained(publication)),
        "git says": (publication["message"] or "").strip(),
        "pushed": moment(publication["pushed_at"]),
    }
    yield from ((label, text) for label, text in lines.items() if text)


def _explained(publication: Any) -> Iterator[str]:
    """What the cause means, and what people do about it."""
    from mao.failures import FAILURES

    yield from (f"{known.means} {known.remedy}" for known in FAILURES if known.cause == publication["cause"])


@run.command()
@run_argument
@click.option("-f", "--follow", "live", is_flag=True, help="Go on until the run has ended.")
@asks_node
def log(client: Client, output: Output, run_id: str, *, live: bool) -> None:
    """Print what a run has printed so far.

    With -f it goes on where it was when the node was restarted meanwhile.
    """
    if live:
        ended = follow(client, run_id, err=not output.is_table)
        say(outcome(ended))
        if not output.is_table:
            output.json(ended)
    else:
        text = client.ask("GET", at("runs", run_id, "log")).body
        if output.is_table:
            click.echo(text, nl=False)
        else:
            output.json({"run": run_id, "log": text.decode("utf-8", "replace")})


@run.command()
@run_argument
@asks_node
def cancel(client: Client, output: Output, run_id: str) -> None:
    """End a run with its whole process tree, and wait until no process of it is left."""
    client.post(at("runs", run_id, "cancel"))
    ended = client.wait(at("runs", run_id), lambda run: run["state"] not in UNENDED)
    say(outcome(ended))
    if ended["state"] != "cancelled":
        raise RunEnded(f"Run {run_id} had ended by itself before it could be cancelled: it is {ended['state']}.")
    if not output.is_table:
        output.json(ended)


@run.command()
@run_argument
@click.option("--no-wait", is_flag=True, help="Return at once.")
@click.option(
    "--despite-secret",
    is_flag=True,
    help="Publish the files as they are now, although a secret of the run was found in them.",
)
@asks_node
def publish(client: Client, output: Output, run_id: str, *, no_wait: bool, despite_secret: bool) -> None:
    """Push the data of a run that was kept back, waits, or was refused; exits with 8 if that fails."""
    asked = client.post(at("runs", run_id, "publish"), {"despite_secret": True} if despite_secret else None)
    if no_wait:
        say(f"Publishing run {run_id}. {mao(f'run show {run_id}')} tells how it stands.")
        if not output.is_table:
            output.json(asked)
        return
    conclude(output, client.wait(at("runs", run_id), lambda run: run["state"] not in UNENDED))
