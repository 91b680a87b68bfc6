"""A node with a clock that the test sets, whose runs begin and end when the test says so."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from conftest import settings
from mao import ending, ledger, reckoning, running, scheduling
from mao.definition_file import load
from mao.installation import Attempt, Installation, InstallationState, Step
from mao.local_node import LocalNode, opened
from mao.run import Run, RunState
from mao.schedule import Schedule, Slot
from mao.scheduling import Plan
from support import tool_files

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def installation(more: str = "", arguments: str | None = None) -> Installation:
    """The tool `probe` as it is when it is installed."""
    text = tool_files("file:///nowhere/data.git", more=more, arguments={"Write": 0 if arguments else 2})["mao.yaml"]
    definition = load(text.rstrip() + (f"\n    Arguments: {arguments}\n" if arguments else "\n"))
    attempt = Attempt(
        id="1",
        commit="c" * 40,
        url="file:///nowhere",
        ref="HEAD",
        definition=definition,
        step=Step.DONE,
        started_at=START,
    )
    return Installation(
        tool="probe",
        state=InstallationState.INSTALLED,
        commit="c" * 40,
        definition=definition,
        tree="1",
        dataset="probe-data",
        attempt=attempt,
    )


class Place:
    """A node with a clock that the test sets, and a tool; runs begin and end when the test says so."""

    def __init__(self, home: Path, more: str = "") -> None:
        self.home, self.more = home, more
        self.present = START
        self._closing = ExitStack()
        self.node: LocalNode
        self.open()

    def open(self) -> None:
        """Begin the node, as it is after a kill: what was stored is all there is."""
        self.node = self._closing.enter_context(opened(settings(self.home), lambda: self.present))
        if self.node.store.installation("probe") is None:
            self.install()
        reckoning.begin(self.node, self.present)

    def install(self, arguments: str | None = None) -> None:
        self.node.store.save(installation(self.more, arguments))

    def close(self) -> None:
        self._closing.close()

    def crash(self) -> None:
        self.close()
        self._closing = ExitStack()
        self.open()

    def add(self, **more: Any) -> Schedule:
        return scheduling.add(self.node, Plan("probe", "Write", [], **more))

    def look(self) -> None:
        """Look as often as there is something to do."""
        before = -1
        while self.node.store.last_seq() != before:
            before = self.node.store.last_seq()
            reckoning.look(self.node, self.present)

    def passes(self, **time: float) -> None:
        self.present += timedelta(**time)
        self.look()

    def runs(self, *states: RunState) -> list[Run]:
        bodies = self.node.store.bodies("run")
        return [run for _, body in bodies if (run := Run.model_validate_json(body)).state in (states or RunState)]

    def start_one(self) -> None:
        """What `running.start` records when it starts the oldest run; its process is of no interest here."""
        for run in self.runs(RunState.QUEUED)[:1]:
            running.give_up(self.node, run.id)
            if running.find_run(self.node, run.id).state is RunState.QUEUED:
                started = run.moved(RunState.RUNNING, started_at=self.present)
                self.node.store.save(started, *ledger.started(self.node, run))

    def end_one(self, state: RunState = RunState.SUCCEEDED) -> None:
        for run in self.runs(RunState.RUNNING)[:1]:
            if state is RunState.SUCCEEDED:
                ended = run.moved(RunState.PUBLISHING).moved(state)
                self.node.store.save(ended.model_copy(update={"finished_at": self.present}))
            else:
                ending.end(self.node, run, state, "as the test wants")

    def run_all(self, state: RunState = RunState.SUCCEEDED) -> None:
        while self.runs(RunState.QUEUED, RunState.RUNNING):
            self.start_one()
            self.end_one(state)

    def slots(self, schedule: Schedule) -> list[Slot]:
        bodies = self.node.store.bodies("slot", after=f"{schedule.id}/", before=f"{schedule.id}~")
        return [Slot.model_validate_json(body) for _, body in bodies]

    def outcomes(self, schedule: Schedule) -> list[str | None]:
        return [slot.outcome for slot in self.slots(schedule)]
