"""Every deliberate error of MAO: what it is called, whom it concerns, and the numbers that carry it.

    MaoError
    ├── InvalidRequest   422, exit 2   change the request
    │   ├── BadDefinition, BadArguments, BadSecret, BadName, BadRemote, BadPage, BadBody, BadSetting, BadChange
    │   └── BadSchedule, BadRange, IdempotencyKeyReused, ValueTooLarge
    ├── NotFound         404, exit 3   name something else
    │   ├── ToolNotFound, DatasetNotFound, CommandNotFound, RunNotFound, NodeNotFound, SecretNotFound
    │   ├── ScheduleNotFound, TokenNotFound, NotInstalled, NotCloned, FolderNotFound, PathNotFound
    │   └── ChangeNotFound, RouteNotFound, ApprovalNotFound
    ├── Conflict         409, exit 4   look again, decide
    │   ├── NameTaken, DatasetTaken, NameDiffers, TagMoved, StaleRevision, NodeTaken, AlreadyInstalled, InUse
    │   ├── RunEnded, NothingToPublish, CloneChanged, NodeRunning, RemoteRewritten, PathClash, PathTaken
    │   └── ScheduleEnded, BackfillRefused, SecretInData, SlotTaken, TokenTaken, NotApproved
    ├── OutsideFailed    502, exit 5   mend what we called
    │   └── GitFailed, InstallerFailed, RemoteRefused, RemoteUnreachable, RepositoryRefused, RepositoryTooLarge
    ├── Unavailable      503, exit 6   try again later
    │   └── NodeUnreachable, DiskFull, Stopping, RegistryUnavailable, RegistryFull
    └── Denied           403, exit 7   show who you are, or ask for the right
        ├── ForeignHost, ForeignOrigin, InvitationRefused, NotAllowed, NotSignedIn, TooManyAttempts
        └── PolicyRefused, RightMissing

HTTP has numbers of its own for `NotSignedIn` (401), `TooManyAttempts` (429) and `BadRange` (416).

`ToolNotFound` travels as `tool-not-found`. What is no `MaoError` is a bug: 500, exit 1. A tool that fails is a run.
"""

from __future__ import annotations

from mao.denials import (
    ForeignHost,
    ForeignOrigin,
    InvitationRefused,
    NotAllowed,
    NotSignedIn,
    PolicyRefused,
    RightMissing,
    TooManyAttempts,
)
from mao.kinds import Conflict, Denied, InvalidRequest, MaoError, NotFound, OutsideFailed, Unavailable, by_code
from mao.outages import (
    DiskFull,
    GitFailed,
    InstallerFailed,
    NodeUnreachable,
    RegistryFull,
    RegistryUnavailable,
    RemoteRefused,
    RemoteUnreachable,
    RepositoryRefused,
    RepositoryTooLarge,
    Stopping,
)

__all__ = [
    "Conflict",
    "Denied",
    "DiskFull",
    "ForeignHost",
    "ForeignOrigin",
    "GitFailed",
    "InstallerFailed",
    "InvalidRequest",
    "InvitationRefused",
    "MaoError",
    "NodeUnreachable",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "OutsideFailed",
    "PolicyRefused",
    "RegistryFull",
    "RegistryUnavailable",
    "RemoteRefused",
    "RemoteUnreachable",
    "RepositoryRefused",
    "RepositoryTooLarge",
    "RightMissing",
    "Stopping",
    "TooManyAttempts",
    "Unavailable",
    "by_code",
]


class BadDefinition(InvalidRequest):
    """The definition has faults.

    Each of `faults` has `file`, `line` and `column` (from 1), `path` (as in `Commands[0].Name`), `message`, and
    `suggestion` or None.
    """


class BadArguments(InvalidRequest):
    """The arguments do not fit the command."""


class BadSecret(InvalidRequest):
    """That cannot be a secret."""


class BadName(InvalidRequest):
    """That cannot be a name."""


class BadRemote(InvalidRequest):
    """That cannot be the address of a git remote."""


class BadPage(InvalidRequest):
    """The page size or page token is not one that this server gave."""


class BadBody(InvalidRequest):
    """The body of the request is not what this path takes."""


class BadSetting(InvalidRequest):
    """A setting of the configuration has a value that it cannot have."""


class BadChange(InvalidRequest):
    """That is no change that could be made to a dataset."""


class BadSchedule(InvalidRequest):
    """The schedule cannot be as it is described."""


class BadRange(InvalidRequest):
    """None of the bytes that are asked for is there."""

    status = 416


class IdempotencyKeyReused(InvalidRequest):
    """The same Idempotency-Key came with another request."""


class ValueTooLarge(InvalidRequest):
    """It is more than the registry takes."""


class ToolNotFound(NotFound):
    """No such tool is registered."""


class DatasetNotFound(NotFound):
    """No such dataset is registered."""


class CommandNotFound(NotFound):
    """The tool has no such command."""


class RunNotFound(NotFound):
    """No such run is known on this node."""


class NodeNotFound(NotFound):
    """No such node is in the cluster now."""


class SecretNotFound(NotFound):
    """The keyring of this node has no secret of that name."""


class ScheduleNotFound(NotFound):
    """No schedule with this id is known."""


class TokenNotFound(NotFound):
    """This node has made no such token."""


class NotInstalled(NotFound):
    """The tool is not installed on this node."""


class NotCloned(NotFound):
    """The dataset is not cloned on this node."""


class FolderNotFound(NotFound):
    """The dataset has no such folder."""


class PathNotFound(NotFound):
    """There is nothing at that path."""


class ChangeNotFound(NotFound):
    """No such change was made to the dataset."""


class RouteNotFound(NotFound):
    """The server has nothing at that path."""


class ApprovalNotFound(NotFound):
    """No such commit of the tool is approved on this node."""


class NameTaken(Conflict):
    """A tool of that name is registered already."""


class DatasetTaken(Conflict):
    """A dataset of that name is registered already, with another remote."""


class NameDiffers(Conflict):
    """The name asked for is not the one in the definition."""


class TagMoved(Conflict):
    """The tag names another commit now than when the tool was registered."""


class StaleRevision(Conflict):
    """What was to be changed has changed since it was read."""


class NodeTaken(Conflict):
    """Another node of the cluster has this node's name."""


class AlreadyInstalled(Conflict):
    """The tool is installed already, at another commit."""


class InUse(Conflict):
    """Something still under way needs it."""


class RunEnded(Conflict):
    """The run has ended already."""


class NothingToPublish(Conflict):
    """The run has nothing that waits to be published."""


class CloneChanged(Conflict):
    """The clone holds changes that are not in its dataset."""


class NodeRunning(Conflict):
    """Another process serves this node already."""


class RemoteRewritten(Conflict):
    """The history of the dataset's branch was replaced at its remote."""


class PathClash(Conflict):
    """A file stands where the other side has a folder."""


class PathTaken(Conflict):
    """The dataset has something at that path already."""


class ScheduleEnded(Conflict):
    """The schedule was removed: nothing about it changes any more."""


class BackfillRefused(Conflict):
    """The tool does not let slots of the past be run."""


class SecretInData(Conflict):
    """A file of the run holds a secret that the run was given."""


class SlotTaken(Conflict):
    """The cluster has given the slot to another run."""


class TokenTaken(Conflict):
    """A token of that name was made before."""


class NotApproved(Conflict):
    """The commit has to be approved on this node before it is installed."""
