"""`mao tool approve`: let single commits of tools in, after a look at what they bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.options import asks_node, tool_argument
from mao.cli.output import mao, moment, say
from mao.cli.updating import FETCH, ask, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.cli.asking import Client
    from mao.cli.output import Output

_COLUMNS: dict[str, Callable[[Any], str]] = {
    "TOOL": lambda approval: approval["tool"],
    "COMMIT": lambda approval: approval["commit"][:12],
    "APPROVED": lambda approval: moment(approval["approved_at"]),
    "BY": lambda approval: approval["approved_by"],
    "URL": lambda approval: approval["url"],
}


@click.command()
@tool_argument
@click.argument("commit", required=False)
@click.option("--diff", is_flag=True, help="Show the changes of the files line by line, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--withdraw", is_flag=True, help="Do not let the commit in any more; where it is installed, it stays.")
@asks_node
def approve(  # noqa: PLR0913  # what click hands over
    client: Client, output: Output, tool: str, commit: str | None, *, diff: bool, yes: bool, withdraw: bool
) -> None:
    """Show what a COMMIT of a tool brings, and let it in on this node: that commit and no other.

    COMMIT is given in full. By default it is the newest that the ref names; of a tool that is not installed, the one
    that is registered.
    """
    if withdraw:
        _withdraw(client, output, tool, commit)
        return
    preview = client.get(at("installations", tool, "update"), timeout=FETCH, commit=commit, text=diff or None)
    name, new = preview["tool"], preview["new_commit"]
    show(preview)
    if preview["error"] == "policy-refused":
        say(f"\n{preview['detail']}")
    if not yes:
        ask(f"Approve commit {new[:12]} of '{name}'?")
    approval = client.post("/approvals", {"tool": name, "commit": new})
    if output.is_table:
        verb = "update" if preview["old_commit"] else "install"
        say(f"Approved commit {new[:12]} of '{name}'. {mao(f'tool {verb} {name} --commit {new}')} installs it.")
    else:
        output.json(approval)


def _withdraw(client: Client, output: Output, tool: str, commit: str | None) -> None:
    if commit is None:
        raise click.UsageError(f"Say which commit; {mao('tool approvals')} lists those that are approved.")
    client.delete(at("approvals", tool, commit))
    if output.is_table:
        say(f"Commit {commit[:12]} of '{tool}' is not approved any more. What is installed stays.")
    else:
        output.json({"tool": tool, "commit": commit, "withdrawn": True})


@click.command()
@asks_node
def approvals(client: Client, output: Output) -> None:
    """List the commits of tools that are approved on this node."""
    none = "No commit is approved on this node. 'mao tool approve TOOL' approves one."
    output.values(client.pages("/approvals"), _COLUMNS, none)
