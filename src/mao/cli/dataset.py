"""`mao dataset`: the datasets of the cluster, and the clones of them on this node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mao.cli.asking import at
from mao.cli.growth import growth_lines
from mao.cli.lazy import LazyGroup
from mao.cli.options import administrator_option, asks_node, complete, dataset_argument
from mao.cli.output import mao, moment, say
from mao.errors import NotCloned, OutsideFailed, by_code
from mao.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output


def _extent(clone: Any) -> str:
    """How much of the dataset a clone holds, in a few words."""
    files = ", ".join(clone["folders"]) or "all files"
    if clone["history"]:
        return f"{files}; all commits"
    return f"{files}; commits since {clone['since'][:10]}" if clone["since"] else files


_COLUMNS: dict[str, Callable[[Any], str]] = {
    "NAME": lambda dataset: dataset["name"],
    "PRODUCED BY": lambda dataset: ", ".join(dataset["produced_by"]),
    "UPDATED": lambda dataset: moment(dataset["updated_at"]),
    "REMOTE": lambda dataset: dataset["url"],
    "DESCRIPTION": lambda dataset: dataset["description"],
}


def _pointers(clone: Any) -> str:
    number = count(clone["pointers"], "file")
    return f"{number} without content: git-lfs is not installed." if clone["pointers"] else ""


_CLONE_COLUMNS: dict[str, Callable[[Any], str]] = {
    "DATASET": lambda clone: clone["dataset"],
    "STATE": lambda clone: clone["state"],
    "HOLDS": _extent,
    "HEAD": lambda clone: (clone["head"] or "")[:12],
    "REFRESHED": lambda clone: moment(clone["refreshed_at"]),
    "PATH": lambda clone: clone["path"] or "",
    "NOTE": lambda clone: clone["progress"] or clone["detail"] or _pointers(clone),
}
_UNDER_WAY = frozenset({"cloning", "refreshing"})
_LONG_COUNT = 900.0
"""Seconds that the node may take to count a long history for the first time."""


def _clone_argument(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("name", shell_complete=complete("/clones", "dataset"))(command)


_MORE = {
    "conflicts": "mao.cli.changing:conflicts",
    "delete": "mao.cli.changing:delete",
    "move": "mao.cli.changing:move",
    "changes": "mao.cli.changing:changes",
    "verify": "mao.cli.verifying:verify",
}


@click.group(cls=LazyGroup, lazy=_MORE)
def dataset() -> None:
    """The datasets of the cluster, and the clones of them on this node."""


@dataset.command("list")
@click.option("--search", metavar="TEXT", help="Those that have TEXT in their name or description.")
@asks_node
def list_datasets(client: Client, output: Output, search: str | None) -> None:
    """List the datasets that are registered in the cluster."""
    none = f"No dataset has '{search}' in it." if search else "No dataset is registered yet; a tool brings its own."
    output.values(client.pages("/datasets", search=search), _COLUMNS, none)


@dataset.command()
@click.argument("name")
@click.argument("url")
@click.option("--description", default="", help="What is in it.")
@click.option("--replace", is_flag=True, help="Replace the remote and the description that are registered.")
@administrator_option
@asks_node
def register(  # noqa: PLR0913  # what click hands over
    client: Client,
    output: Output,
    name: str,
    url: str,
    description: str,
    *,
    replace: bool,
    as_administrator: bool,
) -> None:
    """Register the git remote at URL as the dataset NAME."""
    if Path(url).is_dir():
        url = str(Path(url).resolve())  # the node works in another directory
    body = {"name": name, "url": url, "description": description}
    etag = client.ask("GET", at("datasets", name)).etag if replace else None
    registered = client.post("/datasets", body, if_match=etag, as_administrator=as_administrator or None)
    if output.is_table:
        click.echo(registered["name"])
        say(f"{'Replaced' if replace else 'Registered'} the dataset '{registered['name']}'.")
    else:
        output.json(registered)


@dataset.command()
@dataset_argument
@asks_node
def show(client: Client, output: Output, name: str) -> None:
    """Show a registered dataset, whether it is cloned here, its size and growth, and what will make it too large."""
    found = client.get(at("datasets", name))
    if output.is_table:
        clone = _clone_here(client, name)
        output.value(found, lambda found: _lines(found, clone))
    growth = client.get(at("datasets", name, "growth"), timeout=_LONG_COUNT)
    output.value(found | {"growth": growth}, lambda found: growth_lines(found["growth"]), like="description")


def _clone_here(client: Client, name: str) -> Any:
    try:
        return client.get(at("clones", name))
    except NotCloned:
        return None


def _lines(found: Any, clone: Any) -> Iterator[tuple[str, str]]:
    yield "name", found["name"]
    yield "description", found["description"]
    yield "remote", found["url"]
    yield "produced by", ", ".join(found["produced_by"])
    yield "head", f"{found['head']} ({moment(found['updated_at'])})" if found["head"] else ""
    yield "license", found["license"] or ""
    yield "registered", f"{moment(found['registered_at'])} by {found['registered_by']}"
    if clone:
        yield "cloned here", f"{clone['state']}: {clone['path'] or clone['detail'] or clone['progress'] or ''}"


def _depth_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how much of a dataset is brought here."""
    options = (
        click.option(
            "--folder",
            "folders",
            multiple=True,
            metavar="PATH",
            help="Only the files below this folder of the dataset; may be given several times. '.' is all of it.",
        ),
        click.option("--since", metavar="DATE", help="With the history back to this day (2026-11-01) or moment."),
        click.option("--history", is_flag=True, help="With the whole history, not only the newest commit."),
        click.option("--no-wait", is_flag=True, help="Return at once; 'mao dataset clones' tells how it stands."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataset.command()
@dataset_argument
@_depth_options
@asks_node
def clone(client: Client, output: Output, name: str, *, no_wait: bool, **asked: Any) -> None:
    """Clone a registered dataset to this node, and print where it is; a clone that is here is refreshed.

    The newest commit comes with all its files, if nothing else is asked for.
    """
    _bring(client, output, {"dataset": name, **asked}, no_wait=no_wait)


@dataset.command()
@_clone_argument
@_depth_options
@asks_node
def refresh(client: Client, output: Output, name: str, *, no_wait: bool, **asked: Any) -> None:
    """Bring the clone of a dataset on this node up to date, and print where it is.

    What is asked for comes besides what is here already.
    """
    client.get(at("clones", name))
    _bring(client, output, {"dataset": name, **asked}, no_wait=no_wait)


def _bring(client: Client, output: Output, body: Any, *, no_wait: bool) -> None:
    begun = client.post("/clones", body)
    if no_wait:
        say(f"'{begun['dataset']}' is {begun['state']}. {mao('dataset clones')} tells how it stands.")
    else:
        told = [""]

        def ended(clone: Any) -> bool:
            if clone["progress"] and clone["progress"] != told[0]:
                told[0] = clone["progress"]
                say(f"{clone['dataset']}: {clone['progress']}")
            return clone["state"] not in _UNDER_WAY

        say(f"{begun['state'].capitalize()} '{begun['dataset']}' from {begun['url']}...")
        begun = client.wait(at("clones", begun["dataset"]), ended, step=1)
        _check(begun)
        if begun["replaced"]:
            was = begun["replaced"][:12]
            say(
                f"Its branch was rewritten at the remote: commit {was}, which was here, is not in its history any more."
            )
        say(f"At commit {begun['head'][:12]}." if begun["head"] else "The dataset has no commit yet.")
        if begun["pointers"]:
            say(f"{_pointers(begun)} Install git-lfs, remove the clone, and clone it again.")
    if not output.is_table:
        output.json(begun)
    elif begun["path"]:
        click.echo(begun["path"])


def _check(clone: Any) -> None:
    if clone["state"] == "failed":
        kind = by_code().get(clone["error"] or "", OutsideFailed)
        raise kind(f"'{clone['dataset']}' could not be brought here: {clone['detail']}")


@dataset.command()
@asks_node
def clones(client: Client, output: Output) -> None:
    """List the datasets that are cloned to this node."""
    none = "No dataset is cloned to this node. 'mao dataset clone NAME' clones one."
    output.values(client.pages("/clones"), _CLONE_COLUMNS, none)


@dataset.command()
@_clone_argument
@asks_node
def remove(client: Client, output: Output, name: str) -> None:
    """Remove the clone of a dataset from this node; not if files in it were changed."""
    client.delete(at("clones", name))
    if output.is_table:
        say(f"Removed the clone of '{name}' from this node.")
    else:
        output.json({"dataset": name, "removed": True})


@dataset.command()
@dataset_argument
@administrator_option
@asks_node
def withdraw(client: Client, output: Output, name: str, *, as_administrator: bool) -> None:
    """Take a dataset out of the registry. Its remote and its clones stay."""
    client.delete(at("datasets", name), as_administrator=as_administrator or None)
    if output.is_table:
        say(f"Withdrew the dataset '{name}' from the registry.")
    else:
        output.json({"name": name, "withdrawn": True})
