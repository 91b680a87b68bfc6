"""What nodes share: the tools and datasets that are registered, under which keys."""

from __future__ import annotations

from mao.definition import Definition
from mao.names import Name, Remote
from mao.values import Moment, Value

TOOLS = "/mao/v1/tools/"
DATASETS = "/mao/v1/datasets/"


class Tool(Value):
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


class Dataset(Value):
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


def tool_key(name: str) -> str:
    """The registry key of a tool: names are unique without regard to case."""
    return TOOLS + name.lower()


def dataset_key(name: str) -> str:
    """The registry key of a dataset: names are unique without regard to case."""
    return DATASETS + name.lower()
