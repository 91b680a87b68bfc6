"""A schedule of a cluster, what its runs leave behind, and whether every slot has one outcome and one run at most."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count, cycle, pairwise
from typing import TYPE_CHECKING, Any

from conftest import settings
from mao import sharing
from mao.catalogue import SLOTS
from mao.local_node import LocalNode, opened
from mao.schedule import STARTED, Overlap, Schedule, Slot
from mao.store import Store
from mao.timetable import Timetable
from mao.values import now
from mao.workspace import Workspace
from support import eventually, trailers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clusters import Cluster, PlacedNode

NOTE = """\
set -eu
echo "$MAO_SLOT $MAO_NODE $MAO_RUN_ID" >> "$1"
echo "$MAO_SLOT" > "$MAO_DATA_DIR/slot-$MAO_RUN_ID.txt"
"""
"""A command that notes, outside of all that belongs to MAO, that it was started."""
EVERY_SECOND = "* * * * * *"


@dataclass(frozen=True)
class Started:
    """A run that began: its slot, its node, and its id."""

    slot: datetime
    node: str
    run: str


@dataclass
class Shared:
    """A schedule of a cluster, and the node (that does not serve) by which the test changes it."""

    cluster: Cluster
    desk: LocalNode
    schedule: Schedule
    notes: Path

    def held(self) -> list[Slot]:
        """Its slots in the registry, oldest first."""
        return [
            Slot.model_validate(entry.value)
            for key, entry in sorted(self.cluster.held().items())
            if key.startswith(f"{SLOTS}{self.schedule.id}/")
        ]

    def ledger(self, node: PlacedNode) -> list[Slot]:
        """Its slots in the ledger of a node."""
        with closing(Store(Workspace(node.home).store)) as store:
            bodies = store.bodies("slot", after=f"{self.schedule.id}/", before=f"{self.schedule.id}~")
        return [Slot.model_validate_json(body) for _, body in bodies]

    def started(self) -> list[Started]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        words = [line.split() for line in lines]
        return [Started(datetime.fromisoformat(slot), node, run) for slot, node, run in words]

    def planned(self, until: datetime) -> list[datetime]:
        return [firing.planned for firing in Timetable(self.schedule).firings(self.schedule.created_at, until)]

    def check(self, until: datetime) -> Counter[str]:
        """Assert that every slot up to `until` has one outcome, in all ledgers the same, and one run at most."""
        planned = self.planned(until)

        def settled() -> bool:
            ledgers = [{slot.planned for slot in self.ledger(node)} for node in self.cluster.nodes]
            return all(set(planned) <= known for known in ledgers)

        eventually(settled, "every node knows what became of every slot")
        ledgers = [{s.planned: s for s in self.ledger(node) if s.planned <= until} for node in self.cluster.nodes]
        assert all(sorted(ledger) == planned for ledger in ledgers), "there are slots that the rule does not have"
        for moment in planned:
            told = {(ledger[moment].outcome, ledger[moment].runs) for ledger in ledgers}
            assert len(told) == 1, f"the slot of {moment} has several outcomes: {told}"
        started = self.started()
        times = Counter(each.slot for each in started)
        assert max(times.values(), default=1) == 1, f"slots were run twice: {times.most_common(3)}"
        ledger = ledgers[0]
        for each in started:
            if each.slot <= until:
                slot = ledger[each.slot]
                assert slot.outcome in STARTED, f"{slot} was started"
                assert (slot.runs, slot.node) == ((each.run,), each.node)
        return Counter(str(slot.outcome) for slot in ledger.values())

    def longest_gap(self) -> float:
        """Seconds at most between two slots that were started, one after the other."""
        slots = sorted(each.slot for each in self.started())
        return max((later - slot).total_seconds() for slot, later in pairwise(slots))

    def delays(self) -> list[float]:
        """Seconds from when each slot was due to when its run was started, in order."""
        ledger = self.ledger(self.cluster.nodes[0])
        return sorted((slot.started_at - slot.due_at).total_seconds() for slot in ledger if slot.started_at)

    def check_published(self) -> int:
        """Assert that the branch has each slot that ran, once; how many it has."""
        ran = {slot.runs[0] for slot in self.ledger(self.cluster.nodes[0]) if slot.outcome in STARTED}
        eventually(lambda: ran <= set(trailers(self.cluster.remote, "MAO-Run")), "what ran is published")
        published = Counter(trailers(self.cluster.remote, "MAO-Slot"))
        assert max(published.values(), default=1) == 1, f"slots were published twice: {published.most_common(3)}"
        return len(published)


def break_in_turn(cluster: Cluster, seconds: float, pause: float) -> Counter[str]:
    """Break one after the other, each mended before the next: how often what was done.

    A node is killed (kill -9); the leader of etcd is; a node stands still for so long that its lease ends, and goes on.

    Args:
        cluster: of three nodes and three members.
        seconds: for which it is done.
        pause: seconds that each is away, more than a lease lasts, and then until the next one is.
    """
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for number, what in zip(count(), cycle(("node killed", "leader killed", "node stopped", "leader killed"))):
        if time.monotonic() >= end:
            return done
        node = cluster.nodes[number // 2 % len(cluster.nodes)]
        leader = cluster.etcd.leader() if what == "leader killed" else None
        if leader is not None:
            cluster.etcd.kill(leader)
        elif what == "node killed":
            node.kill()
        else:
            node.signal(signal.SIGSTOP)
        time.sleep(pause)
        cluster.mend()
        done[what] += 1
        time.sleep(pause)
    raise AssertionError


@contextmanager
def shared(cluster: Cluster, **more: Any) -> Iterator[Shared]:
    """Give a cluster a schedule that is due every second, or as `more` has it."""
    notes = cluster.directory / f"notes-{len(list(cluster.directory.glob('notes-*')))}"
    home = cluster.directory / f"desk{notes.name}"
    present = now()
    fields = {
        "id": f"{notes.name}",
        "tool": "probe",
        "command": "Note",
        "arguments": [str(notes)],
        "cron": EVERY_SECOND,
        "publish": True,
        "overlap": Overlap.ALLOW,
        "anywhere": True,
        "node": "desk",
        "created_at": present,
        "changed_at": present,
        "reckoned_until": present,
    }
    url = "etcd://" + ",".join(cluster.etcd.endpoints)
    with opened(settings(home, **{"node.name": "desk", "registry.url": url})) as desk:
        schedule = Schedule.model_validate(fields | more)
        sharing.add(desk, schedule)
        yield Shared(cluster, desk, schedule, notes)
