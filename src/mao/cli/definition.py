"""`mao definition`: check a `mao.yaml`, or begin one."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mao.errors import BadDefinition, Conflict, NotFound

if TYPE_CHECKING:
    from mao.definition import Definition
    from mao.drafting import Draft, DraftCommand

FILE_NAMES = ("mao.yaml", "mao.yml")


@click.group()
def definition() -> None:
    """Check the definition of a tool (mao.yaml), or begin one."""


@definition.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "ndjson"]),
    default="table",
    help="How to write the answer.",
)
@click.pass_context
def check(context: click.Context, path: Path, output: str) -> None:
    """Check the definition at PATH, a file or the folder that holds it.

    Exits with 2 if it has faults; each is shown with its line and column.
    """
    from mao.definition_file import load

    file = _existing(path)
    text = _read(file)
    try:
        found = load(text, str(file))
    except BadDefinition as error:
        if output == "table":
            raise
        _write_json({"ok": False, "faults": error.faults}, output)
        context.exit(BadDefinition.exit_status)
    if output == "table":
        click.echo(f"{file}: {_summary(found)}")
    else:
        _write_json({"ok": True, "definition": found.model_dump(mode="json")}, output)


def _existing(path: Path) -> Path:
    candidates = [path / name for name in FILE_NAMES] if path.is_dir() else [path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    where = f"in {path}" if path.is_dir() else f"at {path}"
    raise NotFound(f"There is no definition {where}. `mao definition new` begins one.")


def _read(file: Path) -> bytes:
    from mao.definition_file import MAX_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from None


def _summary(found: Definition) -> str:
    names = ", ".join(command.name for command in found.commands)
    return f"{found.name} (format {found.version}), data to {found.data.repo.name}, commands: {names}"


def _write_json(answer: dict[str, Any], output: str) -> None:
    click.echo(json.dumps(answer, indent=2 if output == "json" else None, ensure_ascii=False))


@definition.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--name", help="The tool's name; the folder's, if not given.")
@click.option("--description", help="What the tool does.")
@click.option("--dataset", help="The name of the dataset that its data goes to.")
@click.option("--remote", help="The dataset's git remote.")
@click.option("--local", metavar="FOLDER", help="Let runs share this folder, one at a time, not a fresh one each.")
@click.option("--installer", metavar="'COMMAND SCRIPT'", help="What is run once on installation: 'bash install.sh'.")
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="'NAME=COMMAND SCRIPT'",
    help="What the tool can be asked to do: 'Collect=python3 collect.py'. May be repeated.",
)
@click.option(
    "--argument",
    "arguments",
    multiple=True,
    metavar="COMMAND.NAME[=DEFAULT]",
    help="An argument of a command: 'Collect.Station'. May be repeated, in the order of passing.",
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Replace a definition that is there.")
def new(path: Path, *, yes: bool, force: bool, **given: Any) -> None:
    """Begin a definition at PATH, a file or a folder.

    On a terminal, what no option says is asked for.
    """
    from mao.definition_file import load
    from mao.drafting import draft

    file = _target(path, force=force)
    ask = not yes and sys.stdin.isatty()
    text = draft(_draft(given, file.absolute().parent.name, ask=ask))
    found = load(text, str(file))
    _write(file, text)
    click.echo(str(file))
    scripts = ", ".join(dict.fromkeys(command.script for command in found.commands))
    click.echo(f"Next: write {scripts}, commit, and try `mao definition check`.", err=True)


def _target(path: Path, *, force: bool) -> Path:
    places = [path / name for name in FILE_NAMES] if path.is_dir() else [path]
    there = [place for place in places if place.exists()]
    if there and not force:
        raise Conflict(f"{there[0]} is there already; --force replaces it.")
    target = there[0] if there else places[0]
    if not target.parent.is_dir():
        raise NotFound(f"There is no folder {target.parent}.")
    return target


def _draft(given: dict[str, Any], folder: str, *, ask: bool) -> Draft:
    from mao.drafting import Draft

    def value(option: str, question: str, default: str) -> str:
        if given[option] is not None:
            return str(given[option])
        return str(click.prompt(question, default=default, err=True)) if ask else default

    name = value("name", "Name of the tool", _name_from(folder))
    description = value("description", "What does it do", f"The tool {name}.")
    dataset = value("dataset", "Name of the dataset for its data", f"{name[:95]}-data")
    remote = value("remote", "Git remote of the dataset", f"https://example.org/{dataset}.git")
    commands = given["commands"]
    if not commands:
        commands = ["Run=" + (click.prompt("What runs it", default="bash run.sh", err=True) if ask else "bash run.sh")]
    return Draft(
        name=name,
        description=description,
        dataset=dataset,
        remote=remote,
        local=given["local"],
        installer=_command_and_script(given["installer"], "--installer") if given["installer"] else None,
        commands=_commands(commands, given["arguments"]),
    )


def _name_from(folder: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._")[:95] or "my-tool"


def _command_and_script(text: str, option: str) -> tuple[str, str]:
    command, _, script = text.strip().rpartition(" ")
    if not command:
        raise click.UsageError(f"{option} takes a program and a script, such as 'bash run.sh', not {text!r}")
    return command.strip(), script


def _commands(commands: list[str], arguments: list[str]) -> tuple[DraftCommand, ...]:
    from mao.drafting import DraftArgument, DraftCommand

    by_command: dict[str, list[DraftArgument]] = {}
    for text in arguments:
        place, has_default, default = text.partition("=")
        command, _, name = place.partition(".")
        by_command.setdefault(command, []).append(DraftArgument(name, default=default if has_default else None))
    drafts = []
    for text in commands:
        name, _, line = text.partition("=")
        command, script = _command_and_script(line, "--command NAME=")
        drafts.append(DraftCommand(name, command, script, arguments=tuple(by_command.pop(name, ()))))
    if by_command:
        raise click.UsageError(f"--argument names a command that is not there: {', '.join(by_command)}")
    return tuple(drafts)


def _write(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
