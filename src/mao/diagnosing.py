"""See whether this node is as it should be, and what to do if it is not. Nothing is mended here."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mao import __version__, config, probing
from mao.alarm import Alarm
from mao.attending import url_of
from mao.catalogue import NODES, Node
from mao.config import cluster_file
from mao.consenting import awaited
from mao.errors import RegistryUnavailable
from mao.health import Finding, Health, Result
from mao.probing import checked, look_at_executor, look_at_home
from mao.registry import STALE
from mao.run import PublicationState, Run, RunState
from mao.schedule import DAY, LASTING, PAST_ALL, Outcome, ScheduleState, slot_key
from mao.values import Moment, Value, now
from mao.wording import count, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from mao.local_node import LocalNode

PATIENCE = 5.0
_KEPT = 10.0
"""Seconds for which a finding is told that took a program, a disk or the network to find."""
_NEWEST = 200
"""Runs that are looked at where it must be quick."""
_SHOWN = 3
"""Alarms, and settings, that are named."""
_TROUBLES = {
    Outcome.MISSED: "The node was down: have systemd start it (mao.service).",
    Outcome.TOOL_MISSING: "Install the tool again, or edit or remove the schedule.",
    Outcome.SKIPPED_LATE: "Runs waited too long to be started: see runs.limit, and how long they take.",
    Outcome.SKIPPED_OVERLAP: "Runs take longer than their period: see the schedule's rule and its overlap.",
}


class Troubled(Value):
    """How many of a schedule's slots had an outcome of late that they should not have had."""

    schedule: str
    tool: str
    command: str
    outcome: Outcome
    slots: int


class Summary(Value):
    """How the schedules of a node stand."""

    schedules: dict[ScheduleState, int]
    since: Moment
    """`troubled` counts slots planned after that."""
    troubled: tuple[Troubled, ...]


def summarize(node: LocalNode) -> Summary:
    """How many schedules there are by state, and how many of their slots of the last day were troubled."""
    begin = node.clock() - DAY
    schedules = node.store.schedules(*LASTING)
    troubled = [
        Troubled(schedule=known.id, tool=known.tool, command=known.command, outcome=outcome, slots=slots)
        for known in schedules
        for outcome, slots in _troubled(node, known.id, begin)
    ]
    counts = {state: sum(known.state is state for known in schedules) for state in LASTING}
    return Summary(schedules=counts, since=begin, troubled=tuple(troubled))


def _troubled(node: LocalNode, schedule_id: str, begin: datetime) -> list[tuple[Outcome, int]]:
    counts = node.store.counts("slot", slot_key(schedule_id, begin), f"{schedule_id}/{PAST_ALL}")
    return [(outcome, counts[outcome]) for outcome in _TROUBLES if outcome in counts]


class Checkup:
    """The checks of a node that serves.

    What is in memory and in the store is looked at when it is asked for. The rest is found by threads, side by side, of
    which no more than one looks at the same thing: a disk that hangs must not use up threads with each request.

    Args:
        node: that is looked at.
        more: further checks that take long, by their names.
        patience: seconds that a check may take; of one that takes longer, that is told, and later what it finds.
    """

    def __init__(
        self, node: LocalNode, more: Mapping[str, Callable[[str], Finding]], patience: float = PATIENCE
    ) -> None:
        self._node, self._patience = node, patience
        self._slow: dict[str, Callable[[str], Finding]] = {
            **{name: probing.CHECKS[name] for name in ("python", "git", "git-lfs", "sqlite")},
            "configuration": partial(_configuration, node),
            "home": lambda name: look_at_home(name, node.config.home),
            "executor": lambda name: look_at_executor(name, lambda: (node.executor.describe(), node.unconfined)),
        }
        self._more = more
        self._begun: dict[str, tuple[Future[Finding], float]] = {}
        self._guard = threading.Lock()
        self.latest: Health | None = None
        """What was found when it was last asked for."""

    def health(self) -> Health:
        """What there is to be found now, within some seconds."""
        slow = {name: self._begin(name, check) for name, check in (*self._slow.items(), *self._more.items())}
        quick = [checked(name, partial(check, self._node)) for name, check in CHECKS.items()]
        wait(slow.values(), self._patience)
        found = {name: future.result() if future.done() else self._late(name) for name, future in slow.items()}
        findings = (*(found[name] for name in self._slow), *quick, *(found[name] for name in self._more))
        self.latest = Health(node=self._node.config.node, version=__version__, findings=findings, checked_at=now())
        return self.latest

    def _begin(self, name: str, check: Callable[[str], Finding]) -> Future[Finding]:
        with self._guard:
            future, begun = self._begun.get(name, (None, 0.0))
            if future is None or (future.done() and time.monotonic() - begun > _KEPT):
                future = Future()
                self._begun[name] = future, time.monotonic()
                threading.Thread(target=_find, args=(future, name, check), name=f"check {name}", daemon=True).start()
            return future

    def _late(self, name: str) -> Finding:
        advice = "A disk or the network may hang, or the machine may have too much to do. Look again later."
        return Finding(name, Result.WARN, f"not known: no answer for {self._patience:g} s", advice)


def _find(future: Future[Finding], name: str, check: Callable[[str], Finding]) -> None:
    try:
        future.set_result(checked(name, check))
    except BaseException as error:  # the boundary of this thread: who asks for its result gets it
        future.set_exception(error)
        raise


