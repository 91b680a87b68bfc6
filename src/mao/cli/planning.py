"""`mao schedule`, as far as it says what is to be: add and edit schedules, preview rules, run slots of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, complete, installed_argument, schedule_argument
from mao.cli.output import mao, moment, say
from mao.cli.running import arguments_of, tools_arguments
from mao.cli.schedule import rule_of, runs_of
from mao.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mao.cli.asking import Client
    from mao.cli.output import Output

_OVERLAPS = ("skip", "queue-one", "queue-all", "cancel-old", "allow")
_SPREADS = ("offset", "uniform", "poisson")
_NONE = "none"

_FIRINGS: dict[str, Callable[[Any], str]] = {
    "PLANNED": lambda firing: firing["local"],
    "DUE": lambda firing: moment(firing["due_at"]),
    "NOTE": lambda firing: firing["note"] or "",
}


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | str | None:
    """The seconds of a duration such as 10m; `none` stays as it is."""
    if text is None or text == _NONE:
        return text
    from pydantic import TypeAdapter, ValidationError

    from mao.fields import Duration

    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(f"'{text}' {words}.") from None


def _rule_options(command: Callable[..., None]) -> Callable[..., None]:
    """What says when and how a schedule runs; those that are not given are None."""
    options = (
        click.option(
            "--cron", metavar="RULE", help="daily, weekly (Sunday), monthly (the 1st), at midnight; or a crontab rule."
        ),
        click.option(
            "--timezone", metavar="ZONE", help="The IANA time zone that the rule goes by; UTC if none is given."
        ),
        click.option("--publish/--no-publish", default=None, help="Push the data; if not, commit it on the node."),
        click.option(
            "--overlap",
            type=click.Choice(_OVERLAPS),
            help="When a slot is due while a run goes on; skip, if not given.",
        ),
        click.option(
            "--spread",
            callback=_seconds,
            metavar="DURATION|none",
            help="Start up to so much later than planned, so that not all nodes start in the same second.",
        ),
        click.option(
            "--spread-as",
            type=click.Choice(_SPREADS),
            help="Always by the same (offset, if not given), or by chance each time; poisson: so much on average.",
        ),
        click.option("--retries", type=click.IntRange(0, 20), help="Try a slot so often again if the tool fails."),
        click.option(
            "--retry-pause",
            callback=_seconds,
            metavar="DURATION",
            help="Time until the first of these (60 s), then doubled.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _rule(spread: float | str | None, spread_as: str | None, **given: Any) -> dict[str, Any]:
    """What the options say, as the API takes it."""
    rule = {name: value for name, value in given.items() if value is not None}
    if spread_as and (spread is None or spread == _NONE):
        raise click.UsageError("--spread-as says how to spread: give --spread, too.")
    if spread is not None:
        rule["spread"] = None if spread == _NONE else {"kind": spread_as or _SPREADS[0], "seconds": spread}
    return rule


@click.command(options_metavar="[OPTIONS]")
@installed_argument
@click.argument("command", shell_complete=complete("/installations", "tool"))
@tools_arguments
@_rule_options
@click.option("--anywhere", is_flag=True, help="Let any node of the cluster that has the tool run it, one each time.")
@asks_node
def add(  # noqa: PLR0913  # what click hands over
    client: Client,
    output: Output,
    *,
    tool: str,
    command: str,
    arguments: Sequence[str],
    named: Sequence[str],
    anywhere: bool,
    cron: str | None,
    **rule: Any,
) -> None:
    """Run COMMAND of an installed tool by a rule, from now on. What stands after -- goes to the tool.

    Prints the schedule's id. Give a crontab rule in quotation marks: --cron '30 6 * * mon-fri'.
    """
    if cron is None:
        raise click.UsageError("When is it to run? Give --cron: daily, weekly, monthly or a crontab rule.")
    body = {"tool": tool, "command": command, "arguments": arguments_of(named, arguments), "cron": cron}
    schedule = client.post("/schedules", body | _rule(**rule) | ({"anywhere": True} if anywhere else {}))
    if not output.is_table:
        output.json(schedule)
        return
    click.echo(schedule["id"])
    say(f"{schedule['tool']} {schedule['command']} is scheduled: {rule_of(schedule)}. {_next(schedule)}")
    if not schedule["publish"]:
        where = "the node that runs it" if anywhere else "this node"
        say(
            f"Its data is committed on {where} and not pushed: {mao('run publish RUN')} pushes that of a run later,"
            " --publish would push all of it at once."
        )


def _next(schedule: Any) -> str:
    when = moment(schedule["next_at"])
    return f"It is due next at {when}." if when else "It is not due any more."


@click.command(options_metavar="[OPTIONS]")
@schedule_argument
@tools_arguments
@_rule_options
@click.option("--command", metavar="COMMAND", help="Run another command of the tool.")
@click.option("--no-arguments", "bare", is_flag=True, help="Run it without arguments.")
@asks_node
def edit(
    client: Client,
    output: Output,
    *,
    schedule_id: str,
    arguments: Sequence[str],
    named: Sequence[str],
    bare: bool,
    **rule: Any,
) -> None:
    """Change a schedule from now on; what is not given stays as it is. Arguments replace all those it had."""
    changes = _rule(**rule)
    if bare and (arguments or named):
        raise click.UsageError("--no-arguments takes all arguments away: give none.")
    if bare or arguments or named:
        changes["arguments"] = arguments_of(named, arguments)
    if not changes:
        raise click.UsageError("Say what to change.")
    schedule = client.ask("PATCH", at("schedules", schedule_id), changes).json
    if output.is_table:
        say(f"Changed: {schedule['tool']} {schedule['command']}, {rule_of(schedule)}. {_next(schedule)}")
    else:
        output.json(schedule)


@click.command()
@schedule_argument
@click.argument("first", metavar="FROM")
@click.argument("last", metavar="TO")
@asks_node
def backfill(client: Client, output: Output, schedule_id: str, first: str, last: str) -> None:
    """Run slots of the past: those from FROM to TO that have no run that went well.

    FROM and TO are days (in UTC) or moments, such as 2026-11-01 or 2026-11-01T06:00:00Z. The tool must allow it:
    'Lateness: {Backfill: allowed}' in its definition. What became of a slot when it was due stays known.
    """
    found = client.post(at("schedules", schedule_id, "backfill"), {"from": first, "to": last})["items"]
    columns = {"PLANNED": lambda slot: moment(slot["planned"]), "RUN": runs_of}
    output.values(found, columns, "Every slot of that time has a run that went well or goes on: nothing was started.")
    if found and output.is_table:
        say(f"Queued {count(len(found), 'run')}. {mao('run list')} tells how they stand.")


@click.command()
@click.argument("schedule_id", metavar="[SCHEDULE]", required=False, shell_complete=complete("/schedules", "id"))
@click.option("--cron", metavar="RULE", help="A rule that is no schedule yet.")
@click.option("--timezone", metavar="ZONE", help="The IANA time zone that it goes by; UTC if none is given.")
@click.option("--count", "number", type=click.IntRange(1, 1000), default=10, show_default=True, help="So many.")
@asks_node
def preview(
    client: Client, output: Output, schedule_id: str | None, cron: str | None, timezone: str | None, number: int
) -> None:
    """Show when a schedule is due next, or when a rule would be, and what daylight saving time does to it."""
    if (schedule_id is None) == (cron is None) or (schedule_id and timezone):
        raise click.UsageError("Name a SCHEDULE, or give a rule with --cron, and --timezone if it is not UTC.")
    if schedule_id:
        found = client.get(at("schedules", schedule_id, "preview"), count=number)
    else:
        found = client.get("/schedules/preview", cron=cron, timezone=timezone, count=number)
    output.values(found["items"], _FIRINGS, "It is not due any more.")
