"""Register, withdraw and find tools and datasets."""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.catalogue import DATASETS, TOOLS, Dataset, Tool, dataset_key, tool_key
from mao.definition_file import FILE_NAMES, MAX_BYTES, load
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
from mao.yaml_tree import Fault, read_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.definition import Definition
    from mao.local_node import LocalNode
    from mao.yaml_tree import Location

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What git-check-ref-format(1) refuses, patterns of ls-remote among it.
_NO_REF = re.compile(r"^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.lock$|\.$")
_LARGEST_SHOWN = 1 << 20
_LINK, _FOLDER = "120000", "040000"  # git's modes of what a commit holds
_FILES = frozenset({"100644", "100755", "100664"})


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
            node.registry.put(key, dataset.model_dump_json().encode(), if_revision=present.revision if present else 0)
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
    try:
        revision = node.registry.put(dataset_key(name), dataset.model_dump_json().encode(), if_revision=0)
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
    present = node.registry.get(tool_key(name))
    if present is None:
        raise ToolNotFound(_unknown("tool", name, (tool.name for tool in tools(node))))
    _own(node, Tool.model_validate_json(present.value))
    revision = node.registry.delete(
        tool_key(name), if_revision=present.revision if if_revision is None else if_revision
    )
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
    revision = node.registry.delete(
        dataset_key(name), if_revision=present.revision if if_revision is None else if_revision
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
        _check_files(definition, files, file, text)
        script = _installer(node, repository, definition, files)
    files = {path: entry for path, entry in files.items() if entry.split()[1] != "tree"}
    return Reading(pinned, definition, text.decode("utf-8-sig"), script, files)


def _installer(node: LocalNode, repository: Path, definition: Definition, files: dict[str, str]) -> str | None:
    if definition.installer is None:
        return None
    blob = files[posixpath.normpath(definition.installer.script)].split()[2]
    if int(node.git.run("cat-file", "-s", blob, cwd=repository)) > _LARGEST_SHOWN:
        return f"(git blob {blob}: too large to be shown)\n"
    return node.git.run("cat-file", "blob", blob, cwd=repository).decode("utf-8", "replace")


def fetch_commit(node: LocalNode, repository: Path, url: str, pinned: Pinned) -> None:
    """Fetch one commit into `repository`; by its ref, with the history, if the remote does not give single commits."""
    options = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    output = node.git.attempt(*options, "--depth=1", fetchable(url), pinned.commit, cwd=repository)
    if output.status != 0 and "unadvertised object" in output.err:
        node.git.run(*options, fetchable(url), pinned.ref, cwd=repository)
    elif output.status != 0:
        node.git.run(*options, "--depth=1", fetchable(url), pinned.commit, cwd=repository)


def _blob(node: LocalNode, repository: Path, path: str, entry: str) -> bytes:
    mode, kind, blob = entry.split()
    if kind != "blob" or mode == _LINK:
        raise BadDefinition(f"'{path}' is not a file in the repository.")
    size = int(node.git.run("cat-file", "-s", blob, cwd=repository))
    if size > MAX_BYTES:
        raise BadDefinition(f"'{path}' has {size:,} bytes; a definition has at most {MAX_BYTES:,}.")
    return node.git.run("cat-file", "blob", blob, cwd=repository)


def _check_files(definition: Definition, files: dict[str, str], file: str, text: bytes) -> None:
    """Every script is a file of the repository, and no path goes through a link.

    Raises:
        BadDefinition: with all faults, where they stand in `text`.
    """
    paths: dict[Location, str] = {("Commands", i, "Script"): c.script for i, c in enumerate(definition.commands)}
    if definition.installer:
        paths["Installer", "Script"] = definition.installer.script
    found = [(at, _path_fault(path, files, is_folder=False)) for at, path in paths.items()]
    if definition.data.local:
        at: Location = ("Datadir",) if definition.version == "0.1" else ("Data", "Local")
        found.append((at, _path_fault(definition.data.local, files, is_folder=True)))
    tree = read_tree(text)
    faults = [Fault(at, message) for at, message in found if message]
    faults.sort(key=tree.position)
    listed = [
        dict(zip(("line", "column"), tree.position(fault), strict=True))
        | {"file": file, "path": fault.path, "message": fault.message, "suggestion": None}
        for fault in faults
    ]
    if listed:
        lines = [f"{file}:{f['line']}:{f['column']}: {f['path']} {f['message']}" for f in listed]
        raise BadDefinition("\n".join(lines), listed)


def _path_fault(path: str, files: dict[str, str], *, is_folder: bool) -> str | None:
    """Why `path` cannot be used: a script is a file that is there, a folder may still have to be made."""
    parts = posixpath.normpath(path).split("/")
    modes = [files.get("/".join(parts[:depth]), "").split(" ")[0] for depth in range(1, len(parts) + 1)]
    if _LINK in modes:
        return f"'{path}' goes through a symbolic link, which could leave the tool"
    if is_folder:
        taken = next(("/".join(parts[: i + 1]) for i, mode in enumerate(modes) if mode not in {"", _FOLDER}), None)
        return f"'{path}' cannot be a folder: '{taken}' is something else in the repository" if taken else None
    return None if modes[-1] in _FILES else f"'{path}' is not a file in the repository"
