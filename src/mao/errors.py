"""Every deliberate error of MAO: what it is called, whom it concerns, and the numbers that carry it.

    MaoError
    ├── InvalidRequest   422, exit 2   change the request
    │   ├── BadDefinition, BadArguments, BadName, BadRemote, BadPage, BadBody, BadSetting, BadChange
    │   └── IdempotencyKeyReused, ValueTooLarge
    ├── NotFound         404, exit 3   name something else
    │   ├── ToolNotFound, DatasetNotFound, CommandNotFound, RunNotFound, NodeNotFound
    │   └── NotInstalled, NotCloned, FolderNotFound, PathNotFound, ChangeNotFound, RouteNotFound
    ├── Conflict         409, exit 4   look again, decide
    │   ├── NameTaken, DatasetTaken, NameDiffers, TagMoved, StaleRevision, NodeTaken, PathClash, PathTaken
    │   └── AlreadyInstalled, InUse, RunEnded, NothingToPublish, CloneChanged, NodeRunning, RemoteRewritten
    ├── OutsideFailed    502, exit 5   mend what we called
    │   └── GitFailed, InstallerFailed, RemoteRefused, RemoteUnreachable
    ├── Unavailable      503, exit 6   try again later
    │   └── NodeUnreachable, DiskFull, Stopping, RegistryUnavailable, RegistryFull
    └── Denied           403, exit 7   show who you are, or ask for the right
        └── ForeignHost, ForeignOrigin, InvitationRefused

`ToolNotFound` travels as `tool-not-found`. What is no `MaoError` is a bug: 500, exit 1. A tool that fails is a run.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class MaoError(Exception):
    """What this program could not do, in words for the person who asked.

    Args:
        detail: one or more sentences: what was wrong, where, and what to do about it.
        faults: the single faults behind it, where there are several (see `BadDefinition`).
        cause: what lies behind it more exactly than the class says; the class's code if not given.
    """

    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, detail: str, faults: list[dict[str, Any]] | None = None, *, cause: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults or []
        self.cause = cause or self.code()

    @classmethod
    def code(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def title(cls) -> str:
        """The first sentence of the class's docstring: the same for every error of the class."""
        return (cls.__doc__ or cls.__name__).strip().split("\n")[0].rstrip(".")


class InvalidRequest(MaoError):
    """The request cannot be understood as it stands."""

    status = 422
    exit_status = 2


class NotFound(MaoError):
    """There is nothing of that name."""

    status = 404
    exit_status = 3


class Conflict(MaoError):
    """The present state does not allow it."""

    status = 409
    exit_status = 4


class OutsideFailed(MaoError):
    """Something that this node called did not do its part."""

    status = 502
    exit_status = 5


class Unavailable(MaoError):
    """It cannot be done now; later it may."""

    status = 503
    exit_status = 6


class Denied(MaoError):
    """The caller may not do that."""

    status = 403
    exit_status = 7


class BadDefinition(InvalidRequest):
    """The definition has faults.

    Each of `faults` has `file`, `line` and `column` (from 1), `path` (as in `Commands[0].Name`), `message`, and
    `suggestion` or None.
    """


class BadArguments(InvalidRequest):
    """The arguments do not fit the command."""


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


class NotInstalled(NotFound):
    """The tool is not installed on this node."""


class NotCloned(NotFound):
    """The dataset is not cloned on this node."""


class FolderNotFound(NotFound):
    """The dataset has no such folder."""


class PathNotFound(NotFound):
    """The dataset has nothing at that path."""


class ChangeNotFound(NotFound):
    """No such change was made to the dataset."""


class RouteNotFound(NotFound):
    """The server has nothing at that path."""


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


class GitFailed(OutsideFailed):
    """git did not do what it was asked."""


class InstallerFailed(OutsideFailed):
    """The tool's installer failed."""


class RemoteRefused(OutsideFailed):
    """The remote answered, and refused."""


class RemoteUnreachable(OutsideFailed):
    """The remote did not answer."""


class NodeUnreachable(Unavailable):
    """No node answers at that address."""


class DiskFull(Unavailable):
    """There is no room left on this node's disk."""


class Stopping(Unavailable):
    """The node is stopping."""


class RegistryUnavailable(Unavailable):
    """The registry cannot be reached, or not enough of its members can."""


class RegistryFull(Unavailable):
    """The registry has reached its quota and takes nothing more."""


class ForeignHost(Denied):
    """The request names a host that this node does not serve."""


class ForeignOrigin(Denied):
    """The request comes from a web page of another origin."""


class InvitationRefused(Denied):
    """The invitation is not valid, or not any more."""


def by_code() -> dict[str, type[MaoError]]:
    """Every class of error by its code, so that a client can raise what the server raised."""
    found: list[type[MaoError]] = [MaoError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.code(): kind for kind in found}
