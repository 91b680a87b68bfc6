"""What nodes share: the tools and datasets that are registered, and the nodes themselves, under which keys."""

from __future__ import annotations

from pydantic import ConfigDict

from mao.definition import Definition
from mao.names import Name, Remote
from mao.values import Moment, Value

TOOLS = "/mao/v1/tools/"
DATASETS = "/mao/v1/datasets/"
NODES = "/mao/v1/nodes/"
SCHEDULES = "/mao/v1/schedules/"
"""Of the cluster; those of a node are in its store."""
SLOTS = "/mao/v1/slots/"
"""Of these schedules."""


class _Shared(Value):
    """What nodes of several versions read and write: what a later one says besides is kept, not refused."""

    model_config = ConfigDict(extra="allow")


class Tool(_Shared):
    """A registered tool: where it is, and its definition at the commit that was registered."""

    name: Name
    url: Remote
    ref: str
    """The branch, tag or commit that was asked for; a branch or tag in full (`refs/heads/main`)."""
    commit: str
    definition: Definition
    dataset: Name
    registered_by: Name
    registered_at: Moment


class Dataset(_Shared):
    """A registered git remote that data is pushed to."""

    name: Name
    url: Remote
    description: str = ""
    produced_by: tuple[Name, ...] = ()
    """The tools whose data it holds."""
    head: str | None = None
    """The newest commit of its branch that a node has told of."""
    updated_at: Moment | None = None
    license: str | None = None
    registered_by: Name
    registered_at: Moment


class Node(_Shared):
    """A node as the others see it; its key is leased, and gone when the node is."""

    name: Name
    id: str
    """Of its home (UUID): tells a node that was started again from another one that has taken its name."""
    url: str | None = None
    """Where other nodes of the cluster reach its API, with TLS; None if they do not."""
    version: str
    tools: dict[Name, str]
    """The installed tools, each with its commit."""
    since: Moment
    """When it was started."""
    sandbox: bool | None = None
    """Whether tools run in a sandbox there; None of a version that does not say."""


def tool_key(name: str) -> str:
    """The registry key of a tool: names are unique without regard to case."""
    return TOOLS + name.lower()


def dataset_key(name: str) -> str:
    """The registry key of a dataset: names are unique without regard to case."""
    return DATASETS + name.lower()


def node_key(name: str) -> str:
    """The registry key of a node: names are unique without regard to case."""
    return NODES + name.lower()


def schedule_key(schedule_id: str) -> str:
    """The registry key of a schedule of the cluster."""
    return SCHEDULES + schedule_id


def slots_below(schedule_id: str) -> str:
    """What the registry keys of all slots of a schedule of the cluster begin with."""
    return f"{SLOTS}{schedule_id}/"
