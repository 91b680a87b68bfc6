"""Who asks a node for something, from where, and what that person or program may have done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

OWNER = "owner"
"""Who comes through the node's socket: the user of `mao serve`, or root."""


class Right(IntEnum):
    """What a caller may do; each includes the ones before it."""

    NONE = 0
    """See that the node is up."""
    READ = 1
    """Look at everything that the API shows, but for tokens and the audit log."""
    RUN = 2
    """Start, cancel and publish runs of tools that are installed here, and have schedules do so."""
    ADMIN = 3
    """Everything: register, install and remove tools, approve commits, delete data, make tokens, read the audit log."""

    @property
    def scope(self) -> str:
        """The word for it in a token's scopes."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has sent a request."""

    name: str
    """`owner`, `token:NAME`, `node:NAME` of the cluster, or `nobody`."""
    origin: str
    """Where from: `socket`, or an address of the network."""
    right: Right
    tools: frozenset[str] | None = None
    """Names, in lower case, of the only tools that it may start, or have anything to do with runs of; None: any."""
