"""A run: one execution of a command, from the request to the published commit. The state table is here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from mao.names import Name
from mao.values import Moment, Value

if TYPE_CHECKING:
    from datetime import datetime


class RunState(StrEnum):
    """Where a run stands; `TRANSITIONS` says what may follow."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"
    LOST = "lost"
    UNPUBLISHED = "unpublished"


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.FAILED}),
    RunState.RUNNING: frozenset(
        {RunState.PUBLISHING, RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT, RunState.LOST}
    ),
    RunState.PUBLISHING: frozenset({RunState.SUCCEEDED, RunState.UNPUBLISHED}),
    RunState.UNPUBLISHED: frozenset({RunState.PUBLISHING, RunState.SUCCEEDED}),
    RunState.SUCCEEDED: frozenset({RunState.PUBLISHING}),  # a commit that was kept back is published later
    RunState.FAILED: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.TIMED_OUT: frozenset(),
    RunState.LOST: frozenset(),
}

UNENDED = frozenset({RunState.QUEUED, RunState.RUNNING})
"""The states in which the tool has not ended: it waits to be started, or goes on."""
ENDED = frozenset(RunState) - UNENDED - {RunState.PUBLISHING}
"""The states in which nothing goes on for now."""


FAILED = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT, RunState.LOST})
"""The states of runs that have ended without data that is published."""


class PublicationState(StrEnum):
    """Where the data of a run stands on its way to the dataset."""

    COLLECTING = "collecting"
    """Its files are still to be set aside from a directory that runs share."""
    PENDING = "pending"
    """Collected; to be committed and, unless kept back, pushed."""
    KEPT = "kept"
    """Committed on this node, not to be pushed until somebody asks for it."""
    WAITING = "waiting"
    """The remote could not take it; tried again at `next_try_at`."""
    BLOCKED = "blocked"
    """The remote or the dataset refuses it; somebody has to decide."""
    DELIVERED = "delivered"
    """The remote holds it, in a ref of its own (`refs/mao/inbox/<node>/<run>`); it is on its way to the branch."""
    PUBLISHED = "published"
    """The dataset's branch is known to hold it."""
    UNCHANGED = "unchanged"
    """Nothing new: no commit was made."""


class PublishedFile(Value):
    """A file that a run added or changed."""

    path: str
    """Relative to the data directory."""
    size: int
    """Bytes."""
    published_as: str | None = None
    """Its path in the dataset, where that is not `path`: another node had published other content there."""
    lfs: str | None = None
    """Its SHA-256, by which the remote's LFS has its content; git has a pointer in its place."""


class Publication(Value):
    """The commit of a run's data, on its way to the dataset's remote."""

    dataset: Name
    remote: str
    state: PublicationState = PublicationState.PENDING
    branch: str | None = None
    commit: str | None = None
    base: str | None = None
    """The commit that `commit` was built on; None for the first of a dataset, or while the remote is unknown."""
    files: tuple[PublishedFile, ...] = ()
    left_out: tuple[str, ...] = ()
    """What was in the data directory but cannot be published (sockets, links that leave it), with the reason."""
    superseded: tuple[str, ...] = ()
    """Paths that a later run of this node has in the dataset already: that stays, and this run's file goes beside."""
    attempts: int = 0
    next_try_at: Moment | None = None
    cause: str | None = None
    """Why the last attempt did not succeed, as an error's code."""
    message: str | None = None
    """Likewise, in git's own words."""
    delivery: str | None = None
    """The commit with the files of the run alone, which the remote was given in a ref of its own."""
    delivered_at: Moment | None = None
    """When the remote was known to hold the data."""
    pushed_at: Moment | None = None
    """When the branch was known to hold it."""
    lost_at: Moment | None = None
    """When it was decided that the branch may stay as it is, though its history has lost this."""

    def due(self, moment: datetime, longest: float) -> bool:
        """Whether it may be tried again at `moment`; no pause has more than `longest` seconds.

        A moment that lies further away was set by a clock that has been put back since.
        """
        wait = (self.next_try_at - moment).total_seconds() if self.next_try_at else 0.0
        return not 0 < wait <= longest


class Run(Value):
    """One execution of a command of a tool on this node."""

    id: str
    tool: Name
    tool_commit: str
    command: str
    arguments: dict[str, str | None]
    """By name, in the order of the definition; secrets by their references (None: older versions took the value)."""
    dataset: Name
    node: Name
    asked_by: Name | None = None
    """The node whose user asked for it, where that is another one."""
    schedule: str | None = None
    """The id of the schedule that it was started by."""
    slot: Moment | None = None
    """The planned moment of the slot that it was made for."""
    attempt: int = 1
    """Counts the runs made for that slot."""
    anywhere: bool = False
    """Whether that slot belongs to the cluster, which has to agree before the run is started, and before its data is
    published."""
    publish: bool
    """Whether the data is pushed; if not, it is only committed on this node."""
    fresh: bool
    """Whether the run has an empty data directory of its own, and so may overlap with others of its tool."""
    state: RunState
    reason: str | None = None
    """Why it is in this state, where that is not plain."""
    exit_code: int | None = None
    signal: int | None = None
    cancel_requested: bool = False
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None
    """When the last process of the tool had ended."""
    finished_at: Moment | None = None
    """When the run came into its present state, if nothing goes on in it."""
    cpu_seconds: float | None = None
    max_rss: int | None = None
    """Bytes."""
    log_bytes: int | None = None
    log_dropped: int = 0
    """Bytes of output past the limit, which were not kept."""
    confined: Literal["sandbox", "none"] | None = None
    """Whether the tool ran in a sandbox, or could touch all that the node's user can; known when it has ended."""
    publication: Publication | None = None

    def moved(self, state: RunState, **changes: object) -> Run:
        """This run in `state`, with `changes`; a move that the table does not have is a bug."""
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"a run does not go from {self.state} to {state}")
        return self.model_copy(update={"state": state, **changes})

    def with_publication(self, **changes: object) -> Run:
        """This run, with `changes` to its publication."""
        if self.publication is None:
            raise AssertionError("the run has no publication")
        return self.model_copy(update={"publication": self.publication.model_copy(update=changes)})
