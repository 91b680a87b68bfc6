"""What a node keeps of a dataset to publish to it: a bare repository without files, and with few trees.

Its cost does not depend on how many files or commits the dataset has: it is cloned with depth 1 and without trees,
only the trees of folders that are written to are fetched, and commits are built by fast-import. It is not
configured as a promisor, so that a missing object is an error and never a silent download of everything. It holds
nothing that could not be made again, and can be thrown away at any time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mao.data_directory import DataFile
from mao.errors import GitFailed, PathClash
from mao.git import Output, classify, failure, fetchable
from mao.values import display
from mao.workspace import remove_tree, write_durably

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from mao.git import Git

_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_MISSING = re.compile(r"(?:object not found: |Can't load tree )([0-9a-f]{40})")
_MOST_PACKS = 30


@dataclass(frozen=True, slots=True)
class Tip:
    """The branch of the dataset, and the newest commit of it that is known here; None before the first."""

    branch: str
    commit: str | None


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits, and when."""

    name: str
    email: str
    moment: datetime

    def __str__(self) -> str:
        name = re.sub(r"[<>\n]", "", self.name)
        email = re.sub(r"[<>\s]", "", self.email)
        return f"{name} <{email}> {int(self.moment.timestamp())} +0000"


Existing: TypeAlias = dict[bytes, str]
"""The blob that each path has in a commit, where it has one."""

Placement: TypeAlias = list[tuple[bytes, DataFile]]
"""Where each file goes."""


