"""The errors of what we call, or cannot have for now: the leaves of `OutsideFailed` and `Unavailable`."""

from __future__ import annotations

from mao.kinds import OutsideFailed, Unavailable


class GitFailed(OutsideFailed):
    """git did not do what it was asked."""


class InstallerFailed(OutsideFailed):
    """The tool's installer failed."""


class RemoteRefused(OutsideFailed):
    """The remote answered, and refused."""


class RemoteUnreachable(OutsideFailed):
    """The remote did not answer."""


class RepositoryRefused(OutsideFailed):
    """The repository holds what this node does not bring to its disk."""


class RepositoryTooLarge(OutsideFailed):
    """The repository is more than this node takes."""


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
