"""A small observatory with two months behind it, for the tests of whole pages and for pictures of them.

Its tools, commands and data are as in life; what it has recorded of the past is written straight into its store. Its
remotes are `https://git.example.org/...`, which git finds in a directory.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mao import agreeing, config
from mao.catalogue import head_edit
from mao.local_node import opened
from mao.run import Run, RunState
from mao.values import now
from observatory.past import HABITS, HOSTED, Past
from observatory.picture import coast
from support import ServedNode, bare, git
from support import commit as committed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mao.registry import Edit

NAME = "north"
INSTALLED = ("air-quality", "dns-latency", "exchange-rates", "package-census", "weather-stations")
NOT_INSTALLED = "container-tags"
_TOOLS = Path(__file__).with_name("tools")
_LOGS = 200
"""So many of the last runs have their log still."""
_ODD = (
    ("dns-latency", 0.4, RunState.CANCELLED),
    ("dns-latency", 3.2, RunState.FAILED),
    ("weather-stations", 6.5, RunState.UNPUBLISHED),
    ("package-census", 9.1, RunState.TIMED_OUT),
    ("air-quality", 22.3, RunState.FAILED),
    ("exchange-rates", 27.0, RunState.LOST),
)
"""Runs that somebody asked for by hand: of which tool, how many hours ago, and how they ended."""
_LOG = b"""\
\x1b[1m%(tool)s\x1b[0m %(command)s
\x1b[32mok\x1b[0m   connected
\x1b[33mwarn\x1b[0m one reading was taken from the neighbouring sensor
\x1b[32mok\x1b[0m   written
"""
_FAILED_LOG = b"""\
\x1b[1m%(tool)s\x1b[0m %(command)s
\x1b[32mok\x1b[0m   connected to \x1b[36m192.0.2.54\x1b[0m
\x1b[32mok\x1b[0m   archive.example.org    12.4 ms
\x1b[32mok\x1b[0m   census.example.org      9.8 ms
\x1b[33mslow\x1b[0m data.example.org      731.0 ms
\x1b[31mlost\x1b[0m docs.example.org        after 2.5 s
\x1b[31mlost\x1b[0m mirror.example.org      after 2.5 s
\x1b[1;31merror\x1b[0m: more than a quarter of the answers were lost
"""


@dataclass
class Observatory:
    """The observatory while it is served, and what tests look for in it."""

    node: ServedNode
    runs: dict[str, str] = field(default_factory=dict)
    """Ids of runs, by what is known of each: its state; `long` and `shared` go on, `queued` waits for the latter, and
    `chart` and `picture` are named for what they wrote."""
    schedules: dict[str, str] = field(default_factory=dict)
    """Ids of schedules, by their tools."""


@contextmanager
def observatory(place: Path, **settings: str) -> Iterator[Observatory]:
    """Serve an observatory below `place`, a directory that is empty.

    Args:
        place: where its remotes and its home are made.
        settings: further ones of the node, as environment variables.
    """
    commits = _make_remotes(place / "remotes")
    (place / "gitconfig").write_text(f'[url "file://{place}/remotes/"]\n\tinsteadOf = {HOSTED}\n')
    more = {"GIT_CONFIG_GLOBAL": str(place / "gitconfig"), "MAO_PUBLISHING__LONGEST_PAUSE": "3600"} | settings
    found = Observatory(ServedNode(place / "home", NAME, more))
    past, odd = _past(commits)
    past.publish(place / "remotes")
    try:
        _install(found.node.start())
        found.node.stop()
        _remember(found.node.home, past)
        found.schedules = {tool: schedule.id for tool, schedule in past.schedules.items()}
        found.runs = {run.state.value: run.id for run in reversed(odd)}
        found.node.start()
        _run(found)
        _move_on(found.node, place / "remotes")
        yield found
    finally:
        _end(found.node)


def _make_remotes(remotes: Path) -> dict[str, str]:
    """The commits of the tools, by their names."""
    commits = {}
    for tool in sorted(_TOOLS.iterdir()):
        files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in sorted(tool.iterdir())}
        if tool.name == "weather-stations":
            files["map.png"] = coast()
        commits[tool.name] = committed(remotes / f"{tool.name}.git", files, "Begin")
        bare(remotes / f"{tool.name}-data.git")
    git("tag", "v1.4", cwd=remotes / f"{NOT_INSTALLED}.git")
    return commits


def _past(commits: dict[str, str]) -> tuple[Past, list[Run]]:
    """The past, with runs of its last hours that somebody asked for by hand: these apart, too."""
    present = now()
    past = Past(NAME, present, commits)
    habits = {habit.tool: habit for habit in HABITS}
    odd = [past.run(habits[tool], present - timedelta(hours=hours), state) for tool, hours, state in _ODD]
    past.runs += odd
    return past, odd


def _install(node: ServedNode) -> None:
    for tool in INSTALLED:
        node.api("POST", "/tools", {"url": f"{HOSTED}{tool}.git"})
        node.api("POST", "/installations", {"tool": tool})
    node.api("POST", "/tools", {"url": f"{HOSTED}{NOT_INSTALLED}.git", "ref": "v1.4"})
    for tool in INSTALLED:
        assert node.installed(tool)["state"] == "installed"


def _remember(home: Path, past: Past) -> None:
    """Have the node that is in `home` have recorded what it did."""
    with opened(config.load({"HOME": str(home.parent)}, {"node.home": str(home), "node.name": NAME})) as node:
        node.store.save(*past.schedules.values(), *past.slots, *past.runs, flush=False)
        for run in past.runs[-_LOGS:]:
            directory = node.workspace.run(run.id)
            directory.mkdir()
            text = _FAILED_LOG if run.state is RunState.FAILED else _LOG
            (directory / "log").write_bytes(text % {b"tool": run.tool.encode(), b"command": run.command.encode()})
        for habit in HABITS:
            newest = past.newest(habit.dataset)
            commit = newest.publication.commit if newest.publication else None
            agreeing.written(node, partial(_head, habit.dataset, commit, newest.ended_at))


def _head(dataset: str, commit: str | None, at: datetime | None, look: agreeing.Look) -> list[Edit]:
    return [head_edit(look, dataset, head=commit, updated_at=at)]


def _run(found: Observatory) -> None:
    """Have it run some of its commands now; two of these runs go on, and a third waits for one of them."""
    node = found.node
    asked = {
        "chart": node.run("Collect", "centre", "168", tool="air-quality"),
        "picture": node.run("Observe", tool="weather-stations"),
        "long": node.run("Calibrate", "2.5", "reference.csv", tool="air-quality"),
    }
    for name in ("chart", "picture"):
        assert node.ended(asked[name])["state"] == "succeeded"
    asked["shared"] = node.finished(node.run("Observe", "120", tool="weather-stations"), "running")
    asked["queued"] = node.run("Observe", tool="weather-stations")
    found.runs |= {name: run["id"] for name, run in asked.items()}


def _move_on(node: ServedNode, remotes: Path) -> None:
    """Have the authors of tools go on: one has a new commit, one has moved a tag, which raises an alarm."""
    tool = remotes / "air-quality.git"
    definition = (tool / "mao.yaml").read_text().replace("Timeout: 10 min", "Timeout: 20 min")
    script = (tool / "collect.py").read_text().replace("in 84 ms", "in 84 ms, over TLS 1.3")
    committed(tool, {"mao.yaml": definition, "collect.py": script}, "Give slow stations more time")
    committed(remotes / f"{NOT_INSTALLED}.git", {"list.sh": "exit 0\n"}, "Move")
    git("tag", "--force", "v1.4", cwd=remotes / f"{NOT_INSTALLED}.git")
    node.api("POST", "/installations", {"tool": NOT_INSTALLED}, status=409)


def _end(node: ServedNode) -> None:
    """Leave no process behind."""
    if node.process is None or node.dead():
        return
    for state in ("queued", "running"):
        for run in node.api("GET", f"/runs?state={state}")["items"]:
            node.api("POST", f"/runs/{run['id']}/cancel", {})
            node.ended(run)
    node.stop()
