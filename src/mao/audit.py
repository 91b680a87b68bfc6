"""An entry of the audit log: one request that would change something, and what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import computed_field

from mao.values import Moment, Value

_BEGUN = 202
_REFUSED = 400
_FAILED = 500


class AuditOutcome(StrEnum):
    """What came of a request."""

    DONE = "done"
    BEGUN = "begun"
    """The node has taken it on, and goes on by itself: what `location` names tells how it went."""
    REFUSED = "refused"
    """Nothing was changed; `code` says why."""
    FAILED = "failed"
    """The node, or what it called, could not do it; `code` says why."""
    UNKNOWN = "unknown"
    """It is under way, or the node ended before it had answered."""


class AuditEntry(Value):
    """Who asked for what, when, from where, and what came of it."""

    number: int
    """Counts the entries of this node, in the order in which they were written."""
    request_id: str
    """As the answer had it in `X-Request-Id`."""
    at: Moment
    caller: str
    """`owner`, `token:NAME`, `node:NAME` of the cluster, or `nobody`."""
    origin: str
    """Where from: `socket`, or an address of the network."""
    method: str
    path: str
    about: dict[str, str]
    """Which tool, command, dataset and so on the request named; never its arguments."""
    status: int | None = None
    """Of the answer, as in HTTP."""
    code: str | None = None
    """Of the error that was the answer."""
    location: str | None = None
    """What was made, or how it goes."""

    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def outcome(self) -> AuditOutcome:
        """What came of it, in a word."""
        if self.status is None:
            return AuditOutcome.UNKNOWN
        if self.status >= _FAILED:
            return AuditOutcome.FAILED
        if self.status >= _REFUSED:
            return AuditOutcome.REFUSED
        return AuditOutcome.BEGUN if self.status == _BEGUN else AuditOutcome.DONE
