"""`mao doctor`: whether this machine has what a node needs, and what to do if it has not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mao import __version__
from mao.cli.options import client_of, output_option
from mao.cli.output import count, seconds
from mao.errors import MaoError, NodeUnreachable, RegistryUnavailable, RouteNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.cli.output import Output

_PYTHON = (3, 11)
_GIT = (2, 30)
_SQLITE = (3, 51, 3)  # 3.7.0 to 3.51.2 can corrupt a database that two processes write
_TIGHT = 1_000_000_000
_FULL = 100_000_000
"""Bytes free at which a node is short of room, and at which it will soon stop."""
_SHOWN = 3
"""Alarms that are named."""
_TROUBLES = {
    "missed": "The node was down: have systemd start it (mao.service).",
    "tool-missing": "Install the tool again, or edit or remove the schedule.",
    "skipped-late": "Runs waited too long to be started: see runs.limit, and how long they take.",
    "skipped-overlap": "Runs take longer than their period: see the schedule's rule and its overlap.",
}
_PATIENCE = 10.0  # seconds
_OK = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `ok`, `warn` (it works, but look) or `fail` (a node would not work)."""

    check: str
    result: str
    found: str
    advice: str = ""


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


def _client() -> Client:
    return client_of(os.environ.get("MAO_URL"))


def _node(name: str) -> Finding:
    client = _client()
    url = client.url
    try:
        version = client.ready()["version"]
    except NodeUnreachable as error:
        return Finding(
            name, "warn", f"none at {url}", "" if "no MAO node" in error.detail else "'mao serve' starts it."
        )
    if version != __version__:
        return Finding(name, "warn", f"{url}, version {version}", f"This is {__version__}: start the node again.")
    return Finding(name, "ok", f"{url}, version {version}")


def _alarms(name: str) -> Finding:
    alarms = [f"{alarm['kind']} of {alarm['subject']}" for alarm in _listed("/alarms")]
    if not alarms:
        return Finding(name, "ok", "none")
    more = f" and {len(alarms) - _SHOWN} more" if len(alarms) > _SHOWN else ""
    advice = "'mao alarm list' says what is the matter, and what to do."
    return Finding(name, "warn", ", ".join(alarms[:_SHOWN]) + more, advice)


def _decisions(name: str) -> Finding:
    runs = [run for run in _listed("/runs", state="unpublished") if run["publication"]["state"] == "blocked"]
    if not runs:
        return Finding(name, "ok", "none")
    advice = "'mao run list --state unpublished' lists them, 'mao run show RUN' says what there is to decide."
    return Finding(name, "warn", f"the data of {count(len(runs), 'run')} waits for one", advice)


def _schedules(name: str) -> Finding:
    summary = _client().get("/schedules/summary", timeout=_PATIENCE)
    paused, troubled = summary["schedules"]["paused"], summary["troubled"]
    found = f"{count(sum(summary['schedules'].values()), 'schedule')}{f', {paused} of them paused' if paused else ''}"
    if not troubled:
        return Finding(name, "ok", found)
    slots: dict[str, int] = {}
    for each in troubled:
        slots[each["outcome"]] = slots.get(each["outcome"], 0) + each["slots"]
    told = ", ".join(f"{number} {outcome}" for outcome, number in slots.items())
    worst = max(troubled, key=lambda each: int(each["slots"]))
    advice = f"{_TROUBLES[worst['outcome']]} 'mao schedule slots {worst['schedule']}' tells more."
    return Finding(name, "warn", f"{found}; slots of the last day: {told}", advice)


def _listed(path: str, **filters: object) -> Iterator[Any]:
    return _client().pages(path, timeout=None, **filters)


def _announced(name: str) -> Finding:
    from mao.cli.node import unannounced
    from mao.registry import STALE

    client = _client()
    try:
        nodes = list(client.pages("/nodes"))
    except RegistryUnavailable as error:
        return Finding(name, "warn", "not known", error.detail)
    if client.registry_age > STALE:
        said = f"not known: the registry has been away for {seconds(client.registry_age)}"
        return Finding(name, "warn", said, "'mao cluster status' says what is the matter with it.")
    for found in nodes:
        if found["here"]:
            where = f"at {found['url']}" if found["url"] else "without an address: other nodes cannot ask it"
            return Finding(name, "ok", f"'{found['name']}', {where}")
    return Finding(name, "warn", "other nodes do not see this one", unannounced(client, nodes))


def _cluster(name: str) -> Finding:
    """Whether the node answers where the other nodes ask it, as they would."""
    from mao import config

    _client().ready()
    settings = config.load()
    if settings["cluster.listen"] is None:
        return Finding(name, "ok", "cluster.listen is not set: other nodes cannot ask this one")
    import asyncio

    from mao.attending import url_of
    from mao.web.relaying import connected

    async def ask() -> int:
        peer = await connected(settings, settings.node, url_of(settings))
        try:
            return await peer.ask("GET", "/healthz", {}, b"", _PATIENCE)
        finally:
            peer.writer.transport.abort()

    try:
        status = asyncio.run(ask())
    except NodeUnreachable as error:
        return Finding(name, "fail", error.detail, "Other nodes cannot ask this one: see cluster.listen, cluster.url.")
    found = f"{url_of(settings)} answers with {status}"
    return Finding(name, "ok" if status == _OK else "fail", found)


_CHECKS: dict[str, Callable[[str], Finding]] = {
    "python": _python,
    "git": _git,
    "git-lfs": _git_lfs,
    "sqlite": _sqlite,
    "configuration": _configuration,
    "home": _home,
    "executor": _executor,
    "node": _node,
    "alarms": _alarms,
    "decisions": _decisions,
    "schedules": _schedules,
    "announced": _announced,
    "cluster": _cluster,
}
