"""Nodes of one cluster, open in this process, which look after its schedules when the test says so, by its clock."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from conftest import settings
from mao import ending, ledger, scheduling
from mao.attending import Announcement
from mao.catalogue import SLOTS, schedule_key
from mao.local_node import LocalNode, opened
from mao.minding import Minder
from mao.mirror import PREFIX
from mao.run import Run, RunState
from mao.schedule import Schedule, Slot, slot_key
from mao.scheduling import Plan
from mao.values import now
from scheduled import installation
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster


class Clock:
    """What time it is on all nodes: at first the next full hour, as they say themselves when they were started."""

    def __init__(self) -> None:
        self.present = now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.present

    def next_hour(self) -> None:
        self.present = self.present.replace(minute=0, second=0) + timedelta(hours=1)

    def passes(self, **time: float) -> None:
        self.present += timedelta(**time)


class Member:
    """A node whose daemon is the test."""

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self.minder = Minder(node)

    @property
    def name(self) -> str:
        return self.node.config.node

    def look(self) -> None:
        """Do all that this node can do now."""
        self.sees()
        while wanted := self.minder.due(self.node.store.live_runs()):
            for schedule_id in wanted:
                self.minder.advance(self.node, schedule_id)
            self.sees()

    def sees(self) -> None:
        """Wait until the node knows what the registry holds."""
        eventually(lambda: self.node.mirror.entries(PREFIX) == self.node.registry.entries(PREFIX)[0])

    def add(self, **more: Any) -> Schedule:
        """Add a schedule of the cluster that is due every hour."""
        fields: dict[str, Any] = {"cron": "0 * * * *", "anywhere": True} | more
        return scheduling.add(self.node, Plan("probe", "Write", [], **fields))

    def runs(self, *states: RunState) -> list[Run]:
        bodies = self.node.store.bodies("run")
        return [run for _, body in bodies if (run := Run.model_validate_json(body)).state in (states or RunState)]

    def start(self, run: Run) -> Run:
        """What `running.start` records; the tool's process is of no interest here."""
        slots = ledger.started(self.node, run)
        run = run.moved(RunState.RUNNING, started_at=self.node.clock())
        self.node.store.save(run, *slots)
        return run

    def end(self, run: Run) -> None:
        ending.end(self.node, run, RunState.FAILED, "as the test wants")

    def slots(self, schedule: Schedule) -> list[Slot]:
        """Those in its ledger."""
        bodies = self.node.store.bodies("slot", after=f"{schedule.id}/", before=f"{schedule.id}~")
        return [Slot.model_validate_json(body) for _, body in bodies]

    def outcomes(self, schedule: Schedule) -> list[str | None]:
        return [slot.outcome for slot in self.slots(schedule)]

    def shared(self, schedule: Schedule) -> Schedule | None:
        """The schedule as the registry has it."""
        entry = self.node.registry.get(schedule_key(schedule.id))
        return Schedule.model_validate_json(entry.value) if entry else None

    def held(self, schedule: Schedule) -> list[Slot]:
        """The slots that the registry has."""
        entries, _ = self.node.registry.entries(f"{SLOTS}{schedule.id}/")
        return [Slot.model_validate_json(entry.value) for entry in entries]

    def key(self, schedule: Schedule, planned: datetime) -> str:
        return SLOTS + slot_key(schedule.id, planned)


@contextmanager
def member(
    home: Path, etcd: EtcdCluster, clock: Clock, *, tool: bool = True, more: str = "", **given: str
) -> Iterator[Member]:
    """A node of the cluster, announced, with the tool `probe`; `given` are settings (`cluster__slot_limit="10"`)."""
    flags = {"node.name": home.name, "registry.url": etcd.url}
    flags |= {name.replace("__", "."): value for name, value in given.items()}
    with opened(settings(home, **flags), clock) as node:
        if tool:
            node.store.save(installation(more))
        announcement = Announcement(node)
        announcement.start()
        try:
            yield Member(node)
        finally:
            announcement.stop()


def looks(clock: Clock, *members: Member) -> None:
    """All have had their turn."""
    for _ in range(len(members) + 1):
        for each in members:
            each.look()
        clock.passes(seconds=1.1)
    for each in members:
        each.look()
