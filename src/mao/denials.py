"""The errors by which a node turns somebody away: the leaves of `Denied`."""

from __future__ import annotations

from mao.kinds import Denied


class ForeignHost(Denied):
    """The request names a host that this node does not serve."""


class ForeignOrigin(Denied):
    """The request comes from a web page of another origin."""


class InvitationRefused(Denied):
    """The invitation is not valid, or not any more."""


class NotAllowed(Denied):
    """Who asks may not do that."""


class NotSignedIn(Denied):
    """The node does not know who asks."""

    status = 401


class TooManyAttempts(Denied):
    """Too many attempts to sign in have failed of late."""

    status = 429


class PolicyRefused(Denied):
    """The policy of this node does not let it in."""


class RightMissing(Denied):
    """The registry does not let this node write that."""
