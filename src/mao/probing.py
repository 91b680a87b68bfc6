"""See whether this machine has what a node needs. No node has to be open for that, or serve."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mao.attending import url_of
from mao.errors import MaoError, NodeUnreachable
from mao.health import Finding, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.config import Config

_PYTHON = (3, 11)
_GIT = (2, 30)
_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a database that two processes write
_TIGHT = 1_000_000_000
_FULL = 100_000_000
"""Bytes free at which a node is short of room, and at which it will soon stop."""
_ANSWERED = 200


def checked(name: str, check: Callable[[str], Finding]) -> Finding:
    """What `check` finds; where it cannot, why."""
    try:
        return check(name)
    except (MaoError, OSError, subprocess.SubprocessError) as error:
        return Finding(name, Result.FAIL, str(error), "See what it says.")


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _at_least(name: str, found: str, wanted: tuple[int, ...], advice: str) -> Finding:
    if _version(found) >= wanted:
        return Finding(name, Result.OK, found)
    return Finding(name, Result.FAIL, found, f"{'.'.join(map(str, wanted))} or later is needed. {advice}")


def _python(name: str) -> Finding:
    return _at_least(name, ".".join(map(str, sys.version_info[:3])), _PYTHON, "Install MAO with a newer Python.")


def _git(name: str) -> Finding:
    if shutil.which("git") is None:
        return Finding(name, Result.FAIL, "not on the PATH", "Install git: it brings tools here and data away.")
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    version = said.strip().removeprefix("git version ")
    found = _at_least(name, version, _GIT, "Install a newer git.")
    if found.result is Result.OK and shutil.which("prlimit") is None:
        advice = "Install util-linux: with its prlimit, no repository can have git fill this machine's memory or disk."
        return Finding(name, Result.WARN, f"{version}, and no prlimit", advice)
    return found


def _git_lfs(name: str) -> Finding:
    if shutil.which("git-lfs") is None:
        advice = "Install git-lfs if tools write files of publishing.large_file (50 MB, if not set) or more."
        return Finding(name, Result.WARN, "not on the PATH", advice)
    said = subprocess.run(["git-lfs", "version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return Finding(name, Result.OK, said.split()[0].removeprefix("git-lfs/"))


# Imported where it is used: that something cannot be imported is what is looked for.


def _sqlite(name: str) -> Finding:
    try:
        import apsw
    except ImportError as error:
        return Finding(name, Result.FAIL, str(error), "Install MAO again: apsw is one of its dependencies.")
    return _at_least(name, apsw.sqlite_lib_version(), _SQLITE, "Install a newer apsw, from its wheel.")


def _configuration(name: str) -> Finding:
    from mao import config

    config.load()
    file = config.config_file(os.environ)
    if file is None:
        return Finding(name, Result.OK, "no file: defaults and environment")
    return Finding(name, Result.OK, f"{file.absolute()}{_passed_over(file)}")


def _passed_over(file: Path) -> str:
    from mao import config, founding_configuration

    left = founding_configuration.passed_over(file) if config.is_founding(file) else []
    return f", without {', '.join(left)}" if left else ""


def _home(name: str) -> Finding:
    from mao import config

    return look_at_home(name, config.load().home)


def look_at_home(name: str, home: Path) -> Finding:
    """Whether a node can write to its home, and has room there."""
    from mao.workspace import Workspace

    Workspace(home).check()
    place = home
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        advice = "Give the node another home (MAO_NODE__HOME), or the right."
        return Finding(name, Result.FAIL, f"{place} cannot be written to", advice)
    free = shutil.disk_usage(place).free
    found = f"{home}{'' if place == home else ' (is made at the start)'}, {free / 1e9:.1f} GB free"
    if free < _FULL:
        return Finding(name, Result.FAIL, found, "Make room, or give the node another home (MAO_NODE__HOME).")
    return Finding(name, Result.WARN, found, "Make room soon.") if free < _TIGHT else Finding(name, Result.OK, found)


def _executor(name: str) -> Finding:
    """What tools would run in; it is tried out as at the start of the node."""
    from mao import config
    from mao.local_node import choose_executor
    from mao.workspace import Workspace

    def chosen() -> tuple[str, str]:
        with tempfile.TemporaryDirectory() as directory:
            os.mkfifo(Path(directory) / "wake")
            executor, why = choose_executor(config.load(), Workspace(Path(directory)))
            executor.close()
            return executor.describe(), why

    return look_at_executor(name, chosen)


def look_at_executor(name: str, chosen: Callable[[], tuple[str, str]]) -> Finding:
    """Whether runs can be started and ended. `chosen` says what they run in, and why not in a sandbox."""
    if not Path("/proc/self/stat").exists():
        advice = "Mount it: without it no run can be ended with all its processes."
        return Finding(name, Result.FAIL, "no /proc", advice)
    said, why = chosen()
    if shutil.which("bash") is None:
        return Finding(name, Result.WARN, f"{said}; no bash", "Install bash: most tools are started with it.")
    if why:
        return Finding(name, Result.WARN, said, f"Tools can touch all that the node's user can. {why}")
    return Finding(name, Result.OK, said)


def look_at_address(name: str, config: Config, ask: Callable[[str], int]) -> Finding:
    """Whether a node answers where the other nodes ask it; `ask` does so as they would, and tells the status."""
    if config["cluster.listen"] is None:
        return Finding(name, Result.OK, "cluster.listen is not set: other nodes cannot ask this one")
    url = url_of(config)
    if url is None:
        return Finding(name, Result.OK, "cluster.url is not set: other nodes are told no address of this one")
    try:
        status = ask(url)
    except NodeUnreachable as error:
        advice = "Other nodes cannot ask this one: see cluster.listen, cluster.url."
        return Finding(name, Result.FAIL, error.detail, advice)
    return Finding(name, Result.OK if status == _ANSWERED else Result.FAIL, f"{url} answers with {status}")


CHECKS: dict[str, Callable[[str], Finding]] = {
    "python": _python,
    "git": _git,
    "git-lfs": _git_lfs,
    "sqlite": _sqlite,
    "configuration": _configuration,
    "home": _home,
    "executor": _executor,
}
"""By their names, for a node that would be started now by this user."""
