"""How much each commit of a dataset says it added: a bare repository with all of its commits, and nothing else.

Its trees and files stay at the remote, so that it costs some hundred bytes a commit, whatever the dataset holds. Like
the cache it is not configured as a promisor, holds nothing that could not be made again, and can be thrown away.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from mao.errors import GitFailed, RemoteRefused
from mao.git import failure, fetchable
from mao.growth import Added
from mao.provenance import FILES_TRAILER, NODE_TRAILER, SIZE_TRAILER, TOOL_TRAILER
from mao.values import Moment, Value, now
from mao.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.git import Git

_REF = "refs/mao/history"
_KEYS = (TOOL_TRAILER, NODE_TRAILER, FILES_TRAILER, SIZE_TRAILER)
_FORMAT = f"%ct%x09%(trailers:{','.join(f'key={key}' for key in _KEYS)},unfold,separator=%x09)"
_LEFT_OVER = ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/tmp_*", "objects/pack/.tmp-*")
_MOST_PACKS = 30
_LOOK_LIMIT = 15.0
"""Seconds that the remote gets to say where its branch is: somebody waits."""
_LONGEST_NUMBER = 15  # digits; whoever may push may write anything into a trailer
_NO_FILTER = "filtering not recognized by server"
_NOWHERE = "f" * 40
"""A commit that no remote has: asking for it shows what the remote can do, and brings nothing."""


class History(Value):
    """What was counted over all commits of a dataset's branch."""

    url: str
    head: str | None
    """The newest commit; None if there is none."""
    counted_at: Moment
    added: tuple[Added, ...]


class _Origin(NamedTuple):
    day: date
    tool: str
    node: str


