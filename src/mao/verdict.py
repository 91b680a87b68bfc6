"""Whether what was to be measured was: the outcome of a slot and how its run ended, of one slot and of whole days."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mao.run import FAILED, UNENDED, PublicationState, RunState
from mao.schedule import STARTED, WAITING
from mao.values import Moment, Value


class Result(StrEnum):
    """What became of a slot and of its run."""

    RAN = "ran"
    """Its run was started on time, and its tool has not failed."""
    RAN_LATE = "ran-late"
    """Likewise, but later than on time."""
    BACKFILLED = "backfilled"
    """It was run when somebody asked for that afterwards."""
    FAILED = "failed"
    """Its last run failed, timed out or was lost."""
    UNPUBLISHED = "unpublished"
    """Its run has ended, and the remote does not take the data."""
    GOING_ON = "going-on"
    """It waits, or its run goes on, or its data is on its way."""
    SKIPPED_OVERLAP = "skipped-overlap"
    SKIPPED_LATE = "skipped-late"
    MISSED = "missed"
    PAUSED = "paused"
    TOOL_MISSING = "tool-missing"
    CANCELLED = "cancelled"
    """Likewise; also if somebody cancelled its run while that went on."""


class Verdict(StrEnum):
    """How a slot or a day is to be looked at; in order, the worst first."""

    MISSING = "missing"
    """There is no measurement, and nobody wanted that."""
    DOUBTFUL = "doubtful"
    """Somebody has to look: skipped as another run went on, cancelled, or with data that cannot be published."""
    GOING_ON = "going-on"
    COMPLETE = "complete"
    PAUSED = "paused"
    """Nothing was to be measured."""
    NONE = "none"
    """No slot is known."""


_VERDICTS = {
    Result.RAN: Verdict.COMPLETE,
    Result.RAN_LATE: Verdict.COMPLETE,
    Result.BACKFILLED: Verdict.COMPLETE,
    Result.FAILED: Verdict.MISSING,
    Result.UNPUBLISHED: Verdict.DOUBTFUL,
    Result.GOING_ON: Verdict.GOING_ON,
    Result.SKIPPED_OVERLAP: Verdict.DOUBTFUL,
    Result.SKIPPED_LATE: Verdict.MISSING,
    Result.MISSED: Verdict.MISSING,
    Result.PAUSED: Verdict.PAUSED,
    Result.TOOL_MISSING: Verdict.MISSING,
    Result.CANCELLED: Verdict.DOUBTFUL,
}
_ORDER = list(Verdict)
_RANKS = {each: _ORDER.index(found) for each, found in _VERDICTS.items()}
_STUCK = {PublicationState.WAITING, PublicationState.BLOCKED}


def result(outcome: str, run: str | None = None, publication: str | None = None) -> Result:
    """What became of a slot.

    Args:
        outcome: of the slot, or `waiting`, as the store says of those that have none yet.
        run: the state of the last run that was made for it, or that was asked for afterwards; None if nobody looked.
        publication: the state of that run's data.
    """
    if outcome == WAITING or run in UNENDED:
        return Result.GOING_ON
    if run is None:
        return Result(outcome)
    started = outcome in STARTED
    if run in FAILED:
        failed = Result.CANCELLED if run == RunState.CANCELLED else Result.FAILED
        return failed if started else Result(outcome)
    if run != RunState.SUCCEEDED:
        return Result.UNPUBLISHED if run == RunState.UNPUBLISHED or publication in _STUCK else Result.GOING_ON
    return Result(outcome) if started else Result.BACKFILLED


def verdict(results: dict[Result, int]) -> Verdict:
    """That of the worst of them."""
    return _ORDER[min((_RANKS[each] for each in results), default=-1)]


class Day(Value):
    """How a day of a schedule went, by the clocks of its zone."""

    day: date
    begins: Moment
    ends: Moment
    slots: Annotated[int, Field(ge=0)]
    """Those that are known: of a day that goes on, those so far."""
    results: dict[Result, int]
    verdict: Verdict
    """That of its worst slot."""

    @property
    def words(self) -> str:
        """What became of its slots, for people."""
        if not self.slots:
            return "no slot"
        if len(self.results) == 1:
            (only,) = self.results
            return only if self.slots == 1 else f"{'both' if self.slots == 2 else f'all {self.slots}'} {only}"  # noqa: PLR2004
        parts = [f"{count} {each}" for each, count in sorted(self.results.items(), key=_worst_first)]
        return f"{', '.join(parts)} of {self.slots}"


def _worst_first(item: tuple[Result, int]) -> tuple[int, int]:
    return _RANKS[item[0]], -item[1]
