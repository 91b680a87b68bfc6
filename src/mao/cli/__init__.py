"""The command line: arguments in, lines and exit status out. It speaks HTTP to a node."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from mao import __version__
from mao.cli.lazy import LazyGroup
from mao.errors import MaoError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

_COMMANDS = {
    "serve": "mao.cli.node_commands:serve",
    "demo": "mao.cli.demo:demo",
    "tool": "mao.cli.tool:tool",
    "run": "mao.cli.run:run",
    "schedule": "mao.cli.schedule:schedule",
    "dataset": "mao.cli.dataset:dataset",
    "cluster": "mao.cli.cluster:cluster",
    "secret": "mao.cli.secret:secret",
    "alarm": "mao.cli.alarm:alarm",
    "token": "mao.cli.token:token",
    "audit": "mao.cli.audit:audit",
    "node": "mao.cli.node:node",
    "definition": "mao.cli.definition:definition",
    "doctor": "mao.cli.doctor:doctor",
    "config": "mao.cli.node_commands:config",
    "completion": "mao.cli.node_commands:completion",
}


@click.group(cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mao")
def mao() -> None:
    """Launch, manage and orchestrate the collection tools of a research observatory.

    Most commands ask the node that serves on this machine (`mao serve`). `mao demo` shows all of it in a
    temporary place.

    Exit status: 0 done, 1 a bug, 2 the request is wrong, 3 no such thing, 4 the present state does not allow it,
    5 git or an installer failed, 6 it cannot be done now, 7 not allowed, 8 the run did not succeed, 130 interrupted.
    """


def main(args: Sequence[str] | None = None) -> None:
    """Do what `args` (the process's own) say, and end the process with the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal cannot show must not stop anything
            stream.reconfigure(errors="backslashreplace")
    asked = {"output": "table"}
    try:
        # Without standalone mode, click returns the status of an Exit and what a command returns, which is nothing.
        status = mao.main(args, prog_name="mao", standalone_mode=False, obj=asked)
    except MaoError as error:
        _report(error, asked["output"])
        status = error.exit_status
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mao: interrupted", err=True)
        status = INTERRUPTED
    except Exception as error:  # the boundary of the program: a bug gets one line, not a traceback
        if os.environ.get("MAO_DEBUG"):
            raise
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        click.echo(f"mao: this is a bug: {words} (MAO_DEBUG=1 shows where)", err=True)
        status = MaoError.exit_status
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: MaoError, output: str) -> None:
    """Say on stderr what could not be done: in words, or as JSON where that is the output asked for."""
    from mao.cli.output import plain, with_lines

    if output in {"table", "csv"}:
        click.echo(f"mao: {plain(with_lines(error.detail, error.faults))}", err=True)
        return
    import json

    problem = {
        "type": f"https://mao-orchestrator.org/errors#{error.code()}",
        "title": error.title(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code(),
        "errors": error.faults,
    }
    click.echo(json.dumps(problem, indent=2 if output == "json" else None, ensure_ascii=False), err=True)
