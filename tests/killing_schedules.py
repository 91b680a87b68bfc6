"""Kills a node with a schedule at random moments, and starts it again: one outcome a slot, one run at most."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conftest import settings
from mao import reckoning, scheduling
from mao.local_node import LocalNode, opened
from mao.rule import Rule
from mao.run import Run, RunState
from mao.schedule import STARTED, Overlap, Schedule, Slot
from mao.scheduling import Plan
from support import ServedNode, commit, tool_files, trailers

if TYPE_CHECKING:
    from pathlib import Path

COUNTED = 'set -eu\nprintf "%s\\n" "$MAO_SLOT" >> "$1"\nprintf measured > "$MAO_DATA_DIR/$MAO_RUN_ID.txt"\n'
"""Leaves a line behind for each execution, outside of the data directory."""


@dataclass(frozen=True)
class Ledger:
    """What came of a schedule.

    Attributes:
        slots: that were due; each had one outcome.
        outcomes: how many slots had which.
        executions: of the tool; one at most for each slot.
        published: runs of slots on the dataset's branch, each once.
    """

    slots: int
    outcomes: dict[str, int]
    executions: int
    published: int


def scheduled_node(served: ServedNode, work: Path, remote: Path, *, cron: str = "* * * * * *") -> Schedule:
    """Have a node that is not served yet run a tool that counts its executions in `work/count`, by a schedule."""
    commit(work / "counted", tool_files(remote, scripts={"Count": COUNTED}, arguments={"Count": 1}))
    served.start()
    served.install(work / "counted")
    served.stop()
    with opened(settings(served.home)) as node:
        plan = Plan("probe", "Count", [str(work / "count")], cron=cron, publish=True, overlap=Overlap.ALLOW)
        return scheduling.add(node, plan)


def kill_scheduled(served: ServedNode, work: Path, remote: Path, *, kills: int, every: float, seed: int) -> Ledger:
    """Kill a node with a slot every second at random moments, and assert that each slot has one outcome.

    Args:
        served: the node, which is not served yet.
        work: an empty directory for its tool.
        remote: a bare repository.
        kills: how often it is killed; in a third of them its supervisors die with it.
        every: seconds for which it lives at most.
        seed: of the moments.
    """
    chance = random.Random(seed)  # noqa: S311  # no secret
    schedule = scheduled_node(served, work, remote)
    for _ in range(kills):
        served.start()
        time.sleep(chance.uniform(0, every))
        if chance.random() < 1 / 3:
            served.kill_all()
        else:
            served.kill()
    served.start()
    return check(served, schedule, work / "count", remote)


def check(served: ServedNode, schedule: Schedule, count: Path, remote: Path) -> Ledger:
    """Remove the schedule of a node that is served, let its runs end, and see that what the ledger says is so."""
    served.stop()
    with opened(settings(served.home)) as node:
        removed = scheduling.remove(node, schedule.id)
    served.start()
    for run in served.api("GET", "/runs?page_size=500")["items"]:
        served.finished(run, run["state"]) if run["state"] not in {"queued", "running", "publishing"} else served.ended(
            run
        )
    served.stop()
    with opened(settings(served.home)) as node:
        reckoning.look(node, node.clock())
        slots = [Slot.model_validate_json(body) for _, body in node.store.bodies("slot")]
        _assert_one_outcome_each(node, schedule, removed, slots)
        executed = Counter(count.read_text().splitlines())
        _assert_executed_once(node, slots, executed)
    published = trailers(remote, "MAO-Slot")
    assert len(set(published)) == len(published)
    assert set(published) <= executed.keys()
    outcomes = Counter(str(slot.outcome) for slot in slots)
    return Ledger(len(slots), dict(outcomes), sum(executed.values()), len(published))


def _assert_one_outcome_each(node: LocalNode, schedule: Schedule, removed: Schedule, slots: list[Slot]) -> None:
    rule = Rule.parse(schedule.cron, schedule.timezone)
    planned = list(rule.moments(schedule.created_at, removed.reckoned_until))
    assert [slot.planned for slot in slots] == planned
    assert [slot for slot in slots if slot.outcome is None or not slot.over] == []
    made = [Run.model_validate_json(body) for _, body in node.store.bodies("run")]
    assert Counter(run.slot for run in made) == Counter(slot.planned for slot in slots if slot.runs)


def _assert_executed_once(node: LocalNode, slots: list[Slot], executed: Counter[str]) -> None:
    assert [slot for slot, times in executed.items() if times > 1] == []
    for slot in slots:
        run = node.store.run(slot.runs[0]) if slot.runs else None
        was_executed = f"{slot.planned:%Y-%m-%dT%H:%M:%S}.000Z" in executed
        if slot.outcome not in STARTED:
            assert not was_executed, slot
        elif run is None or run.state is not RunState.LOST:  # of a lost run nobody knows how far it came
            assert was_executed, (slot, run)
