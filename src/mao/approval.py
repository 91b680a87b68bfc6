"""What this node knows of single commits of tools: when it first read one, and that somebody here approved one."""

from __future__ import annotations

from mao.names import Name
from mao.values import Moment, Value


class Sighting(Value):
    """That this node itself has read a tool's repository at a commit: it takes no other node's word for either."""

    tool: Name
    commit: str
    definition: str
    """SHA-256 of the definition there."""
    seen_at: Moment
    """When it read it first, by its own clock: what a commit says of its age, anybody can write into it."""

    @property
    def key(self) -> str:
        return commit_key(self.tool, self.commit)


class Approval(Value):
    """That somebody of this node has let in one commit of a tool."""

    tool: Name
    commit: str
    tree: str
    """git's id of all files there."""
    url: str
    """Of the repository that it was read from."""
    approved_by: str
    """Who asked for it, as the node knew them."""
    approved_at: Moment

    @property
    def key(self) -> str:
        return commit_key(self.tool, self.commit)


def commit_key(tool: str, commit: str) -> str:
    """The key of what is known of a tool's commit: names of tools are unique without regard to case."""
    return f"{tool.lower()}/{commit}"
