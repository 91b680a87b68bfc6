"""`mao doctor`: whether this machine has what a node needs, whether the node is well, and what to do if not."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mao import __version__, probing
from mao.cli.options import client_of, output_option
from mao.errors import MaoError, NodeUnreachable, RouteNotFound
from mao.health import Finding, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_PATIENCE = 15.0
"""Seconds; the node answers within some."""


@click.command()
@output_option
@click.pass_context
def doctor(context: click.Context, output: Output) -> None:
    """Check whether this machine has what a node needs, and whether the node is well.

    Exits with 0 if nothing fails (warnings are none of that), and with 1 otherwise.
    """
    findings = [probing.checked(name, check) for name, check in probing.CHECKS.items()]
    findings += _of_node()
    columns = {
        "CHECK": lambda f: f["check"],
        "RESULT": lambda f: f["result"],
        "FOUND": lambda f: f["found"],
        "WHAT TO DO": lambda f: f["advice"],
    }
    output.values([asdict(finding) for finding in findings], columns, "")
    context.exit(1 if any(finding.result is Result.FAIL for finding in findings) else 0)


def _of_node() -> Iterator[Finding]:
    """What only the node can tell, and whether it answers."""
    try:
        client = client_of(os.environ.get("MAO_URL"))
        version = client.ready()["version"]
    except NodeUnreachable as error:
        advice = "" if "no MAO node" in error.detail else "'mao serve' starts it."
        yield Finding("node", Result.WARN, f"none at {client.url}", advice)
        return
    except (MaoError, OSError) as error:
        yield Finding("node", Result.FAIL, str(error), "See what it says.")
        return
    found = f"{client.url}, version {version}"
    if version == __version__:
        yield Finding("node", Result.OK, found)
    else:
        yield Finding("node", Result.WARN, found, f"This is {__version__}: start the node again.")
    yield from _told(client)
    yield probing.checked("cluster", _cluster)


def _told(client: Client) -> Iterator[Finding]:
    """What the node finds of itself; its machine is looked at from here."""
    from mao.diagnosing import CHECKS

    try:
        health = client.get("/health", timeout=_PATIENCE)
    except RouteNotFound:
        advice = "Start the node again: it is of an earlier version, which does not tell."
        yield Finding("health", Result.WARN, "not known", advice)
    except (MaoError, OSError) as error:
        yield Finding("health", Result.FAIL, str(error), "See what it says.")
    else:
        for each in health["findings"]:
            if each["check"] in CHECKS:
                yield Finding(**each | {"result": Result(each["result"])})


def _cluster(name: str) -> Finding:
    """Whether the node answers where the other nodes ask it, as they would."""
    from mao import config

    settings = config.load()

    def ask(url: str) -> int:
        from mao.web.relaying import asked_by_others

        return asked_by_others(settings, url)

    return probing.look_at_address(name, settings, ask)
