"""The calendar of slots: for each schedule a square a day, in which a missed measurement stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import judging
from mao.verdict import Day, Verdict
from mao.wording import count

if TYPE_CHECKING:
    from mao.local_node import LocalNode
    from mao.schedule import Schedule

LEGEND = {
    Verdict.COMPLETE: "all measured",
    Verdict.MISSING: "measurements are missing",
    Verdict.DOUBTFUL: "skipped, cancelled or not published",
    Verdict.GOING_ON: "goes on",
    Verdict.PAUSED: "paused",
    Verdict.NONE: "nothing was due",
}
"""What squares mean, as it is written below them."""
_MOST_NAMED = 10
"""Days that are named one by one to who cannot see the squares."""


@dataclass(frozen=True)
class Row:
    """A schedule and its days."""

    schedule: Schedule
    days: list[Day]

    @property
    def words(self) -> str:
        """What is to be seen, for who cannot see it."""
        by_verdict = {verdict: [day for day in self.days if day.verdict is verdict] for verdict in Verdict}
        parts = [
            f"{len(days)} {LEGEND[verdict]}{_named(days) if verdict is Verdict.MISSING else ''}"
            for verdict, days in by_verdict.items()
            if days and verdict is not Verdict.NONE
        ]
        return f"{count(len(self.days), 'day')}: {'; '.join(parts) or 'nothing was due'}"

    @property
    def troubled(self) -> list[Day]:
        """The days that somebody should look at, the newest first."""
        return [day for day in reversed(self.days) if day.verdict in {Verdict.MISSING, Verdict.DOUBTFUL}]


def _named(days: list[Day]) -> str:
    named = [str(day.day) for day in days[-_MOST_NAMED:]]
    return f" ({', '.join(named)}{' and earlier' if len(days) > _MOST_NAMED else ''})"


def row(node: LocalNode, schedule: Schedule, days: int = judging.USUAL_DAYS) -> Row:
    """The row of a schedule."""
    return Row(schedule, judging.days(node, schedule, days))


def worst(node: LocalNode, most: int) -> list[Row]:
    """The rows of those schedules in which most is missing, the worst first."""
    return [Row(schedule, days) for schedule, days in judging.worst(node, most)]
