"""Register and withdraw tools and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao import finding
from mao.agreeing import check_in_reach, check_may, check_own, unchanged, written
from mao.catalogue import (
    DATASETS,
    TOOLS,
    UNTOLD,
    Dataset,
    DatasetHead,
    Tool,
    dataset_in,
    dataset_key,
    head_edit,
    head_key,
    tool_key,
)
from mao.checking import seen
from mao.consenting import saw
from mao.errors import BadName, DatasetNotFound, DatasetTaken, NameDiffers, NameTaken, ToolNotFound
from mao.git import fetchable
from mao.names import name_fault
from mao.reading import Pinned, check_remote, read, resolve
from mao.registry import Edit
from mao.values import now

if TYPE_CHECKING:
    from mao.agreeing import Look
    from mao.local_node import LocalNode
    from mao.registry import Entry


def register_tool(
    node: LocalNode,
    url: str,
    *,
    ref: str | None = None,
    name: str | None = None,
    if_revision: int | None = None,
    as_administrator: bool = False,
) -> Tool:
    """Register the tool in the repository at `url`, at the commit that `ref` (its HEAD) names now, and its dataset.

    Args:
        node: that registers it.
        url: of the tool's repository.
        ref: branch, tag or commit.
        name: if given, it must be the one in the definition.
        if_revision: replace the registration that has this revision; None to register a new one.
        as_administrator: replace what another node registered; it stays that node's.

    Raises:
        BadRemote, RemoteRefused, RemoteUnreachable, GitFailed: the repository cannot be read; in git's words.
        BadDefinition: with all its faults.
        NameDiffers, NameTaken, DatasetTaken, StaleRevision, NodeTaken, Denied, ValueTooLarge: nothing was registered.
        RegistryUnavailable: nothing was registered; or, if it says so, that is not known.
    """
    check_remote(node, url)
    check_may(node, asked=as_administrator)
    check_in_reach(node)
    tool = _read_tool(node, url, ref, name)

    def registration(look: Look) -> list[Edit]:
        present = look(tool_key(tool.name))
        if if_revision is None:
            if present is not None:
                taken = Tool.model_validate_json(present.value)
                seen(node, taken, url, Pinned(tool.ref, tool.commit))
                raise NameTaken(
                    f"The tool '{taken.name}' is registered already, by node '{taken.registered_by}' from {taken.url}"
                    f" at {taken.commit[:12]}. Choose another Name, or let that node replace it."
                )
            return [*_joined(look, tool), _edit(present, tool)]
        present = unchanged(present, f"tool '{tool.name}'", if_revision)
        replaced = Tool.model_validate_json(present.value)
        check_own(node, replaced, as_administrator=as_administrator)
        new = tool.model_copy(update={"registered_by": replaced.registered_by})
        moved = replaced.dataset.lower() != new.dataset.lower()
        return [*_joined(look, new), *(_left(look, replaced) if moved else []), _edit(present, new)]

    registered = Tool.model_validate_json(written(node, registration)[-1].value or b"")
    saw(node, registered.name, registered.commit, registered.definition)
    return registered


def _read_tool(node: LocalNode, url: str, ref: str | None, name: str | None) -> Tool:
    """What would be registered: what the repository at `url` holds at the commit that `ref` names."""
    reading = read(node, url, resolve(node, url, ref))
    definition = reading.definition
    if name is not None and name.lower() != definition.name.lower():
        raise NameDiffers(
            f"The definition in {url} is of '{definition.name}', not '{name}'. Register it under its own name."
        )
    check_remote(node, definition.data.repo.remote)
    return Tool(
        name=definition.name,
        url=url,
        ref=reading.pinned.ref,
        commit=reading.pinned.commit,
        definition=definition,
        dataset=definition.data.repo.name,
        registered_by=node.config.node,
        registered_at=now(),
    )


def _edit(present: Entry | None, value: Tool | Dataset) -> Edit:
    """Give the key of `value` this value, if it still is as it was looked at."""
    key = tool_key(value.name) if isinstance(value, Tool) else dataset_key(value.name)
    text = value.model_dump_json(by_alias=True, exclude=set(DatasetHead.model_fields))
    return Edit(key, text.encode(), present.revision if present else 0)


def _joined(look: Look, tool: Tool) -> list[Edit]:
    """The dataset of `tool`, and that the tool is in it."""
    repo = tool.definition.data.repo
    dataset = dataset_in(look, repo.name)
    if dataset is None:
        new = _dataset_of(tool)
        return [_edit(None, new), head_edit(look, new.name, produced_by=(tool.name,), **UNTOLD)]
    if dataset.url != repo.remote:
        raise DatasetTaken(
            f"The dataset '{dataset.name}' is registered already, by node '{dataset.registered_by}' with the remote"
            f" {dataset.url}; the definition says {repo.remote}. Give the tool's dataset another Name."
        )
    within = tuple(dict.fromkeys((*dataset.produced_by, tool.name)))
    return [head_edit(look, dataset.name, produced_by=within)]


def _left(look: Look, tool: Tool) -> list[Edit]:
    """The dataset of `tool` without the tool."""
    dataset = dataset_in(look, tool.dataset)
    if dataset is None or tool.name not in dataset.produced_by:
        return []
    others = tuple(name for name in dataset.produced_by if name != tool.name)
    return [head_edit(look, dataset.name, produced_by=others)]


def _dataset_of(tool: Tool) -> Dataset:
    repo = tool.definition.data.repo
    return Dataset(
        name=repo.name,
        url=repo.remote,
        description=f"Data of {tool.name}: {tool.definition.description}".strip(),
        license=tool.definition.license,
        registered_by=tool.registered_by,
        registered_at=tool.registered_at,
    )


def register_dataset(
    node: LocalNode,
    name: str,
    url: str,
    description: str = "",
    *,
    if_revision: int | None = None,
    as_administrator: bool = False,
) -> Dataset:
    """Register the git remote at `url` as a dataset; or replace url and description of what has this revision.

    Raises:
        BadName, BadRemote, RemoteRefused, RemoteUnreachable, GitFailed, NameTaken, StaleRevision, Denied,
        ValueTooLarge: nothing was registered.
        RegistryUnavailable: nothing was registered; or, if it says so, that is not known.
    """
    if fault := name_fault(name):
        raise BadName(f"A dataset cannot be called '{name}': the name {fault}.")
    check_remote(node, url)
    check_may(node, asked=as_administrator)
    check_in_reach(node)
    node.git.run("ls-remote", "--heads", "--", fetchable(url), cwd=node.workspace.temporary)
    new = Dataset(name=name, url=url, description=description, registered_by=node.config.node, registered_at=now())

    def registration(look: Look) -> list[Edit]:
        present = look(dataset_key(name))
        if if_revision is None:
            if present is not None:
                taken = Dataset.model_validate_json(present.value)
                raise NameTaken(
                    f"The dataset '{taken.name}' is registered already, by node '{taken.registered_by}' with the"
                    f" remote {taken.url}. Choose another name."
                )
            return [_edit(None, new), head_edit(look, name, produced_by=(), **UNTOLD)]
        present = unchanged(present, f"dataset '{name}'", if_revision)
        replaced = dataset_in(look, name) or new
        check_own(node, replaced, as_administrator=as_administrator)
        edit = _edit(present, replaced.model_copy(update={"url": url, "description": description}))
        if replaced.url == url:
            return [edit]
        # Nobody has told yet what the new remote has.
        return [edit, head_edit(look, name, **UNTOLD)]

    written(node, registration)
    return finding.find_dataset(node, name)


def withdraw_tool(
    node: LocalNode, name: str, *, if_revision: int | None = None, as_administrator: bool = False
) -> None:
    """Take a tool out of the registry, and out of what its dataset is said to hold; where it is installed it stays.

    Raises:
        ToolNotFound, StaleRevision, RegistryUnavailable
        Denied: another node registered it.
    """
    check_may(node, asked=as_administrator)

    def withdrawal(look: Look) -> list[Edit]:
        present = look(tool_key(name))
        if present is None:
            raise ToolNotFound(finding.unknown(node, "tool", name, TOOLS))
        tool = Tool.model_validate_json(present.value)
        check_own(node, tool, as_administrator=as_administrator)
        if if_revision is not None:
            unchanged(present, f"tool '{name}'", if_revision)
        return [Edit(present.key, None, present.revision), *_left(look, tool)]

    written(node, withdrawal)


def withdraw_dataset(
    node: LocalNode, name: str, *, if_revision: int | None = None, as_administrator: bool = False
) -> None:
    """Take a dataset out of the registry; its remote and its clones stay.

    Raises:
        DatasetNotFound, StaleRevision, RegistryUnavailable
        DatasetTaken: a registered tool still publishes to it.
        Denied: another node registered it.
    """
    check_may(node, asked=as_administrator)

    def withdrawal(look: Look) -> list[Edit]:
        present = look(dataset_key(name))
        if present is None:
            raise DatasetNotFound(finding.unknown(node, "dataset", name, DATASETS))
        dataset, told = dataset_in(look, name) or Dataset.model_validate_json(present.value), look(head_key(name))
        check_own(node, dataset, as_administrator=as_administrator)
        if if_revision is not None:
            unchanged(present, f"dataset '{name}'", if_revision)
        users = [tool for tool in dataset.produced_by if _is_of(look(tool_key(tool)), dataset)]
        if users:
            raise DatasetTaken(f"'{name}' is the dataset of {', '.join(users)}. Withdraw that first.")
        return [Edit(entry.key, None, entry.revision) for entry in (present, told) if entry]

    written(node, withdrawal)


def _is_of(entry: Entry | None, dataset: Dataset) -> bool:
    return entry is not None and Tool.model_validate_json(entry.value).dataset.lower() == dataset.name.lower()