def _configuration(node: LocalNode, name: str) -> Finding:
    """Whether the node would start with what is set now, and has what is set now."""
    found = probing.CHECKS[name](name)
    present, running = config.load(), node.config
    # The node itself keeps what its cluster has set; flags of its start are not known here.
    by_itself = {"the command line", str(cluster_file(running.home))}
    changed = [
        setting
        for setting, value in present.values.items()
        if value != running[setting] and not by_itself & {running.origin[setting], present.origin[setting]}
    ]
    if not changed or found.result is not Result.OK:
        return found
    words = f"{found.found}; changed since the node was started: {_some(changed)}"
    return Finding(name, Result.WARN, words, "Start the node again, and it has what is set now.")


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _alarms(node: LocalNode, name: str) -> Finding:
    alarms = [json.loads(body) for _, body in node.store.bodies("alarm")]
    if not alarms:
        return Finding(name, Result.OK, "none")
    found = _some([f"{alarm['kind']} of {alarm['subject']}" for alarm in alarms])
    return Finding(name, Result.WARN, found, "'mao alarm list' says what is the matter, and what to do.")


def blocked(node: LocalNode, limit: int = -1) -> list[str]:
    """Runs whose data waits for a decision, as JSON, newest first; among the last `limit` that are not published."""
    found = node.store.bodies("run", state=RunState.UNPUBLISHED, newest_first=True, limit=limit)
    # Of all that a run says, only its publication can be blocked; there may be thousands that merely wait.
    return [body for _, body in found if f'"state":"{PublicationState.BLOCKED}"' in body]


class Waiting(NamedTuple):
    """What waits for somebody of this node."""

    alarms: list[Alarm]
    runs: list[Run]
    """Whose data the dataset, or its remote, refuses; newest first."""
    commits: list[tuple[str, str]]
    """To be approved, each with the name of its tool before it."""

    @property
    def total(self) -> int:
        return len(self.alarms) + len(self.runs) + len(self.commits)


def waiting(node: LocalNode) -> Waiting:
    """What waits for somebody, looked for among the newest runs alone: there may be thousands."""
    return Waiting(
        [Alarm.model_validate_json(body) for _, body in node.store.bodies("alarm")],
        [Run.model_validate_json(body) for body in blocked(node, _NEWEST)],
        awaited(node),
    )


def _decisions(node: LocalNode, name: str) -> Finding:
    runs, commits = len(blocked(node)), len(awaited(node))
    found, advice = [], []
    if runs:
        found.append(f"the data of {count(runs, 'run')} waits for one")
        advice.append("'mao run list --state unpublished' lists them, 'mao run show RUN' says what there is to decide.")
    if commits:
        found.append(f"{count(commits, 'commit')} of tools to approve")
        advice.append("'mao tool approve TOOL COMMIT' shows what one brings, and lets it in.")
    return Finding(name, Result.WARN if found else Result.OK, "; ".join(found) or "none", " ".join(advice))


def _schedules(node: LocalNode, name: str) -> Finding:
    summary = summarize(node)
    paused = summary.schedules[ScheduleState.PAUSED]
    found = f"{count(sum(summary.schedules.values()), 'schedule')}{f', {paused} of them paused' if paused else ''}"
    if not summary.troubled:
        return Finding(name, Result.OK, found)
    slots: dict[str, int] = {}
    for each in summary.troubled:
        slots[each.outcome] = slots.get(each.outcome, 0) + each.slots
    told = ", ".join(f"{number} {outcome}" for outcome, number in slots.items())
    worst = max(summary.troubled, key=lambda each: each.slots)
    advice = f"{_TROUBLES[worst.outcome]} 'mao schedule slots {worst.schedule}' tells more."
    return Finding(name, Result.WARN, f"{found}; slots of the last day: {told}", advice)


def _announced(node: LocalNode, name: str) -> Finding:
    """Whether other nodes see this one."""
    try:
        nodes = [Node.model_validate_json(entry.value) for entry in node.mirror.entries(NODES)]
    except RegistryUnavailable as error:
        return Finding(name, Result.WARN, "not known", error.detail)
    if node.mirror.age() > STALE:
        said = f"not known: the registry has been away for {seconds(node.mirror.age())}"
        return Finding(name, Result.WARN, said, "'mao cluster status' says what is the matter with it.")
    own = next((other for other in nodes if other.name.lower() == node.config.node.lower()), None)
    if own is not None and own.id == node.workspace.id():
        where = f"at {own.url}" if url_of(node.config) else "without an address: other nodes cannot ask it"
        return Finding(name, Result.OK, f"'{own.name}', {where}")
    return Finding(name, Result.WARN, "other nodes do not see this one", _unannounced(own))


def _unannounced(other: Node | None) -> str:
    if other is None:
        return "The registry may be away, or the node was started just now. Its log says more."
    where = f" at {other.url}" if other.url else ""
    return (
        f"another node{where} has had its name, '{other.name}', since {other.since:%Y-%m-%d %H:%M:%S} UTC."
        " Stop that one, or give this one another name (node.name, MAO_NODE__NAME)."
    )


CHECKS: dict[str, Callable[[LocalNode, str], Finding]] = {
    "alarms": _alarms,
    "decisions": _decisions,
    "schedules": _schedules,
    "announced": _announced,
}
"""Of what the node has in memory and in its store, by their names."""
