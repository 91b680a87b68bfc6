"""`mao schedule`: look at schedules and at what became of their slots, pause, resume and remove them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from mao.cli.asking import at
from mao.cli.lazy import LazyGroup
from mao.cli.options import administrator_option, asks_node, complete, schedule_argument
from mao.cli.output import FORMATS, mao, moment, say
from mao.wording import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COMMANDS = {
    "add": "mao.cli.planning:add",
    "list": "mao.cli.schedule:list_schedules",
    "show": "mao.cli.schedule:show",
    "edit": "mao.cli.planning:edit",
    "pause": "mao.cli.schedule:pause",
    "resume": "mao.cli.schedule:resume",
    "remove": "mao.cli.schedule:remove",
    "preview": "mao.cli.planning:preview",
    "slots": "mao.cli.schedule:slots",
    "backfill": "mao.cli.planning:backfill",
}
_OUTCOMES = (
    "ran",
    "ran-late",
    "skipped-overlap",
    "skipped-late",
    "missed",
    "paused",
    "tool-missing",
    "cancelled",
    "waiting",
)
_MOST = 50
"""Slots that are listed unless others are asked for."""
_OVERLAPS = {
    "skip": "skipped",
    "queue-one": "queued, one at a time; others are skipped",
    "queue-all": "queued",
    "cancel-old": "started when that run is cancelled",
    "allow": "started beside it",
}


def rule_of(schedule: Any) -> str:
    """The rule of a schedule, with the zone whose clocks it goes by."""
    zone = schedule["timezone"]
    return str(schedule["cron"]) if zone == "UTC" else f"{schedule['cron']} in {zone}"


def outcome_of(slot: Any) -> str:
    return str(slot.get("outcome", "waiting"))


def runs_of(slot: Any) -> str:
    """The last run of a slot, and how many there are."""
    runs: list[str] = slot.get("runs") or []
    backfill = slot.get("backfill")
    if backfill and backfill not in runs:
        return f"{backfill} (backfill)"
    return f"{runs[-1]} (attempt {len(runs)})" if len(runs) > 1 else "".join(runs)


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "SCHEDULE": lambda schedule: schedule["id"],
    "STATE": lambda schedule: schedule["state"],
    "TOOL": lambda schedule: schedule["tool"],
    "COMMAND": lambda schedule: schedule["command"],
    "RULE": rule_of,
    "NEXT": lambda schedule: moment(schedule["next_at"]),
    "LAST SLOT": lambda schedule: _last(schedule["last_slot"]),
}
_SLOT_COLUMNS: dict[str, Callable[[Any], str]] = {
    "PLANNED": lambda slot: moment(slot["planned"]),
    "OUTCOME": outcome_of,
    "STARTED": lambda slot: moment(slot.get("started_at")),
    "RUN": runs_of,
    "DETAIL": lambda slot: slot.get("detail", ""),
}


def _last(slot: Any) -> str:
    return f"{outcome_of(slot)}, {moment(slot['planned'])}" if slot else ""


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def schedule() -> None:
    """Start runs by a rule, and see what became of each moment at which they were due."""


@click.command("list")
@click.option("--tool", help="Schedules of this tool.", shell_complete=complete("/installations", "tool"))
@click.option("--state", type=click.Choice(["active", "paused", "removed"]), help="Schedules in this state.")
@asks_node
def list_schedules(client: Client, output: Output, **filters: Any) -> None:
    """List the schedules of this node; removed ones only with --state removed."""
    none = "No such schedule is known on this node." if any(filters.values()) else "Nothing is scheduled on this node."
    output.values(client.pages("/schedules", **filters), _COLUMNS, none)


@click.command()
@schedule_argument
@asks_node
def show(client: Client, output: Output, schedule_id: str) -> None:
    """Show a schedule: its rule, what it runs and how, and when it is due next."""
    output.value(client.get(at("schedules", schedule_id)), _lines)


def _lines(schedule: Any) -> Iterator[tuple[str, str]]:
    yield "schedule", schedule["id"]
    yield "state", f"{schedule['state']}: {schedule['note']}" if schedule["note"] else schedule["state"]
    yield "tool", schedule["tool"]
    yield "command", schedule["command"]
    yield "arguments", _arguments(schedule["arguments"])
    yield "rule", rule_of(schedule)
    yield "next", moment(schedule["next_at"]) or "never"
    yield "last slot", _last(schedule["last_slot"]) or "none yet"
    yield "data", "is pushed" if schedule["publish"] else "is committed on the node, and not pushed"
    yield "overlap", f"{schedule['overlap']}: a slot due while a run goes on is {_OVERLAPS[schedule['overlap']]}"
    if spread := schedule["spread"]:
        what = "on average" if spread["kind"] == "poisson" else "at most"
        yield "spread", f"{spread['kind']}, {what} {seconds(spread['seconds'])}"
    if schedule["retries"]:
        yield (
            "retries",
            f"{schedule['retries']}, the first after {seconds(schedule['retry_pause'])}, then twice as long",
        )
    anywhere = f"any of the cluster that has the tool; added by {schedule['node']}"
    yield "node", anywhere if schedule["anywhere"] else schedule["node"]
    yield "added", moment(schedule["created_at"])
    yield "changed", moment(schedule["changed_at"])


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return "\n".join(f"{name} = {value!r}" for name, value in arguments.items()) or "none"
    return "\n".join(map(repr, arguments)) or "none"


@click.command()
@schedule_argument
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Slots with this outcome, or without one yet.")
@click.option("--since", metavar="DAY|MOMENT", help="Slots planned from then on; days are in UTC.")
@click.option("--until", metavar="DAY|MOMENT", help="Slots planned up to then.")
@click.option("--limit", type=click.IntRange(0), help=f"At most so many ({_MOST} if not given); 0: all. CSV has all.")
@functools.partial(asks_node, formats=(*FORMATS, "csv"))
def slots(client: Client, output: Output, schedule_id: str, limit: int | None, **filters: Any) -> None:
    """List what became of each moment at which a schedule was due, the newest first."""
    path = at("schedules", schedule_id, "slots")
    if output.form == "csv":
        if limit:
            raise click.UsageError("CSV has all slots: choose some with --since, --until and --outcome, not --limit.")
        query = urlencode({name: text for name, text in filters.items() if text is not None})
        click.echo(client.ask("GET", f"{path}?{query}", headers={"Accept": "text/csv"}).body, nl=False)
        return
    limit = _MOST if limit is None else limit
    none = "No such slot is known." if any(filters.values()) else "No slot of it has been due yet."
    found = client.pages(path, page_size=min(limit + 1, 500) if limit else 500, **filters)
    output.newest(found, _SLOT_COLUMNS, none, limit)


@click.command()
@schedule_argument
@click.option("--note", help="Why; slots that are due meanwhile tell it.")
@administrator_option
@asks_node
def pause(client: Client, output: Output, schedule_id: str, note: str | None, *, as_administrator: bool) -> None:
    """Have a schedule start nothing until it is resumed; its slots until then are recorded as paused."""
    path = at("schedules", schedule_id, "pause")
    paused = client.post(path, {"note": note}, as_administrator=as_administrator or None)
    resumes = mao(f"schedule resume {paused['id']}")
    _told(output, paused, f"Paused. What is due meanwhile is recorded, and not started. {resumes} ends that.")


@click.command()
@schedule_argument
@administrator_option
@asks_node
def resume(client: Client, output: Output, schedule_id: str, *, as_administrator: bool) -> None:
    """Have a schedule start runs again, from now on."""
    resumed = client.post(at("schedules", schedule_id, "resume"), as_administrator=as_administrator or None)
    _told(output, resumed, f"Resumed. It is due next at {moment(resumed['next_at'])}.")


@click.command()
@schedule_argument
@administrator_option
@asks_node
def remove(client: Client, output: Output, schedule_id: str, *, as_administrator: bool) -> None:
    """Have a schedule be due no more. Its slots so far stay known, and a run that was started goes on."""
    client.delete(at("schedules", schedule_id), as_administrator=as_administrator or None)
    slots = mao(f"schedule slots {schedule_id}")
    _told(output, {"id": schedule_id, "removed": True}, f"Removed. {slots} still tells what became of its slots.")


def _told(output: Output, value: Any, words: str) -> None:
    if output.is_table:
        say(words)
    else:
        output.json(value)
