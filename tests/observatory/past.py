"""Two months of the past of an observatory: the schedules, slots and runs that a node would have recorded, and the
commits that it would have published."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from mao import provenance
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.schedule import STARTED, Outcome, Schedule, ScheduleState, Slot
from mao.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mao.timetable import Firing

LENGTH = timedelta(days=61)
HOSTED = "https://git.example.org/observatory/"
_HOUR = timedelta(hours=1)
_FAILS, _LATE = 0.001, 0.01
"""The shares of runs that fail, and that start late, for no reason that is known here."""


@dataclass(frozen=True)
class Habit:
    """What a node has done again and again.

    Args:
        tool: that it ran.
        command: likewise.
        arguments: likewise.
        cron: when; `{}` stands for a minute that is far from the present one.
        path: of the file that each run has written, as strftime(3) makes it of its start.
        takes: seconds that a run takes.
    """

    tool: str
    command: str
    arguments: dict[str, str]
    cron: str
    path: str
    takes: float

    @property
    def dataset(self) -> str:
        return f"{self.tool}-data"


HABITS = (
    Habit(
        "air-quality",
        "Collect",
        {"Station": "harbour", "Hours": "24", "Corrected": "true"},
        "{} * * * *",
        "%Y/%Y-%m-%d/harbour-%H%M%S.csv",
        4,
    ),
    Habit(
        "dns-latency",
        "Probe",
        {"Resolver": "192.0.2.53", "Queries": "5", "Patience": "2.5"},
        "{} */6 * * *",
        "probe-%Y%m%dT%H%M%S.csv",
        95,
    ),
    Habit("exchange-rates", "Fetch", {"Base": "EUR"}, "{} 17 * * 1-5", "rates-%Y-%m-%d-%H%M%S.json", 2),
    Habit("weather-stations", "Observe", {"Pause": "0"}, "{} */3 * * *", "maps/%Y%m%dT%H%M%S.png", 40),
    Habit(
        "package-census",
        "Count",
        {"Registry": "pypi", "Sample": "1000"},
        "{} 4 * * 1",
        "pypi-%Y-%m-%d.csv",
        2900,
    ),
)


class Past:
    """What a node called `name` has recorded up to the moment `present`.

    Args:
        name: of the node.
        present: up to which.
        commits: of the tools that it ran.
    """

    def __init__(self, name: str, present: datetime, commits: Mapping[str, str]) -> None:
        self._name = name
        self._present = present
        self._commits = commits
        self._chance = random.Random(7)  # noqa: S311  # the same each time
        self.schedules: dict[str, Schedule] = {}
        self.slots: list[Slot] = []
        self.runs: list[Run] = []
        for habit in HABITS:
            self._live(habit)

    def _live(self, habit: Habit) -> None:
        begun = self._present - LENGTH
        schedule = Schedule(
            id=self.id_at(begun),
            tool=habit.tool,
            command=habit.command,
            arguments=dict(habit.arguments),
            cron=habit.cron.format((self._present.minute + 25) % 60),
            timezone="Europe/Madrid",
            publish=True,
            retries=1 if habit.tool == "dns-latency" else 0,
            node=self._name,
            created_at=begun,
            changed_at=begun,
            reckoned_until=self._present,
        )
        if habit.tool == "package-census":
            changes = {"state": ScheduleState.PAUSED, "note": "until the registry has its new API"}
            schedule = schedule.model_copy(update=changes)
        self.schedules[habit.tool] = schedule
        for firing in Timetable(schedule).firings(begun, self._present):
            slot = self._slot(schedule, firing)
            if slot.outcome in STARTED:
                run = self._run(habit, schedule, slot)
                slot = slot.model_copy(update={"runs": (run.id,)})
                self.runs.append(run)
            self.slots.append(slot)

    def _slot(self, schedule: Schedule, firing: Firing) -> Slot:
        slot = Slot(
            schedule=schedule.id,
            planned=firing.planned,
            due_at=firing.due,
            tool=schedule.tool,
            node=self._name,
            over=True,
        )
        outcome = self._outcome(schedule.tool, (self._present - firing.planned).days, firing.planned.hour)
        late = timedelta(minutes=self._chance.randrange(4, 40)) if outcome is Outcome.RAN_LATE else timedelta(0)
        at = firing.due + late
        started = {"started_at": at} if outcome in STARTED else {}
        return slot.settled(outcome, at, _DETAILS.get(outcome), **started)

    def _outcome(self, tool: str, days: int, hour: int) -> Outcome:
        """Days on which something was the matter: with the node, a schedule, or a tool."""
        if days == 9 or (days == 23 and 10 <= hour < 17):
            return Outcome.MISSED
        unusual = (
            ("weather-stations", True, range(32, 39), Outcome.PAUSED),
            ("weather-stations", hour < 6, range(15, 16), Outcome.SKIPPED_LATE),
            ("package-census", True, range(12), Outcome.PAUSED),
            ("dns-latency", True, range(48, 50), Outcome.TOOL_MISSING),
            ("air-quality", hour in {3, 4}, range(40, 42), Outcome.SKIPPED_OVERLAP),
            ("air-quality", hour == 8, range(4, 5), Outcome.CANCELLED),
        )
        found = [outcome for name, is_so, when, outcome in unusual if name == tool and is_so and days in when]
        if found:
            return found[0]
        is_late = (days == 23 and hour == 17) or self._chance.random() < _LATE
        return Outcome.RAN_LATE if is_late else Outcome.RAN

    def _run(self, habit: Habit, schedule: Schedule, slot: Slot) -> Run:
        days = (self._present - slot.planned).days
        bad = habit.tool == "exchange-rates" and days == 11
        bad |= habit.tool == "air-quality" and days == 17 and slot.planned.hour < 9
        state = RunState.FAILED if bad or self._chance.random() < _FAILS else RunState.SUCCEEDED
        more = {"schedule": schedule.id, "slot": slot.planned}
        return self.run(habit, slot.started_at or slot.planned, state).model_copy(update=more)

    def run(self, habit: Habit, at: datetime, state: RunState) -> Run:
        """A run that was asked for at a moment, and ended in `state`."""
        takes = timedelta(seconds=habit.takes * self._chance.uniform(0.8, 1.3))
        started, ended = at + timedelta(milliseconds=self._chance.randrange(20, 90)), at + takes
        run = Run(
            id=self.id_at(at),
            tool=habit.tool,
            tool_commit=self._commits[habit.tool],
            command=habit.command,
            arguments=dict(habit.arguments),
            dataset=habit.dataset,
            node=self._name,
            publish=True,
            fresh=habit.tool != "weather-stations",
            state=state,
            reason=_REASONS.get(state),
            exit_code=_EXITS.get(state),
            cancel_requested=state is RunState.CANCELLED,
            created_at=at,
            started_at=started,
            ended_at=ended,
            finished_at=ended,
            cpu_seconds=round(self._chance.uniform(0.05, 0.4) * takes.total_seconds(), 3),
            max_rss=self._chance.randrange(9, 70) * 1_000_000,
            log_bytes=self._chance.randrange(300, 4000),
            confined="sandbox",
        )
        return self._published(habit, run) if state in {RunState.SUCCEEDED, RunState.UNPUBLISHED} else run

    def _published(self, habit: Habit, run: Run) -> Run:
        started = run.started_at or run.created_at
        size = len(_content(habit.tool, started))
        publication = Publication(
            dataset=habit.dataset,
            remote=f"{HOSTED}{habit.dataset}.git",
            state=PublicationState.PUBLISHED,
            branch="main",
            files=(PublishedFile(path=f"{started:{habit.path}}", size=size),),
            attempts=1,
            pushed_at=run.ended_at,
        )
        if run.state is RunState.UNPUBLISHED:
            changes = {
                "state": PublicationState.BLOCKED,
                "cause": "file-too-large",
                "message": "remote: error: GH001: Large files detected. File maps/all.tiff is 104.20 MB;"
                " this exceeds the file size limit of 100.00 MB",
                "pushed_at": None,
            }
            publication = publication.model_copy(update=changes)
        return run.model_copy(update={"publication": publication})

    def id_at(self, moment: datetime) -> str:
        """The id of what was made then, as `mao.values.new_id` makes it."""
        milliseconds, bits = int(moment.timestamp() * 1000), self._chance.getrandbits(74)
        value = milliseconds << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & (1 << 62) - 1
        return str(UUID(int=value))

    def publish(self, remotes: Path) -> None:
        """Make the commits of the runs that were published, in the remotes of their datasets."""
        commits: dict[str, str] = {}
        for habit in HABITS:
            runs = [run for run in self.runs if run.tool == habit.tool and run.state is RunState.SUCCEEDED]
            commits |= _committed(remotes / f"{habit.dataset}.git", sorted(runs, key=lambda run: run.id))
        done = [run.with_publication(commit=commits[run.id]) if run.id in commits else run for run in self.runs]
        self.runs = sorted(done, key=lambda run: run.id)

    def newest(self, dataset: str) -> Run:
        """The last run that was published to a dataset."""
        return [run for run in self.runs if run.dataset == dataset and run.state is RunState.SUCCEEDED][-1]


_REASONS = {
    RunState.FAILED: "the tool failed: exit status 4",
    RunState.CANCELLED: "cancelled",
    RunState.TIMED_OUT: "it took longer than its time limit, and was ended",
    RunState.LOST: "its supervisor died, and with it the knowledge of how the tool ended",
    RunState.UNPUBLISHED: "its data needs a decision: file-too-large",
}
_EXITS = {RunState.FAILED: 4, RunState.SUCCEEDED: 0, RunState.UNPUBLISHED: 0}
_DETAILS = {
    Outcome.MISSED: "the node was down",
    Outcome.PAUSED: "the schedule was paused",
    Outcome.SKIPPED_LATE: "8 runs were going on, and its turn came too late",
    Outcome.SKIPPED_OVERLAP: "a run of the schedule was still going on",
    Outcome.TOOL_MISSING: "the tool was not installed",
    Outcome.CANCELLED: "cancelled before it was started",
}


@cache
def _content(tool: str, at: datetime) -> bytes:
    """What a run of the past has written."""
    if tool == "package-census":
        return b"age,packages,share\nunder a month,48213,0.071\nunder a year,187410,0.276\nolder,443896,0.653\n"
    if tool == "exchange-rates":
        return b'[{"currency": "USD", "rate": 1.1588}, {"currency": "CHF", "rate": 0.9332}]\n'
    rows = [
        f"{at - number * _HOUR:%Y-%m-%dT%H:00:00Z},{at.day + number * 7 % 11}.{number % 10}" for number in range(12)
    ]
    return ("time,value\n" + "\n".join(rows) + "\n").encode()


def _committed(remote: Path, runs: list[Run]) -> dict[str, str]:
    """The commits that were made of `runs`, by their ids."""
    marks = remote / "marks"
    subprocess.run(
        ["git", "fast-import", "--quiet", f"--export-marks={marks}"],
        cwd=remote,
        input=b"".join(_commands(runs)),
        check=True,
    )
    made = dict(line.split() for line in marks.read_text().splitlines())
    return {run.id: made[f":{number}"] for number, run in enumerate(runs, 1)}


def _commands(runs: list[Run]) -> Iterator[bytes]:
    for number, run in enumerate(runs, 1):
        started = run.started_at or run.created_at
        author = f"{run.node} <mao@{run.node}> {int((run.ended_at or started).timestamp())} +0000"
        message = provenance.message(run).encode()
        yield f"commit refs/heads/main\nmark :{number}\nauthor {author}\ncommitter {author}\n".encode()
        yield b"data %d\n%s\n" % (len(message), message)
        content = _content(run.tool, started)
        for file in run.publication.files if run.publication else ():
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (file.path.encode(), len(content), content)
