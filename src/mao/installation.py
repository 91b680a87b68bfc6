"""What is installed on this node, and the attempts to install; clones of datasets without their tools."""

from __future__ import annotations

from enum import StrEnum

from mao.definition import Definition
from mao.names import Name
from mao.values import Moment, Value


class Step(StrEnum):
    """Where an attempt to install stands; every step can be killed and done again."""

    CLONING = "cloning"
    INSTALLING = "installing"
    """The installer runs, under a supervisor of its own."""
    DATASET = "dataset"
    """The dataset is cloned: what publishing needs of it."""
    SWITCHING = "switching"
    """The data directory moves over from the commit that was installed before."""
    DONE = "done"
    FAILED = "failed"


class Attempt(Value):
    """One attempt to install a tool at a commit."""

    id: str
    commit: str
    url: str
    ref: str
    definition: Definition
    step: Step = Step.CLONING
    started_at: Moment
    ended_at: Moment | None = None
    cancel_requested: bool = False
    error: str | None = None
    """The code of the error that ended it."""
    detail: str | None = None
    """The same in words."""


class InstallationState(StrEnum):
    """Whether runs of the tool can be started here."""

    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"


class Installation(Value):
    """A tool at a commit on this node, and the last attempt to put one there."""

    tool: Name
    state: InstallationState
    commit: str | None = None
    definition: Definition | None = None
    """The definition at `commit`: help and runs go by it, with the registry and git away too."""
    url: str | None = None
    dataset: Name | None = None
    tree: str | None = None
    """The name of the directory that holds the tool's files."""
    installed_at: Moment | None = None
    attempt: Attempt


class CloneState(StrEnum):
    """Whether the files of the clone can be read."""

    CLONING = "cloning"
    REFRESHING = "refreshing"
    READY = "ready"
    FAILED = "failed"


class Clone(Value):
    """A dataset on this node without its tool, to be read."""

    dataset: Name
    url: str
    state: CloneState
    folders: tuple[str, ...] = ()
    """Only the files below these are here; none named: all files."""
    further: tuple[str, ...] = ()
    """Those of `folders` that were asked for and are not here yet."""
    since: Moment | None = None
    """The history goes back to here; without it and without `history`, the newest commit alone is here."""
    history: bool = False
    """Whether it has the whole history."""
    path: str | None = None
    head: str | None = None
    replaced: str | None = None
    """The head before, if the last refresh found that the branch was rewritten and does not lead to it any more."""
    progress: str | None = None
    """What git says it is doing."""
    cloned_at: Moment | None = None
    refreshed_at: Moment | None = None
    error: str | None = None
    detail: str | None = None
