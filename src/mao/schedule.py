"""A schedule, a rule that starts runs; and its slots, the moments at which it is due, each with one outcome."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field

from mao.names import Name
from mao.values import Moment, Value, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

MOST_RETRIES = 20
LONGEST_SPREAD = 7 * 86_400
"""Seconds."""
DAY = timedelta(days=1)
ON_TIME = timedelta(minutes=1)
"""How long after it was due a slot may start and still be called on time, if the next one is not due before that."""


class Overlap(StrEnum):
    """What becomes of a slot that is due while a run of its schedule is still going on."""

    SKIP = "skip"
    """It is skipped."""
    QUEUE_ONE = "queue-one"
    """It waits for the end of that run; while one waits, others are skipped."""
    QUEUE_ALL = "queue-all"
    """It waits for its turn, however many wait."""
    CANCEL_OLD = "cancel-old"
    """That run is cancelled, and it starts when no process of it is left."""
    ALLOW = "allow"
    """It starts beside it."""


class SpreadKind(StrEnum):
    """How far from its planned moment a slot is due."""

    OFFSET = "offset"
    """As far for every slot: by the schedule and the node."""
    UNIFORM = "uniform"
    """Drawn for each slot, any as likely as any other."""
    POISSON = "poisson"
    """Drawn for each slot from an exponential distribution, as the intervals of a Poisson process are (RFC 2330,
    11.1.1)."""


class Spread(Value):
    """A delay after the planned moment, so that many nodes do not call on one service in the same second."""

    kind: SpreadKind
    seconds: Annotated[float, Field(gt=0, le=LONGEST_SPREAD)]
    """The longest offset or delay; for `poisson` the mean. No slot is delayed past the next one."""


class ScheduleState(StrEnum):
    """Whether a schedule starts runs."""

    ACTIVE = "active"
    PAUSED = "paused"
    """It goes on to be due, and starts nothing."""
    REMOVED = "removed"
    """It is not due any more; what became of its slots stays known."""


LASTING = (ScheduleState.ACTIVE, ScheduleState.PAUSED)
"""The states of schedules that are shown unless another is asked for."""


class Outcome(StrEnum):
    """What became of a slot."""

    RAN = "ran"
    """A run was started on time; how it ended, the run tells."""
    RAN_LATE = "ran-late"
    """A run was started, later than on time."""
    SKIPPED_OVERLAP = "skipped-overlap"
    """A run of the schedule was still going on."""
    SKIPPED_LATE = "skipped-late"
    """The node was up, but its run could not be started before it would have been too late."""
    MISSED = "missed"
    """The node was down."""
    PAUSED = "paused"
    """The schedule was paused."""
    TOOL_MISSING = "tool-missing"
    """The tool was not installed, or did not have the command or take the arguments any more."""
    CANCELLED = "cancelled"
    """Somebody cancelled its run, or removed the schedule, before the run was started."""


WAITING = "waiting"
"""What stands for the outcome of a slot that has none yet."""
STARTED = frozenset({Outcome.RAN, Outcome.RAN_LATE})
"""The outcomes of slots for which a tool was started."""


class Schedule(Value):
    """A rule that starts runs of a command, and how far its slots have been reckoned."""

    # Nodes of several versions read those that are shared: what a later one says besides is kept, not refused.
    model_config = ConfigDict(extra="allow")

    id: str
    tool: Name
    command: str
    arguments: list[Any] | dict[str, Any]
    """In the order of the definition, or by name, as they were given."""
    cron: str
    """`daily`, `weekly`, `monthly` or a crontab rule."""
    timezone: str = "UTC"
    """The IANA time zone whose clocks the rule goes by."""
    publish: bool = False
    """Whether the data is pushed; if not, it is only committed on the node."""
    overlap: Overlap = Overlap.SKIP
    spread: Spread | None = None
    retries: Annotated[int, Field(ge=0, le=MOST_RETRIES)] = 0
    """How often a slot is tried again if the tool fails."""
    retry_pause: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Seconds until the first of these, then doubled each time."""
    anywhere: bool = False
    """Whether it belongs to the cluster: any node that has the tool may take a slot, and one does."""
    node: Name
    """The node that it runs on; of one that belongs to the cluster, the node that added it."""
    asked_by: Name | None = None
    """The node whose user has given it its arguments, where that is another one."""
    state: ScheduleState = ScheduleState.ACTIVE
    note: str | None = None
    """Why it was paused."""
    created_at: Moment
    changed_at: Moment
    """When it was last added, edited, paused, resumed or removed: its present rule goes for slots after that."""
    reckoned_until: Moment
    """All slots planned up to then have their outcome, or are on their way to one."""


class Slot(Value):
    """A moment at which a schedule is due, and what became of it."""

    model_config = ConfigDict(extra="allow")  # as above

    schedule: str
    planned: Moment
    """What the rule says."""
    due_at: Moment
    """When it was to start: `planned`, and what the spread adds."""
    tool: Name
    node: Name
    """The node that recorded it."""
    outcome: Outcome | None = None
    """None while it is on its way to one; once it is there, it stays."""
    detail: str | None = None
    """Why, where that is not plain."""
    start_by: Moment | None = None
    """After that it is too late to start; None if it is never."""
    runs: tuple[str, ...] = ()
    """The ids of the runs made for it: of its first attempt and of each retry."""
    started_at: Moment | None = None
    """When its first run was started."""
    recorded_at: Moment | None = None
    """When it got its outcome."""
    retry_at: Moment | None = None
    """When it is to be tried again."""
    over: bool = False
    """Whether nothing more is to be done about it: its outcome is known, and its runs have ended."""
    backfill: str | None = None
    """The id of a run that somebody asked for afterwards (`mao schedule backfill`)."""

    @property
    def key(self) -> str:
        return slot_key(self.schedule, self.planned)

    def settled(self, outcome: Outcome, at: datetime, detail: str | None = None, **changes: object) -> Slot:
        """This slot with its one outcome; that it gets a second one is a bug."""
        if self.outcome is not None:
            raise AssertionError(f"slot {self.key} is {self.outcome} already, and not {outcome}")
        return self.model_copy(update={"outcome": outcome, "recorded_at": at, "detail": detail, **changes})

    def started(self, at: datetime) -> Slot:
        """This slot with the outcome that its first run is started now."""
        late = at - self.due_at > ON_TIME or self.backfill is not None
        return self.settled(Outcome.RAN_LATE if late else Outcome.RAN, at, started_at=at)


PAST_ALL = "~"
"""Comes after whatever a planned moment begins with."""


def slot_key(schedule: str, planned: datetime) -> str:
    """Tells a slot from all others; the order of the keys of a schedule is that of its slots."""
    return f"{schedule}/{rfc3339(planned)}"
