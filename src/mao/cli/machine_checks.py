"""Whether this machine has what a node needs: checks for `mao doctor` that ask no node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PYTHON = (3, 11)
_GIT = (2, 30)
_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a database that two processes write
_TIGHT = 1_000_000_000
_FULL = 100_000_000
"""Bytes free at which a node is short of room, and at which it will soon stop."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `ok`, `warn` (it works, but look) or `fail` (a node would not work)."""

    check: str
    result: str
    found: str
    advice: str = ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _at_least(name: str, found: str, wanted: tuple[int, ...], advice: str) -> Finding:
    if _version(found) >= wanted:
        return Finding(name, "ok", found)
    return Finding(name, "fail", found, f"{'.'.join(map(str, wanted))} or later is needed. {advice}")


def _python(name: str) -> Finding:
    return _at_least(name, ".".join(map(str, sys.version_info[:3])), _PYTHON, "Install MAO with a newer Python.")


def _git(name: str) -> Finding:
    if shutil.which("git") is None:
        return Finding(name, "fail", "not on the PATH", "Install git: it brings tools here and data away.")
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    version = said.strip().removeprefix("git version ")
    found = _at_least(name, version, _GIT, "Install a newer git.")
    if found.result == "ok" and shutil.which("prlimit") is None:
        advice = "Install util-linux: with its prlimit, no repository can have git fill this machine's memory or disk."
        return Finding(name, "warn", f"{version}, and no prlimit", advice)
    return found


def _git_lfs(name: str) -> Finding:
    if shutil.which("git-lfs") is None:
        advice = "Install git-lfs if tools write files of publishing.large_file (50 MB, if not set) or more."
        return Finding(name, "warn", "not on the PATH", advice)
    said = subprocess.run(["git-lfs", "version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return Finding(name, "ok", said.split()[0].removeprefix("git-lfs/"))


def _sqlite(name: str) -> Finding:
    try:
        import apsw
    except ImportError as error:
        return Finding(name, "fail", str(error), "Install MAO again: apsw is one of its dependencies.")
    return _at_least(name, apsw.sqlite_lib_version(), _SQLITE, "Install a newer apsw, from its wheel.")


def _configuration(name: str) -> Finding:
    from mao import config

    config.load()
    file = config.config_file(os.environ)
    if file is None:
        return Finding(name, "ok", "no file: defaults and environment")
    return Finding(name, "ok", f"{file.absolute()}{_passed_over(file)}")


def _passed_over(file: Path) -> str:
    from mao import config, founding_configuration

    left = founding_configuration.passed_over(file) if config.is_founding(file) else []
    return f", without {', '.join(left)}" if left else ""


def _home(name: str) -> Finding:
    from mao import config
    from mao.workspace import Workspace

    home = config.load().home
    Workspace(home).check()
    place = home
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding(
            name, "fail", f"{place} cannot be written to", "Give the node another home (MAO_NODE__HOME), or the right."
        )
    free = shutil.disk_usage(place).free
    found = f"{home}{'' if place == home else ' (is made at the start)'}, {free / 1e9:.1f} GB free"
    if free < _FULL:
        return Finding(name, "fail", found, "Make room, or give the node another home (MAO_NODE__HOME).")
    return Finding(name, "warn" if free < _TIGHT else "ok", found, "Make room soon." if free < _TIGHT else "")


def _executor(name: str) -> Finding:
    if not Path("/proc/self/stat").exists():
        return Finding(name, "fail", "no /proc", "Mount it: without it no run can be ended with all its processes.")
    bash = shutil.which("bash")
    with tempfile.TemporaryDirectory() as directory:
        os.mkfifo(Path(directory) / "wake")
        said, why = _chosen(Path(directory))
    if bash is None:
        return Finding(name, "warn", f"{said}; no bash", "Install bash: most tools are started with it.")
    return Finding(
        name, "warn" if why else "ok", said, f"Tools can touch all that the node's user can. {why}" if why else ""
    )


def _chosen(directory: Path) -> tuple[str, str]:
    """What tools run in, and why not in a sandbox; it is tried out as at the start of the node."""
    from mao import config
    from mao.local_node import choose_executor
    from mao.workspace import Workspace

    executor, why = choose_executor(config.load(), Workspace(directory))
    executor.close()
    return executor.describe(), why


CHECKS: dict[str, Callable[[str], Finding]] = {
    "python": _python,
    "git": _git,
    "git-lfs": _git_lfs,
    "sqlite": _sqlite,
    "configuration": _configuration,
    "home": _home,
    "executor": _executor,
}
