"""Register, withdraw and find tools and datasets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mao.announcing import check_name
from mao.catalogue import DATASETS, TOOLS, Dataset, Tool, dataset_key, tool_key
from mao.errors import (
    BadName,
    DatasetNotFound,
    DatasetTaken,
    Denied,
    NameDiffers,
    NameTaken,
    StaleRevision,
    ToolNotFound,
)
from mao.git import fetchable
from mao.names import name_fault, nearest
from mao.reading import check_remote, read, resolve
from mao.registry import Edit
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.local_node import LocalNode


def register_tool(
    node: LocalNode,
    url: str,
    *,
    ref: str | None = None,
    name: str | None = None,
    if_revision: int | None = None,
) -> Tool:
    """Register the tool in the repository at `url`, at the commit that `ref` (its HEAD) names now.

    Args:
        node: that registers it.
        url: of the tool's repository.
        ref: branch, tag or commit.
        name: if given, it must be the one in the definition.
        if_revision: replace the registration that has this revision; None to register a new one.

    Raises:
        BadRemote, RemoteRefused, RemoteUnreachable, GitFailed: the repository cannot be read; in git's words.
        BadDefinition: with all its faults.
        NameDiffers, NameTaken, DatasetTaken, StaleRevision, NodeTaken: nothing was registered.
    """
    check_name(node)
    check_remote(node, url)
    reading = read(node, url, resolve(node, url, ref))
    definition = reading.definition
    if name is not None and name.lower() != definition.name.lower():
        raise NameDiffers(
            f"The definition in {url} is of '{definition.name}', not '{name}'. Register it under its own name."
        )
    present = node.registry.get(tool_key(definition.name))
    if present is not None and if_revision is None:
        taken = Tool.model_validate_json(present.value)
        raise NameTaken(
            f"The tool '{taken.name}' is registered already, by node '{taken.registered_by}' from {taken.url}"
            f" at {taken.commit[:12]}. Choose another Name, or let that node replace it."
        )
    if present is not None:
        _own(node, Tool.model_validate_json(present.value))
    if if_revision is not None and (present is None or present.revision != if_revision):
        raise StaleRevision(f"The tool '{definition.name}' has changed since it was read. Look at it again.")
    tool = Tool(
        name=definition.name,
        url=url,
        ref=reading.pinned.ref,
        commit=reading.pinned.commit,
        definition=definition,
        dataset=definition.data.repo.name,
        registered_by=node.config.node,
        registered_at=now(),
    )
    _register_dataset_of(node, tool)
    revision = _put_tool(node, tool, if_revision or 0)
    node.mirror.catch_up(revision)
    return tool


def _put_tool(node: LocalNode, tool: Tool, if_revision: int) -> int:
    try:
        return node.registry.write(Edit(tool_key(tool.name), tool.model_dump_json(by_alias=True).encode(), if_revision))
    except StaleRevision:
        if if_revision:
            raise
        raise NameTaken(f"The tool '{tool.name}' was registered by another node just now.") from None


def _register_dataset_of(node: LocalNode, tool: Tool) -> None:
    repo = tool.definition.data.repo
    check_remote(node, repo.remote)
    key = dataset_key(repo.name)
    while True:
        present = node.registry.get(key)
        dataset = Dataset.model_validate_json(present.value) if present else _dataset_of(node, tool)
        if dataset.url != repo.remote:
            raise DatasetTaken(
                f"The dataset '{dataset.name}' is registered already, by node '{dataset.registered_by}' with the remote"
                f" {dataset.url}; the definition says {repo.remote}. Give the tool's dataset another Name."
            )
        if present and tool.name in dataset.produced_by:
            return
        if tool.name not in dataset.produced_by:
            dataset = dataset.model_copy(update={"produced_by": (*dataset.produced_by, tool.name)})
        with suppress(StaleRevision):  # another tool of this dataset was registered just now: look again
            node.registry.write(Edit(key, dataset.model_dump_json().encode(), present.revision if present else 0))
            return


def _dataset_of(node: LocalNode, tool: Tool) -> Dataset:
    repo = tool.definition.data.repo
    return Dataset(
        name=repo.name,
        url=repo.remote,
        description=f"Data of {tool.name}: {tool.definition.description}".strip(),
        produced_by=(tool.name,),
        license=tool.definition.license,
        registered_by=node.config.node,
        registered_at=now(),
    )


def announce_head(node: LocalNode, name: str) -> None:
    """Tell the cluster of the newest commit of a dataset that is known here; if another node does so, that stands."""
    entry = node.registry.get(dataset_key(name))
    if entry is None:
        return
    dataset = Dataset.model_validate_json(entry.value)
    tip = node.cache(dataset.name, dataset.url).tip()
    if tip is not None and tip.commit not in {None, dataset.head}:
        told = dataset.model_copy(update={"head": tip.commit, "updated_at": now()})
        with suppress(StaleRevision):
            node.registry.write(Edit(entry.key, told.model_dump_json().encode(), entry.revision))


def register_dataset(node: LocalNode, name: str, url: str, description: str = "") -> Dataset:
    """Register the git remote at `url` as a dataset.

    Raises:
        BadName, BadRemote, RemoteRefused, RemoteUnreachable, GitFailed, NameTaken: nothing was registered.
    """
    if fault := name_fault(name):
        raise BadName(f"A dataset cannot be called '{name}': the name {fault}.")
    check_name(node)
    check_remote(node, url)
    present = node.registry.get(dataset_key(name))
    if present is not None:
        taken = Dataset.model_validate_json(present.value)
        raise NameTaken(
            f"The dataset '{taken.name}' is registered already, by node '{taken.registered_by}' with the remote"
            f" {taken.url}. Choose another name."
        )
    node.git.run("ls-remote", "--heads", "--", fetchable(url), cwd=node.workspace.temporary)
    dataset = Dataset(name=name, url=url, description=description, registered_by=node.config.node, registered_at=now())
    try:
        revision = node.registry.write(Edit(dataset_key(name), dataset.model_dump_json().encode(), 0))
    except StaleRevision:
        raise NameTaken(f"The dataset '{name}' was registered by another node just now.") from None
    node.mirror.catch_up(revision)
    return dataset


def withdraw_tool(node: LocalNode, name: str, *, if_revision: int | None = None) -> None:
    """Take a tool out of the registry; where it is installed it stays.

    Raises:
        ToolNotFound, StaleRevision
        Denied: another node registered it.
    """
    check_name(node)
    present = node.registry.get(tool_key(name))
    if present is None:
        raise ToolNotFound(_unknown("tool", name, (tool.name for tool in tools(node))))
    _own(node, Tool.model_validate_json(present.value))
    revision = node.registry.write(Edit(tool_key(name), None, present.revision if if_revision is None else if_revision))
    node.mirror.catch_up(revision)


def withdraw_dataset(node: LocalNode, name: str, *, if_revision: int | None = None) -> None:
    """Take a dataset out of the registry; its remote and its clones stay.

    Raises:
        DatasetNotFound, StaleRevision
        DatasetTaken: a registered tool still publishes to it.
        Denied: another node registered it.
    """
    check_name(node)
    present = node.registry.get(dataset_key(name))
    if present is None:
        raise DatasetNotFound(_unknown("dataset", name, (dataset.name for dataset in datasets(node))))
    _own(node, Dataset.model_validate_json(present.value))
    users = [tool.name for tool in tools(node) if tool.dataset.lower() == name.lower()]
    if users:
        raise DatasetTaken(f"'{name}' is the dataset of {', '.join(users)}. Withdraw that first.")
    revision = node.registry.write(
        Edit(dataset_key(name), None, present.revision if if_revision is None else if_revision)
    )
    node.mirror.catch_up(revision)


def _own(node: LocalNode, value: Tool | Dataset) -> None:
    if value.registered_by != node.config.node:
        raise Denied(f"'{value.name}' was registered by node '{value.registered_by}': only that node may change it.")


def tools(node: LocalNode) -> Iterator[Tool]:
    """Every registered tool, by name."""
    return (Tool.model_validate_json(entry.value) for entry in node.mirror.entries(TOOLS))


def datasets(node: LocalNode) -> Iterator[Dataset]:
    """Every registered dataset, by name."""
    return (Dataset.model_validate_json(entry.value) for entry in node.mirror.entries(DATASETS))


def find_tool(node: LocalNode, name: str) -> Tool:
    """The registered tool called `name`.

    Raises:
        ToolNotFound: with the name that is nearest.
    """
    entry = node.mirror.get(tool_key(name))
    if entry is None:
        raise ToolNotFound(_unknown("tool", name, (tool.name for tool in tools(node))))
    return Tool.model_validate_json(entry.value)


def find_dataset(node: LocalNode, name: str) -> Dataset:
    """The registered dataset called `name`.

    Raises:
        DatasetNotFound: with the name that is nearest.
    """
    entry = node.mirror.get(dataset_key(name))
    if entry is None:
        raise DatasetNotFound(_unknown("dataset", name, (dataset.name for dataset in datasets(node))))
    return Dataset.model_validate_json(entry.value)


def _unknown(noun: str, name: str, known: Iterator[str]) -> str:
    near = nearest(name, known)
    return f"No {noun} is registered as '{name}'" + (f"; did you mean '{near}'?" if near else ".")
