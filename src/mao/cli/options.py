"""What many commands have in common: the form of their output, and the node they ask."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from mao.cli.output import FORMATS, Output, moment, say
from mao.errors import BadSetting
from mao.wording import seconds as duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mao.cli.asking import Client, NodeAddress


def _remember(context: click.Context, _parameter: click.Parameter, value: str) -> Output:
    if isinstance(context.obj, dict):
        context.obj["output"] = value  # errors are told in the same form
    return Output(value)


def output_option(command: Callable[..., None], formats: Sequence[str] = FORMATS) -> Callable[..., None]:
    """Give `command` an `--output`; it gets an `Output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        callback=_remember,
        help="How to print the data.",
    )(command)


def asks_node(command: Callable[..., None], formats: Sequence[str] = FORMATS) -> Callable[..., None]:
    """Give `command` a `Client` of the node and an `Output`, with the options that say which."""

    @functools.wraps(command)
    def with_client(*args: Any, node_url: str | None, node: str | None, **kwargs: Any) -> None:
        client = client_of(node_url, node)
        command(client, *args, **kwargs)
        _tell_age(client)

    url = click.option(
        "--node-url",
        envvar="MAO_URL",
        metavar="URL",
        help="Address of the node (MAO_URL), with a token in MAO_TOKEN; if not given, the node in node.home is asked.",
    )
    other = click.option(
        "--node",
        metavar="NAME",
        callback=_remember_node,
        shell_complete=complete("/nodes", "name"),
        help="Ask that node of the cluster, through this one.",
    )
    return output_option(url(other(with_client)), formats)


def _remember_node(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if isinstance(context.obj, dict):
        context.obj["node"] = value  # what is advised next is to go to the same node
    return value


def _tell_age(client: Client) -> None:
    """Say so if what was shown of the registry is old."""
    if not client.registry_age:
        return
    from mao.registry import STALE

    if client.registry_age > STALE:
        since = datetime.now(UTC) - timedelta(seconds=client.registry_age)
        say(
            f"The node has been out of touch with its registry for {duration(client.registry_age)}: what it told is"
            f" stale, as it was at {moment(since.isoformat())}."
        )


administrator_option = click.option(
    "--as-administrator",
    is_flag=True,
    help="Change what another node registered; this node must be an administrator (node.administrator).",
)


def client_of(node_url: str | None = None, node: str | None = None, **more: Any) -> Client:
    """A client of the node at `node_url`, or of the one in the home that is configured; or of `node`, through it."""
    from mao.cli.asking import Client

    return Client(_address(node_url), node=node, **({"tell": say} | more))


def _address(node_url: str | None) -> NodeAddress:
    import os

    from mao.cli.asking import NodeAddress

    if node_url:
        return NodeAddress(node_url, _token(), os.environ.get("MAO_CA"))
    from mao import config

    return NodeAddress(f"unix:{config.load().home / 'socket'}")


def _token() -> str | None:
    """The token that is to be sent: MAO_TOKEN, or what is in the file that MAO_TOKEN_FILE names."""
    import os
    from pathlib import Path

    file = os.environ.get("MAO_TOKEN_FILE")
    if os.environ.get("MAO_TOKEN") or not file:
        return os.environ.get("MAO_TOKEN")
    try:
        return Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadSetting(f"MAO_TOKEN_FILE: {file} cannot be read: {error}") from error


def _known(path: str, key: str, incomplete: str) -> list[str]:
    """Names for the completion of a shell, from the node; none if it does not answer at once."""
    import os

    from mao.errors import MaoError

    try:
        names = [item[key] for item in client_of(os.environ.get("MAO_URL"), timeout=1).pages(path)]
    except MaoError:
        return []
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def complete(path: str, key: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Completes a word from the `key` of the items listed at `path`."""
    return lambda _context, _parameter, incomplete: _known(path, key, incomplete)


def tool_argument(command: Callable[..., None]) -> Callable[..., None]:
    """An argument TOOL: a registered tool."""
    return click.argument("tool", shell_complete=complete("/tools", "name"))(command)


def installed_argument(command: Callable[..., None]) -> Callable[..., None]:
    """An argument TOOL: a tool that is on this node."""
    return click.argument("tool", shell_complete=complete("/installations", "tool"))(command)


def dataset_argument(command: Callable[..., None]) -> Callable[..., None]:
    """An argument NAME: a registered dataset."""
    return click.argument("name", shell_complete=complete("/datasets", "name"))(command)


def run_argument(command: Callable[..., None]) -> Callable[..., None]:
    """An argument RUN: the id of a run."""
    return click.argument("run_id", metavar="RUN", shell_complete=complete("/runs", "id"))(command)


def schedule_argument(command: Callable[..., None]) -> Callable[..., None]:
    """An argument SCHEDULE: the id of a schedule."""
    return click.argument("schedule_id", metavar="SCHEDULE", shell_complete=complete("/schedules", "id"))(command)
