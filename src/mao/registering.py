"""Register, withdraw and find tools and datasets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.catalogue import DATASETS, TOOLS, Dataset, Tool, dataset_key, tool_key
from mao.definition_file import FILE_NAMES, load
from mao.errors import (
    BadDefinition,
    BadName,
    BadRemote,
    DatasetNotFound,
    DatasetTaken,
    Denied,
    GitFailed,
    NameDiffers,
    NameTaken,
    StaleRevision,
    ToolNotFound,
)
from mao.git import fetchable
from mao.names import is_absolute_remote, name_fault, nearest, remote_fault
from mao.values import new_id, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.definition import Definition
    from mao.local_node import LocalNode

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What git-check-ref-format(1) refuses, patterns of ls-remote among it.
_NO_REF = re.compile(r"^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.lock$|\.$")
_LARGEST_DEFINITION = 1 << 20


@dataclass(frozen=True, slots=True)
class Pinned:
    """A ref of a remote and the commit that it names; `ref` is in full, or the commit itself."""

    ref: str
    commit: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A tool's repository at a commit, as far as registering looks at it."""

    pinned: Pinned
    definition: Definition
    text: str
    """Of the definition."""
    installer: str | None
    """The text of the installer's script."""
    files: dict[str, str]
    """The path of every file, and git's mode and id of it."""


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
        NameDiffers, NameTaken, DatasetTaken, StaleRevision: nothing was registered.
    """
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
        return node.registry.put(
            tool_key(tool.name), tool.model_dump_json(by_alias=True).encode(), if_revision=if_revision
        )
    except StaleRevision:
        if if_revision:
            raise
        raise NameTaken(f"The tool '{tool.name}' was registered by another node just now.") from None


def _register_dataset_of(node: LocalNode, tool: Tool) -> None:
    repo = tool.definition.data.repo
    check_remote(node, repo.remote)
    key = dataset_key(repo.name)
    present = node.registry.get(key)
    if present is None:
        dataset = Dataset(
            name=repo.name,
            url=repo.remote,
            description=f"Data of {tool.name}: {tool.definition.description}".strip(),
            produced_by=(tool.name,),
            license=tool.definition.license,
            registered_by=node.config.node,
            registered_at=now(),
        )
        node.registry.put(key, dataset.model_dump_json().encode(), if_revision=0)
        return
    dataset = Dataset.model_validate_json(present.value)
    if dataset.url != repo.remote:
        raise DatasetTaken(
            f"The dataset '{dataset.name}' is registered already, by node '{dataset.registered_by}' with the remote"
            f" {dataset.url}; the definition says {repo.remote}. Give the tool's dataset another Name."
        )
    if tool.name not in dataset.produced_by:
        dataset = dataset.model_copy(update={"produced_by": (*dataset.produced_by, tool.name)})
        node.registry.put(key, dataset.model_dump_json().encode(), if_revision=present.revision)


def register_dataset(node: LocalNode, name: str, url: str, description: str = "") -> Dataset:
    """Register the git remote at `url` as a dataset.

    Raises:
        BadName, BadRemote, RemoteRefused, RemoteUnreachable, GitFailed, NameTaken: nothing was registered.
    """
    if fault := name_fault(name):
        raise BadName(f"A dataset cannot be called '{name}': the name {fault}.")
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
    node.mirror.catch_up(node.registry.put(dataset_key(name), dataset.model_dump_json().encode(), if_revision=0))
    return dataset


def withdraw_tool(node: LocalNode, name: str, *, if_revision: int | None = None) -> None:
    """Take a tool out of the registry; where it is installed it stays.

    Raises:
        ToolNotFound, StaleRevision
        Denied: another node registered it.
    """
    present = node.registry.get(tool_key(name))
    if present is None:
        raise ToolNotFound(_unknown("tool", name, (tool.name for tool in tools(node))))
    _own(node, Tool.model_validate_json(present.value))
    revision = node.registry.delete(tool_key(name), if_revision=if_revision or present.revision)
    node.mirror.catch_up(revision)


def withdraw_dataset(node: LocalNode, name: str, *, if_revision: int | None = None) -> None:
    """Take a dataset out of the registry; its remote and its clones stay.

    Raises:
        DatasetNotFound, StaleRevision
        DatasetTaken: a registered tool still publishes to it.
        Denied: another node registered it.
    """
    present = node.registry.get(dataset_key(name))
    if present is None:
        raise DatasetNotFound(_unknown("dataset", name, (dataset.name for dataset in datasets(node))))
    _own(node, Dataset.model_validate_json(present.value))
    users = [tool.name for tool in tools(node) if tool.dataset.lower() == name.lower()]
    if users:
        raise DatasetTaken(f"'{name}' is the dataset of {', '.join(users)}. Withdraw that first.")
    revision = node.registry.delete(dataset_key(name), if_revision=if_revision or present.revision)
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


def check_remote(node: LocalNode, url: str) -> None:
    """Raise BadRemote if `url` is not the address of a remote that this node may use."""
    fault = remote_fault(url)
    if fault is None and not is_absolute_remote(url):
        fault = "is no address: give https://HOST/PATH, ssh://HOST/PATH, USER@HOST:PATH, file:///PATH or /PATH"
    if fault is None and url.lower().startswith("http://") and not node.config["git.allow_http"]:
        fault = "is not encrypted; give https://, or allow http:// with the setting git.allow_http"
    if fault:
        raise BadRemote(f"The remote '{url}' {fault}.")


def resolve(node: LocalNode, url: str, ref: str | None) -> Pinned:
    """The commit that `ref` (a branch, tag or commit; HEAD if None) of the repository at `url` names now."""
    if ref is not None and _COMMIT.fullmatch(ref):
        return Pinned(ref, ref)
    if ref is not None and _NO_REF.search(ref):
        raise BadRemote(f"'{ref}' cannot be a branch or tag (git-check-ref-format).")
    full = [ref] if ref and ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
    wanted = full if ref else ["HEAD"]
    patterns = [pattern for name in wanted for pattern in (name, f"{name}^{{}}")]
    listed = node.git.run(
        "ls-remote", "--symref", "--", fetchable(url), *patterns, cwd=node.workspace.temporary
    ).decode("utf-8", "replace")
    found = {name: what for what, _, name in (line.partition("\t") for line in listed.splitlines())}
    symbolic = re.search(r"^ref: (\S+)\tHEAD$", listed, re.MULTILINE)
    for name in wanted:
        # An annotated tag is an object of its own; `^{}` is the commit behind it.
        commit = found.get(f"{name}^{{}}") or found.get(name)
        if commit and _COMMIT.fullmatch(commit):
            return Pinned(symbolic[1] if symbolic and name == "HEAD" else name, commit)
    what = f"branch or tag '{ref}'" if ref else "commit: it is empty"
    raise GitFailed(f"{url} has no {what}.")


def read(node: LocalNode, url: str, pinned: Pinned) -> Reading:
    """The definition in the repository at `url`, at a commit, checked against the files there.

    Raises:
        BadDefinition: with all its faults.
        OutsideFailed: the repository cannot be read; in git's words.
    """
    with node.workspace.aside(new_id()) as repository:
        node.git.run("init", "--bare", "--quiet", ".", cwd=repository)
        fetch_commit(node, repository, url, pinned)
        listed = node.git.run("ls-tree", "-r", "-t", "-z", pinned.commit, cwd=repository).decode("utf-8", "replace")
        files = {path: entry for entry, _, path in (line.partition("\t") for line in listed.split("\0") if line)}
        file = next((name for name in FILE_NAMES if name in files), None)
        if file is None:
            raise BadDefinition(f"{url} has no {' or '.join(FILE_NAMES)} at its root, at {pinned.commit[:12]}.")
        text = _blob(node, repository, file, files[file])
        definition = load(text, file)
        _check_files(definition, files, file)
        installer = definition.installer
        script = _blob(node, repository, installer.script, files[installer.script]) if installer else None
    return Reading(pinned, definition, text, script, {p: e for p, e in files.items() if e.split()[1] != "tree"})


def fetch_commit(node: LocalNode, repository: Path, url: str, pinned: Pinned) -> None:
    """Fetch one commit into `repository`; by its ref, with the history, if the remote does not give single commits."""
    options = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    output = node.git.attempt(*options, "--depth=1", fetchable(url), pinned.commit, cwd=repository)
    if output.status != 0 and "unadvertised object" in output.err:
        node.git.run(*options, fetchable(url), pinned.ref, cwd=repository)
    elif output.status != 0:
        node.git.run(*options, "--depth=1", fetchable(url), pinned.commit, cwd=repository)


def _blob(node: LocalNode, repository: Path, path: str, entry: str) -> str:
    mode, kind, blob = entry.split()
    if kind != "blob" or mode == "120000":
        raise BadDefinition(f"'{path}' is not a file in the repository.")
    size = int(node.git.run("cat-file", "-s", blob, cwd=repository))
    if size > _LARGEST_DEFINITION:
        raise BadDefinition(f"'{path}' has {size} bytes; at most {_LARGEST_DEFINITION} are read.")
    return node.git.run("cat-file", "blob", blob, cwd=repository).decode("utf-8", "replace")


def _check_files(definition: Definition, files: dict[str, str], file: str) -> None:
    """Every script is a file of the repository, and no path goes through a link."""
    scripts = {f"Commands[{i}].Script": command.script for i, command in enumerate(definition.commands)}
    if definition.installer:
        scripts["Installer.Script"] = definition.installer.script
    faults = [
        (where, f"'{script}' is not a file in the repository")
        for where, script in scripts.items()
        if script not in files
    ]
    paths = scripts | ({"Data.Local": definition.data.local} if definition.data.local else {})
    for where, path in paths.items():
        parts = path.strip("/").split("/")
        modes = [files.get("/".join(parts[:depth]), "").split(" ")[0] for depth in range(1, len(parts) + 1)]
        if "120000" in modes:
            faults.append((where, f"'{path}' goes through a symbolic link, which could leave the tool"))
        elif modes[-1] == "160000" or (where == "Data.Local" and modes[-1] not in {"", "040000"}):
            faults.append((where, f"'{path}' is not a directory of the repository"))
    if faults:
        listed = [
            {"file": file, "line": 1, "column": 1, "path": where, "message": message, "suggestion": None}
            for where, message in faults
        ]
        raise BadDefinition("\n".join(f"{file}: {where}: {message}" for where, message in faults), listed)
