"""`mao dataset verify`: whether all that this node has published is in a dataset still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.changing import LONG_HISTORY
from mao.cli.options import asks_node, dataset_argument
from mao.cli.output import moment, say
from mao.errors import Conflict
from mao.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output


def _here(run: Any) -> str:
    """Whether the files of a run that is missing are on this node still."""
    if run["republished"]:
        return "publishing"
    if not run["gone"]:
        return "yes"
    if run["can_be_republished"]:
        return f"but for {', '.join(run['gone'])}"
    return "no" if len(run["gone"]) == len(run["files"]) else "changed"


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "RUN": lambda run: run["run"],
    "TOOL": lambda run: run["tool"],
    "ENDED": lambda run: moment(run["ended_at"]),
    "PUBLISHED": lambda run: moment(run["pushed_at"]),
    "HERE": _here,
    "FILES": lambda run: ", ".join(run["files"]),
}


@click.command()
@dataset_argument
@click.option(
    "--republish",
    is_flag=True,
    help="Take the dataset's history as it is now, and publish again what it lacks and this node still has.",
)
@asks_node
def verify(client: Client, output: Output, name: str, *, republish: bool) -> None:
    """Search the history of a dataset for every run that this node has published to it.

    Lists the runs that are missing; exits with 4 if there are any that are not published again.
    """
    path = at("datasets", name, "verification")
    told = client.post(path, {"republish": True}) if republish else client.get(path, timeout=LONG_HISTORY)
    if output.is_table:
        if told["missing"]:
            output.values(told["missing"], _COLUMNS, "")
        say("\n".join(_words(told, republish=republish)))
    else:
        output.json(told)
    if any(not run["republished"] for run in told["missing"]):
        raise click.exceptions.Exit(Conflict.exit_status)


def _words(told: Any, *, republish: bool) -> list[str]:
    missing = told["missing"]
    state = f"{len(missing)} of them missing" if missing else "all there"
    lines = [f"{count(told['published'], 'run')} published by this node to '{told['dataset']}', {state}."]
    left = [run for run in missing if not run["republished"]]
    if republish:
        if again := len(missing) - len(left) + told["stopped"]:
            lines.append(f"{count(again, 'run')} published again: 'mao run list --dataset {told['dataset']}' tells.")
        if left:
            lines.append(f"{count(len(left), 'run')} lost from the dataset: the files are not on this node any more.")
    else:
        if told["rewritten"]:
            lines.append(
                f"Its history was replaced at the remote; {count(told['stopped'], 'run')} wait for a decision."
            )
        if left or told["rewritten"]:
            lines.append("With --republish, its history is taken as it is, and what is still here published again.")
    return lines
