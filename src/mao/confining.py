"""Confine tools and their installers: what they may touch and use, by the node's settings and their definition."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mao.definition_terms import Network
from mao.executor import Confinement, Limits

if TYPE_CHECKING:
    from mao.definition import Definition
    from mao.definition_terms import Resources
    from mao.local_node import LocalNode

_TEMPORARY = "/tmp"  # noqa: S108  # of the sandbox, which nobody else sees


def home_of(tree: Path) -> Path:
    """The home that the installer of the tool in `tree` has; its runs find there what was installed for it."""
    return tree.with_name("home")


def environment(node: LocalNode, tree: Path) -> dict[str, str]:
    """What the tool in `tree` gets of the node's own environment; in a sandbox, with a home of its own."""
    home, passed = home_of(tree), node.passed_environment()
    if node.executor.confines:
        passed.pop("TMPDIR", None)
        passed["HOME"] = str(home) if home.is_dir() else _TEMPORARY
    return passed


def of_run(node: LocalNode, definition: Definition, tree: Path, data: Path) -> Confinement:
    """What a run may touch: it reads the tool, and writes its data."""
    named = {name.lower() for name in node.config["sandbox.writable_tools"]}
    read: tuple[Path, ...] = (tree, home_of(tree))
    write: tuple[Path, ...] = (data,)
    if tree.parents[1].name in named:
        read, write = _but_for_git(tree, read), (tree, data)
    return _confinement(node, read, write, definition.network, definition.resources)


def of_installer(node: LocalNode, tree: Path) -> Confinement:
    """What an installer may touch: it writes the tool, and a home of the tool's own."""
    return _confinement(node, _but_for_git(tree, ()), (tree, home_of(tree)), None, None)


def _but_for_git(tree: Path, read: tuple[Path, ...]) -> tuple[Path, ...]:
    """The node itself calls git there: what git reads is not for the tool to write."""
    return (*read, tree / ".git")


def _confinement(
    node: LocalNode,
    read: tuple[Path, ...],
    write: tuple[Path, ...],
    network: Network | None,
    resources: Resources | None,
) -> Confinement:
    named: tuple[Path, ...] = (*node.config["sandbox.read"], *_certificates())
    return Confinement(
        read=tuple(path for path in (*named, *read) if path.exists()),
        write=write,
        hidden=(
            node.config.home,
            *node.config["secrets.files"],
            *(home for home in _homes() if home not in named),
        ),
        network=network is not Network.NONE,
        limits=_limits(node, resources),
    )


def _certificates() -> tuple[Path, ...]:
    """Where the node's own environment says that certificates are; a definition cannot say that anything is."""
    return tuple(Path(os.environ[name]) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))


def _homes() -> set[Path]:
    """The home of the node's user, in which keys are."""
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    return {Path(home) for home in homes if home not in {"", "/"}}


def _limits(node: LocalNode, wanted: Resources | None) -> Limits:
    """The lower of what the definition says and of what the node allows."""
    most = {name: node.config[f"sandbox.{name}"] for name in Limits.__dataclass_fields__}
    for name in ("memory", "processes", "cpu_time", "disk"):
        if (said := getattr(wanted, name, None)) is not None:
            most[name] = min(said, most[name])
    return Limits(**most)