class DatasetCache:
    """The cache of one dataset. One thread uses it at a time (the node's lock on the dataset sees to that).

    Args:
        git: as the node calls it.
        path: of the bare repository; `fill` makes it.
        url: of the dataset's remote.
    """

    def __init__(self, git: Git, path: Path, url: str) -> None:
        self._git = git
        self._path = path
        self._url = fetchable(url)

    def tip(self) -> Tip | None:
        """What is known here of the remote's branch; None if the cache has to be filled first."""
        try:
            known = json.loads((self._path / "tip.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return Tip(known["branch"], known["commit"]) if known["url"] == self._url else None

    def remember(self, tip: Tip) -> None:
        """Keep `tip` as what is known of the remote."""
        known = {"url": self._url, "branch": tip.branch, "commit": tip.commit}
        write_durably(self._path / "tip.json", json.dumps(known).encode())

    def fill(self) -> Tip:
        """Make the cache anew from the remote.

        Raises:
            OutsideFailed: git's words say why the remote could not be read; what was here is still here.
        """
        part = self._path.with_name(f"{self._path.name}.part")
        remove_tree(part)
        options = ("--bare", "--depth=1", "--filter=tree:0", "--no-tags", "--single-branch", "--quiet")
        self._git.run("clone", *options, "--", self._url, str(part), cwd=self._path.parent)
        head = (part / "HEAD").read_text().strip()
        branch = head.removeprefix("ref: refs/heads/")
        (part / "config").write_text(_CONFIG)  # forgets the remote: nothing may fetch but `_fetch`
        resolved = self._git.attempt("rev-parse", "--verify", "--quiet", "HEAD^0", cwd=part)
        tip = Tip("main" if branch == head else branch, resolved.out.decode().strip() or None)
        remove_tree(self._path)
        part.rename(self._path)
        self.remember(tip)
        return tip

    def prepare(self) -> None:
        """Take away what a killed git left here. Nobody else uses the cache."""
        for lock in self._path.rglob("*.lock"):
            lock.unlink(missing_ok=True)
        for crash in self._path.glob("fast_import_crash_*"):
            crash.unlink()
        if len(list(self._path.glob("objects/pack/*.pack"))) > _MOST_PACKS:
            self._git.run("repack", "--geometric=2", "-d", "-q", cwd=self._path)

    def refresh(self, branch: str) -> Tip:
        """The remote's branch as it is now; only commits are fetched, where the remote can leave the rest out."""
        listed = self._git.run("ls-remote", "--", self._url, f"refs/heads/{branch}", cwd=self._path)
        if not listed:
            return Tip(branch, None)
        self._fetch(f"+refs/heads/{branch}:refs/mao/remote")
        commit = self._git.run("rev-parse", "--verify", "refs/mao/remote^0", cwd=self._path).decode().strip()
        return Tip(branch, commit)

    def contains(self, tip: str, commit: str) -> bool:
        """Whether `commit` is `tip` or came before it, as far as this cache knows of what came before."""
        output = self._git.attempt("merge-base", "--is-ancestor", commit, tip, cwd=self._path)
        if output.status > 1 and "Not a valid commit name" not in output.err:
            raise failure(output, ("merge-base",))
        return output.status == 0

    def _fetch(self, *refspecs: str, settings: tuple[str, ...] = ()) -> None:
        remote = (
            f"remote.origin.url={self._url}",
            "remote.origin.promisor=true",
            "remote.origin.partialclonefilter=tree:0",
        )
        chosen = [word for setting in (*remote, *settings) for word in ("-c", setting)]
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--filter=tree:0")
        self._git.run(*chosen, "fetch", *options, "origin", *refspecs, cwd=self._path)

    def commit(
        self,
        base: str | None,
        message: str,
        author: Author,
        paths: Iterable[bytes],
        place: Callable[[Existing], Placement],
    ) -> str | None:
        """Build a commit on `base` and return its id; the same call gives the same id.

        Args:
            base: its parent; None for the first commit of a branch.
            message: of the commit.
            author: of the commit.
            paths: those whose content in `base` is wanted.
            place: is given the blobs that `paths` have in `base`; what it returns is added to the tree of `base`.
                If it returns nothing, no commit is made and None is returned.

        Raises:
            PathClash: a path is a folder in `base`, or a file is where it needs a folder.
        """
        while True:
            process = self._git.start("fast-import", "--quiet", "--force", "--done", cwd=self._path)
            try:
                made = _dialogue(process, base, message, author, (list(paths), place))
            except BrokenPipeError:
                made = ""
            except BaseException:
                process.kill()
                self._git.finish(process)
                raise
            output = self._git.finish(process)
            if output.status == 0:
                return made
            self._supply(output)

    def _supply(self, output: Output) -> None:
        """Fetch the tree that fast-import missed."""
        for crash in self._path.glob("fast_import_crash_*"):
            crash.unlink()
        missing = _MISSING.search(output.err)
        if missing is None:
            raise failure(output, ("fast-import",))
        self._fetch(missing[1], settings=("fetch.negotiationAlgorithm=noop",))

    def push(self, commit: str, branch: str) -> None:
        """Put `commit` on the remote's branch, if it only adds to it.

        Raises:
            OutsideFailed, DiskFull: its `cause` is one of `git.FAILURES`, and it holds git's own words.
        """
        args = ("push", "--porcelain", self._url, f"{commit}:refs/heads/{branch}")
        output = self._git.attempt(*args, cwd=self._path)
        if output.status == 0:
            return
        flags = [line for line in output.out.decode("utf-8", "replace").splitlines() if line.startswith("!")]
        words = "\n".join([*flags, *(line for line in output.err.splitlines() if not line.startswith("hint:"))])
        known = classify(words)
        raise failure(Output(output.status, b"", words), args) if known else GitFailed(f"git push: {words}")


def _dialogue(
    process: subprocess.Popen[bytes],
    base: str | None,
    message: str,
    author: Author,
    wanted: tuple[list[bytes], Callable[[Existing], Placement]],
) -> str | None:
    """Speak with fast-import (git-fast-import(1)): ask what `base` has, then write the commit."""
    assert process.stdin is not None  # noqa: S101  # for the type checker: git is started with pipes
    paths, place = wanted
    existing = _existing(process, base, paths) if base else {}
    placement = place(existing)
    write = process.stdin.write
    if not placement:
        write(b"done\n")
        process.stdin.flush()
        return None
    for mark, (_, file) in enumerate(placement, 2):
        write(b"blob\nmark :%d\ndata %d\n" % (mark, file.size))
        for chunk in file.chunks():
            write(chunk)
        write(b"\n")
    text = message.encode()
    write(b"commit refs/mao/publication\nmark :1\n")
    write(f"author {author}\ncommitter {author}\n".encode())
    write(b"data %d\n%s" % (len(text), text))
    if base:
        write(b"from %s\n" % base.encode())
    for mark, (path, file) in enumerate(placement, 2):
        write(b"M %s :%d %s\n" % (file.mode.encode(), mark, _quoted(path)))
    write(b"\nget-mark :1\ndone\n")
    process.stdin.flush()
    return _line(process).decode().strip()


def _existing(process: subprocess.Popen[bytes], base: str, paths: list[bytes]) -> Existing:
    folders = {path[:at] for path in paths for at in range(len(path)) if path[at : at + 1] == b"/"}
    found: Existing = {}
    for path in (*sorted(folders), *paths):
        assert process.stdin is not None  # noqa: S101  # as above
        process.stdin.write(b"ls %s %s\n" % (base.encode(), _quoted(path)))
        process.stdin.flush()
        answer = _line(process)
        if answer.startswith(b"missing "):
            continue
        mode, _, rest = answer.partition(b" ")
        if (mode == b"040000") != (path in folders):
            here, there = ("folder", "file") if path in folders else ("file", "folder")
            raise PathClash(
                f"'{display(path)}' is a {here} in the data of the run and a {there} in the dataset."
                " Nothing was published; the files of the run are kept. Rename it in the tool, or in the dataset."
            )
        if path not in folders:
            found[path] = rest.split()[1].decode()
    return found


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None  # noqa: S101  # for the type checker: git is started with pipes
    line: bytes = process.stdout.readline()
    if not line:
        raise BrokenPipeError  # git has ended; its words say why
    return line


def _quoted(path: bytes) -> bytes:
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%s"' % escaped
