"""Whether the node is as it should be: checks for `mao doctor` that ask it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mao import __version__
from mao.cli.machine_checks import Finding
from mao.cli.options import client_of
from mao.errors import NodeUnreachable, RegistryUnavailable
from mao.wording import count, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client

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


CHECKS: dict[str, Callable[[str], Finding]] = {
    "node": _node,
    "alarms": _alarms,
    "decisions": _decisions,
    "schedules": _schedules,
    "announced": _announced,
    "cluster": _cluster,
}
