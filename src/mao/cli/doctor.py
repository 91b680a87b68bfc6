"""`mao doctor`: whether this machine has what a node needs, and what to do if it has not."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mao.cli import machine_checks, node_checks
from mao.cli.machine_checks import Finding
from mao.cli.options import output_option
from mao.errors import MaoError, NodeUnreachable, RouteNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.output import Output

_CHECKS = machine_checks.CHECKS | node_checks.CHECKS


@click.command()
@output_option
@click.pass_context
def doctor(context: click.Context, output: Output) -> None:
    """Check whether this machine has what a node needs.

    Exits with 0 if nothing fails (warnings are none of that), and with 1 otherwise.
    """
    findings = [finding for name, check in _CHECKS.items() if (finding := _checked(name, check))]
    columns = {
        "CHECK": lambda f: f["check"],
        "RESULT": lambda f: f["result"],
        "FOUND": lambda f: f["found"],
        "WHAT TO DO": lambda f: f["advice"],
    }
    output.values([asdict(finding) for finding in findings], columns, "")
    context.exit(1 if any(finding.result == "fail" for finding in findings) else 0)


def _checked(name: str, check: Callable[[str], Finding]) -> Finding | None:
    try:
        return check(name)
    except (NodeUnreachable, RouteNotFound):  # none answers, or one of an older version: another check tells of that
        return None
    except (MaoError, OSError, subprocess.SubprocessError) as error:
        return Finding(name, "fail", str(error), "See what it says.")
