"""Find what the secret arguments of a run stand for when it is started, and forget it when it is over."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from mao.building import find_installation
from mao.errors import BadArguments, SecretNotFound
from mao.fields import shown
from mao.secret import LONGEST, Source, reference, text_of
from mao.workspace import write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.definition import Command
    from mao.local_node import LocalNode
    from mao.run import Run

_FILE = "secrets.json"


def values(node: LocalNode, run: Run) -> dict[str, str]:
    """What the secret arguments of `run` stand for now, by their names.

    Raises:
        NotInstalled, CommandNotFound
        BadArguments: with every one that cannot be had, and why.
    """
    found: dict[str, str] = {}
    faults: list[dict[str, object]] = []
    for argument in _command(node, run).secrets:
        if argument.name not in run.arguments:
            continue
        try:
            value = _value(node, run, run.arguments[argument.name])
            if fault := argument.pattern_fault(value):
                raise ValueError(f"stands for something that {fault}")  # noqa: TRY301  # one way for every fault
            found[argument.name] = value
        except ValueError as error:
            faults.append({"argument": argument.name, "message": f"Argument {shown(argument.name)} {error}."})
    if faults:
        raise BadArguments("\n".join(str(fault["message"]) for fault in faults), faults)
    return found


def _command(node: LocalNode, run: Run) -> Command:
    definition = find_installation(node, run.tool).definition
    assert definition is not None  # noqa: S101  # for the type checker: there is no run without one
    return definition.command(run.command)


def _value(node: LocalNode, run: Run, text: str | None) -> str:
    if text is None:
        raise ValueError("was given itself, to an older version, and is not kept: start the run again")
    asked = reference(text)
    if run.asked_by is not None and asked.source is not Source.KEYRING:
        raise ValueError(f"can only be @keyring:NAME, and not {asked}, when it is node '{run.asked_by}' that asks")
    match asked.source:
        case Source.KEYRING:
            content = _from_keyring(node, run, asked.name)
        case Source.ENV:
            content = _from_environment(node, asked.name)
        case Source.FILE:
            content = _from_file(node, Path(asked.name))
    try:
        return text_of(content)
    except ValueError as error:
        raise ValueError(f"stands for something that cannot be a secret: {asked} {error}") from None


def _from_keyring(node: LocalNode, run: Run, name: str) -> bytes:
    try:
        secret, value = node.keyring.find(name)
    except SecretNotFound:
        raise ValueError(
            f"cannot be had: the keyring of node '{node.config.node}' has no secret '{name}' ('mao secret set {name}')"
        ) from None
    meant = run.tool.lower() in map(str.lower, secret.tools)
    if not meant and (secret.tools or run.asked_by is not None):
        raise ValueError(
            f"cannot be had: the secret '{name}' of node '{node.config.node}' is not for the tool '{run.tool}'"
            + (f" when it is node '{run.asked_by}' that asks" if run.asked_by else "")
            + " ('mao secret set --tool')"
        )
    return value.encode()


def _from_environment(node: LocalNode, name: str) -> bytes:
    if name not in node.config["secrets.environment"]:
        raise ValueError(f"cannot be had: the setting secrets.environment does not name the variable {name}")
    if name not in os.environ:
        raise ValueError(f"cannot be had: 'mao serve' was started without the variable {name}")
    return os.environb[name.encode()]


def _from_file(node: LocalNode, path: Path) -> bytes:
    """The content of a file that really is below one of the directories of `secrets.files`."""
    roots: tuple[Path, ...] = node.config["secrets.files"]
    if not any(path.is_relative_to(root) for root in roots):
        raise ValueError(f"cannot be had: {path} is not below a directory that the setting secrets.files names")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            # What is open cannot be exchanged any more, as a link on the way to it could be.
            real = Path(f"/proc/self/fd/{descriptor}").readlink()
            if not any(real.is_relative_to(root.resolve()) for root in roots):
                raise ValueError(f"cannot be had: a link on the way to {path} leaves the directories of secrets.files")
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(f"cannot be had: {path} is no file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(LONGEST + 3)  # with the end of its line, and one more
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ValueError(f"cannot be had: {path} cannot be read: {error.strerror}") from None


def keep(node: LocalNode, run_id: str, found: dict[str, str]) -> None:
    """Have the values survive a kill, from the start of a run until its files have been looked through for them.

    Raises:
        DiskFull
    """
    if found:
        write_durably(node.workspace.run(run_id) / _FILE, json.dumps(found).encode(), mode=0o600)


def kept(node: LocalNode, run_id: str) -> dict[str, str]:
    """The values that were kept; none, if the run has no secrets, or they are not needed any more."""
    try:
        found: dict[str, str] = json.loads((node.workspace.run(run_id) / _FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def is_kept(node: LocalNode, run_id: str) -> bool:
    """Whether there is anything to forget."""
    return any(_files(node, run_id))


def forget(node: LocalNode, run_id: str) -> None:
    """Remove what was kept, and a half of it that a kill has left."""
    for path in _files(node, run_id):
        path.unlink(missing_ok=True)


def _files(node: LocalNode, run_id: str) -> Iterator[Path]:
    return node.workspace.run(run_id).glob(f"{_FILE}*")
