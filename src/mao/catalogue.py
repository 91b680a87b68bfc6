"""What nodes share: the tools and datasets that are registered, and the nodes themselves, under which keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from mao.definition import Definition
from mao.names import Name, Remote
from mao.registry import Edit
from mao.values import Moment, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.registry import Entry

TOOLS = "/mao/v1/tools/"
DATASETS = "/mao/v1/datasets/"
HEADS = "/mao/v1/heads/"
"""What those who use a dataset tell of it: any node may write that, and only who registered it the dataset itself."""
NODES = "/mao/v1/nodes/"
SCHEDULES = "/mao/v1/schedules/"
"""Of the cluster; those of a node are in its store."""
SLOTS = "/mao/v1/slots/"
"""Of these schedules."""
AUTHORITY = "/mao/v1/authority"
"""Which node has the key of the cluster's authority: there if the registry asks who writes."""
REVOKED = "/mao/v1/revoked"
"""Which certificates are not valid any more, though they have not expired."""


UNTOLD = {"head": None, "updated_at": None}
"""Of a remote of which nobody has told yet."""


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


class DatasetHead(_Shared):
    """What those who use a dataset tell of it: see the fields of `Dataset`."""

    produced_by: tuple[Name, ...] = ()
    head: str | None = None
    updated_at: Moment | None = None


class Authority(_Shared):
    """The node that has the key of the cluster's authority, and so gives the right to write."""

    node: Name
    url: str
    """Where other nodes of the cluster reach its API."""
    members_apart: bool = False
    """Whether members of etcd take only who shows a certificate of a member for one of them."""


class Revoked(_Shared):
    """The certificates that are not valid any more."""

    serials: tuple[str, ...] = ()
    """In hexadecimal digits, as Python shows them of a connection."""
    list: str = ""
    """The same, signed by the authority, as etcd wants it (CRL, PEM)."""


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


def head_key(name: str) -> str:
    """The registry key of what is told of a dataset."""
    return HEADS + name.lower()


def head_in(look: Callable[[str], Entry | None], name: str) -> DatasetHead:
    """What was told of a dataset; of one that an earlier version registered, its own key has it."""
    told, record = look(head_key(name)), look(dataset_key(name))
    if told is not None:
        return DatasetHead.model_validate_json(told.value)
    dataset = Dataset.model_validate_json(record.value) if record else None
    return DatasetHead(**{field: getattr(dataset, field) for field in DatasetHead.model_fields} if dataset else {})


def head_edit(look: Callable[[str], Entry | None], name: str, **told: object) -> Edit:
    """Have what is told of a dataset be this. Who changes what a dataset is, or what is of it, writes this, too.

    So nobody withdraws a dataset, or gives it another remote, at the moment at which somebody registers a tool of it.
    """
    present, head = look(head_key(name)), head_in(look, name).model_copy(update=told)
    return Edit(head_key(name), head.model_dump_json().encode(), present.revision if present else 0)


def tool_in(look: Callable[[str], Entry | None], name: str) -> Tool | None:
    """The tool called `name` where `look` looks."""
    record = look(tool_key(name))
    return Tool.model_validate_json(record.value) if record else None


def dataset_in(look: Callable[[str], Entry | None], name: str) -> Dataset | None:
    """The dataset called `name` where `look` looks: what was registered, and what was told of it since."""
    record = look(dataset_key(name))
    if record is None:
        return None
    return Dataset.model_validate_json(record.value).model_copy(update=dict(head_in(look, name)))


def node_key(name: str) -> str:
    """The registry key of a node: names are unique without regard to case."""
    return NODES + name.lower()


def schedule_key(schedule_id: str) -> str:
    """The registry key of a schedule of the cluster."""
    return SCHEDULES + schedule_id


def slots_below(schedule_id: str) -> str:
    """What the registry keys of all slots of a schedule of the cluster begin with."""
    return f"{SLOTS}{schedule_id}/"