class DatasetHistory:
    """The history of one dataset. One thread uses it at a time.

    Args:
        git: as the node calls it.
        path: of the bare repository; it is made when it is needed.
        url: of the dataset's remote.
    """

    def __init__(self, git: Git, path: Path, url: str) -> None:
        self._git = git
        self._path = path
        self._url = fetchable(url)

    def counted(self) -> History | None:
        """What was counted last; None if nothing was."""
        try:
            history = History.model_validate_json((self._path / "counted.json").read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return history if history.url == self._url else None

    def count(self, branch: str | None) -> History:
        """Count the remote's history as it is now. It may be killed anywhere; only what is new is fetched and read.

        Args:
            branch: the one that is published to; None for that of the remote's HEAD.

        Raises:
            RemoteRefused: also where the remote would send all files along; nothing was fetched then.
            OutsideFailed, DiskFull: git's words say why; `counted` still has what was counted before.
        """
        head = self._head(branch)
        before = self.counted()
        if head is None:
            added: tuple[Added, ...] = ()
        elif before and before.head == head:
            added = before.added
        else:
            with self._mended():
                self._fetch(head)
                added = self._added(head, before)
        history = History(url=self._url, head=head, counted_at=now(), added=added)
        self._remember(history)
        return history

    def _head(self, branch: str | None) -> str | None:
        names = [*([f"refs/heads/{branch}"] if branch else []), "HEAD", "refs/heads/main", "refs/heads/master"]
        limit = min(_LOOK_LIMIT, self._git.time_limit)
        listed = self._git.run("ls-remote", "--", self._url, *names, cwd=self._path.parent, time_limit=limit)
        lines = [line.partition("\t") for line in listed.decode("utf-8", "replace").splitlines()]
        there = {name: commit for commit, _, name in lines}
        return next((there[name] for name in names if name in there), None)

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """If git fails for a reason that nothing outside explains, all is fetched anew the next time."""
        try:
            yield
        except GitFailed:
            remove_tree(self._path)
            raise

    def _fetch(self, head: str) -> None:
        self._prepare()
        self._check_filter()
        self._remote("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=tree:0", "--", "origin", head)
        self._git.run("update-ref", "--", _REF, head, cwd=self._path)  # what the next fetch needs not bring
        if len(list(self._path.glob("objects/pack/*.pack"))) > _MOST_PACKS:
            self._remote("repack", "-a", "-d", "-q")

    def _prepare(self) -> None:
        for pattern in _LEFT_OVER:
            for path in self._path.glob(pattern):
                path.unlink(missing_ok=True)
        if not self._path.exists():
            part = self._path.with_name(f"{self._path.name}.part")
            remove_tree(part)
            self._git.run(
                "init", "--quiet", "--bare", "--object-format=sha1", "--template=", "--", str(part), cwd=part.parent
            )
            part.rename(self._path)

    def _check_filter(self) -> None:
        args = ("fetch", "--quiet", "--no-write-fetch-head", "--filter=tree:0", "--", "origin", _NOWHERE)
        output = self._git.attempt(*self._settings(), *args, cwd=self._path)
        if _NO_FILTER in output.err:
            raise RemoteRefused(
                "The remote cannot send commits without their files (uploadpack.allowFilter is off there).",
                cause="no-filter",
            )
        if _NOWHERE not in output.err:  # in whatever words, a remote that can be asked says that it has no such commit
            raise failure(output, args)

    def _settings(self) -> list[str]:
        settings = (
            f"remote.origin.url={self._url}",
            "remote.origin.promisor=true",
            "remote.origin.partialclonefilter=tree:0",
        )
        return [word for setting in settings for word in ("-c", setting)]

    def _remote(self, *args: str) -> None:
        self._git.run(*self._settings(), *args, cwd=self._path)

    def _added(self, head: str, before: History | None) -> tuple[Added, ...]:
        totals: dict[_Origin, Counter[str]] = {}
        commits = [head]
        if before and before.head and self._is_ancestor(before.head, head):
            commits.append(f"^{before.head}")
            for row in before.added:
                counts = {"commits": row.commits, "files": row.files, "size": row.size, "unsaid": row.unsaid}
                totals[_Origin(row.day, row.tool, row.node)] = Counter(counts)
        listed = self._git.run("log", f"--format={_FORMAT}", "--end-of-options", *commits, "--", cwd=self._path)
        for line in listed.decode("utf-8", "replace").split("\n"):
            if line:
                origin, counts = _read(line)
                totals.setdefault(origin, Counter()).update(counts)
        return tuple(Added(**origin._asdict(), **counts) for origin, counts in sorted(totals.items()))

    def _is_ancestor(self, commit: str, head: str) -> bool:
        return (
            self._git.attempt("merge-base", "--is-ancestor", "--end-of-options", commit, head, cwd=self._path).status
            == 0
        )

    def _remember(self, history: History) -> None:
        part = self._path / "counted.json.part"
        with suppress(OSError):  # an empty dataset has no directory; what a full disk spoils is counted again
            part.write_text(history.model_dump_json())
            part.replace(self._path / "counted.json")


def _read(line: str) -> tuple[_Origin, dict[str, int]]:
    """Where a commit comes from, and what it says it added; one that was made of several says so several times."""
    moment, _, rest = line.partition("\t")
    trailers: dict[str, list[str]] = {}
    for trailer in rest.split("\t"):
        key, _, value = trailer.partition(": ")
        trailers.setdefault(key, []).append(value)
    files, sizes = (trailers.get(key, []) for key in (FILES_TRAILER, SIZE_TRAILER))
    day = datetime.fromtimestamp(int(moment), UTC).date()
    origin = _Origin(day, *(trailers.get(key, [""])[0] for key in (TOOL_TRAILER, NODE_TRAILER)))
    if not files or len(files) != len(sizes) or not all(map(_is_number, files + sizes)):
        return origin, {"commits": 1, "unsaid": 1}
    return origin, {"commits": 1, "files": sum(map(int, files)), "size": sum(map(int, sizes))}


def _is_number(text: str) -> bool:
    return re.fullmatch(rf"[0-9]{{1,{_LONGEST_NUMBER}}}", text) is not None
