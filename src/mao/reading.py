"""Read a tool's repository: which commit a ref names, and the definition that is there."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.bare_cache import BareCache
from mao.definition_file import FILE_NAMES, MAX_BYTES, load
from mao.errors import BadDefinition, BadRemote, GitFailed, OutsideFailed
from mao.foreign_tree import tool_entries
from mao.git import failure, fetchable
from mao.names import is_absolute_remote, remote_fault
from mao.values import new_id
from mao.yaml_tree import Fault, read_tree

if TYPE_CHECKING:
    from pathlib import Path

    from mao.definition import Definition
    from mao.local_node import LocalNode
    from mao.yaml_tree import Location

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What git-check-ref-format(1) refuses, patterns of ls-remote among it.
_NO_REF = re.compile(r"^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.lock$|\.$")
_LARGEST_SHOWN = 1 << 20
_LINK, _FOLDER = "120000", "040000"  # git's modes of what a commit holds
_NOT_ADVERTISED = "unadvertised object"
NO_SUCH_REF = "no-such-ref"
"""The cause of a failure that only means that the remote answers, and does not have the branch or tag."""
_FILES = frozenset({"100644", "100755", "100664"})


@dataclass(frozen=True, slots=True)
class Pinned:
    """A ref of a remote and the commit that it names; `ref` is in full, or the commit itself.

    Raises:
        BadRemote: they cannot be that, whoever says so: a remote, or what is registered.
    """

    ref: str
    commit: str

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise BadRemote(f"'{self.commit}' is not the id of a commit.")
        if _NO_REF.search(self.ref):
            raise BadRemote(f"'{self.ref}' cannot be a branch or tag (git-check-ref-format).")


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


def check_remote(node: LocalNode, url: str) -> None:
    """Raise BadRemote if `url` is not the address of a remote that this node may use."""
    fault = remote_fault(url)
    if fault is None and not is_absolute_remote(url):
        fault = "is no address: give https://HOST/PATH, ssh://HOST/PATH, USER@HOST:PATH, file:///PATH or /PATH"
    if fault is None and url.lower().startswith("http://") and not node.config["git.allow_http"]:
        fault = "is not encrypted; give https://, or allow http:// with the setting git.allow_http"
    if fault:
        raise BadRemote(f"The remote '{url}' {fault}.")


def resolve(node: LocalNode, url: str, ref: str | None, *, time_limit: float | None = None) -> Pinned:
    """The commit that `ref` (a branch, tag or commit; HEAD if None) of the repository at `url` names now."""
    if ref is not None and _COMMIT.fullmatch(ref):
        return Pinned(ref, ref)
    if ref is not None and _NO_REF.search(ref):
        raise BadRemote(f"'{ref}' cannot be a branch or tag (git-check-ref-format).")
    full = [ref] if ref and ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
    wanted = full if ref else ["HEAD"]
    patterns = [pattern for name in wanted for pattern in (name, f"{name}^{{}}")]
    asked = ("ls-remote", "--symref", "--", fetchable(url), *patterns)
    listed = node.git.run(*asked, cwd=node.workspace.temporary, time_limit=time_limit).decode("utf-8", "replace")
    found = {name: what for what, _, name in (line.partition("\t") for line in listed.splitlines())}
    symbolic = re.search(r"^ref: (\S+)\tHEAD$", listed, re.MULTILINE)
    for name in wanted:
        # An annotated tag is an object of its own; `^{}` is the commit behind it.
        commit = found.get(f"{name}^{{}}") or found.get(name)
        if commit and _COMMIT.fullmatch(commit):
            return Pinned(symbolic[1] if symbolic and name == "HEAD" else name, commit)
    what = f"branch or tag '{ref}'" if ref else "commit: it is empty"
    raise GitFailed(f"{url} has no {what}.", cause=NO_SUCH_REF)


def read(node: LocalNode, url: str, pinned: Pinned) -> Reading:
    """The definition in the repository at `url`, at a commit, checked against the files there.

    Raises:
        BadDefinition: with all its faults.
        OutsideFailed: the repository cannot be read; in git's words.
    """
    with node.workspace.aside(new_id()) as repository:
        node.git.run("init", "--bare", "--quiet", "--template=", ".", cwd=repository)
        source = _Source(node, repository, url)
        source.fetch(pinned)
        files = tool_entries(node.git, repository, pinned.commit, node.config["install.size_limit"], sizes=False)
        file = next((name for name in FILE_NAMES if name in files), None)
        if file is None:
            raise BadDefinition(f"{url} has no {' or '.join(FILE_NAMES)} at its root, at {pinned.commit[:12]}.")
        text = _definition(source, file, files[file])
        definition = load(text, file)
        _check_files(definition, files, file, text)
        script = _installer(source, definition, files)
    files = {path: entry for path, entry in files.items() if entry.split()[1] != "tree"}
    return Reading(pinned, definition, text.decode("utf-8-sig"), script, files)


@dataclass(frozen=True, slots=True)
class _Source:
    """A repository that is read: of a commit comes the list of its files, and of these the few that are asked for."""

    node: LocalNode
    repository: Path
    url: str

    def fetch(self, pinned: Pinned) -> None:
        try:
            self._bring("--depth=1", pinned.commit, limit="blob:none")
        except OutsideFailed as error:
            if _NOT_ADVERTISED not in error.detail:
                raise
            fetch_commit(self.node, self.repository, self.url, pinned)

    def size(self, blob: str) -> int:
        """Bytes of a file, which is here then."""
        asked = ("cat-file", "-s", "--end-of-options", blob)
        found = self.node.git.attempt(*asked, cwd=self.repository)
        if found.status != 0:
            self._bring(blob, limit=None, settings=("fetch.negotiationAlgorithm=noop",))
            return int(self.node.git.run(*asked, cwd=self.repository))
        return int(found.out)

    def content(self, blob: str) -> bytes:
        return self.node.git.run("cat-file", "blob", "--end-of-options", blob, cwd=self.repository)

    def _bring(self, *what: str, limit: str | None, settings: tuple[str, ...] = ()) -> None:
        cache = BareCache(self.node.git, self.repository, self.url)
        cache.fetch(*what, limit=limit, settings=settings, largest=self.node.config["install.size_limit"])


def _installer(source: _Source, definition: Definition, files: dict[str, str]) -> str | None:
    if definition.installer is None:
        return None
    blob = files[posixpath.normpath(definition.installer.script)].split()[2]
    if source.size(blob) > _LARGEST_SHOWN:
        return f"(git blob {blob}: too large to be shown)\n"
    return source.content(blob).decode("utf-8", "replace")


def fetch_commit(node: LocalNode, repository: Path, url: str, pinned: Pinned) -> None:
    """Fetch one commit into `repository`; by its ref, with the history, if the remote does not give single commits."""
    largest = node.config["install.size_limit"]
    options = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    single = (*options, "--depth=1", "--", fetchable(url), pinned.commit)
    output = node.git.attempt(*single, cwd=repository, largest=largest)
    if output.status != 0 and _NOT_ADVERTISED in output.err:
        node.git.run(*options, "--", fetchable(url), pinned.ref, cwd=repository, largest=largest)
    elif output.status != 0:
        raise failure(output, single)


def _definition(source: _Source, path: str, entry: str) -> bytes:
    mode, kind, blob = entry.split()
    if kind != "blob" or mode == _LINK:
        raise BadDefinition(f"'{path}' is not a file in the repository.")
    if (size := source.size(blob)) > MAX_BYTES:
        raise BadDefinition(f"'{path}' has {size:,} bytes; a definition has at most {MAX_BYTES:,}.")
    return source.content(blob)


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
    if listed := tree.described(faults, file):
        raise BadDefinition("\n".join(f"{file}:{f['line']}:{f['column']}: {f['message']}" for f in listed), listed)


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
