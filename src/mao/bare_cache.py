"""A bare repository without files and with few trees that stands for a remote, and can be thrown away at any time.

Its cost does not depend on how many files or commits the remote has: it is cloned with depth 1 and without trees. It
is not configured as a promisor, so that a missing object is an error and never a silent download of everything. It
holds nothing that could not be made again.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mao.data_directory import make_durable
from mao.errors import GitFailed, RemoteRefused, RemoteRewritten
from mao.git import fetchable
from mao.workspace import fsync, remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mao.git import Git

_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
HEADS = "refs/heads/"
_BRANCH = f"ref: {HEADS}"
# Of git and of its fast-import, repack, index-pack and unpack-objects.
_LEFT_OVER = ("**/*.lock", "fast_import_crash_*", "objects/pack/.tmp-*", "objects/*/tmp_*", "objects/pack/*.keep")
_MOST_PACKS = 30
_MOST_BYTES = 32_000_000
"""Bytes that may come to what the remote gave at first."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The branch of the dataset, and the newest commit of it that is known here; None before the first."""

    branch: str
    commit: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A commit of the branch: its id, when its data was made, and those of its trailers that were asked for."""

    commit: str
    moment: datetime
    trailers: dict[str, str]


def rewritten(commit: str) -> RemoteRewritten:
    """The error that a branch does not hold `commit` any more."""
    return RemoteRewritten(
        f"The branch no longer holds commit {commit}, which it held before. Was it restored or rewritten? If so, and it"
        " shall stay so: 'mao dataset verify NAME --republish' publishes to it as it is now, and again what it has"
        " lost; 'mao run publish RUN' only publishes to it as it is now."
    )


class BareCache:
    """What is kept of one remote. One thread uses it at a time.

    Args:
        git: as the node calls it.
        path: of the bare repository; `fill` makes it.
        url: of the remote.
    """

    def __init__(self, git: Git, path: Path, url: str) -> None:
        self.git = git
        self.path = path
        self.url = fetchable(url)

    @property
    def dataset(self) -> str:
        """The name of the dataset, in lower case."""
        return self.path.name.removesuffix(".git")

    def tip(self) -> Tip | None:
        """What is known here of the remote's branch; None if the cache has to be filled first."""
        known = self._known()
        return Tip(known["branch"], known["commit"]) if known.get("url") == self.url else None

    def is_new(self) -> bool:
        """Whether the cache was made anew, and nobody has looked yet what of ours is in the history of its tip."""
        return bool(self._known().get("new"))

    def was_lost(self) -> bool:
        """Whether what was known before it was made anew is gone: more may have been pushed than anybody remembers."""
        return bool(self._known().get("lost"))

    def _known(self) -> dict[str, Any]:
        return _read(self.path)

    def remember(self, tip: Tip, **more: object) -> None:
        """Keep `tip` as what is known of the remote. Whether the cache is new stays as it is: see `acquaint`."""
        first = {key: value for key, value in self._known().items() if key in {"bytes", "new", "lost"}}
        known = {"url": self.url, "branch": tip.branch, "commit": tip.commit, **first, **more}
        part = self.path / "tip.json.part"
        with suppress(OSError):  # what a full disk or a power loss spoils is asked of the remote again
            part.write_text(json.dumps(known))
            part.replace(self.path / "tip.json")

    def acquaint(self, tip: Tip) -> None:
        """Keep `tip`, in whose history was looked for what is ours; what was fetched for that makes nothing large."""
        self.remember(tip, new=False, lost=False, bytes=self._size())

    def fill(self) -> Tip:
        """Make the cache anew from the remote.

        Raises:
            OutsideFailed: git's words say why the remote could not be read; what was here is still here.
        """
        part = self.path.with_name(f"{self.path.name}.part")
        lost = (self.path.exists() or part.exists()) and not self._known()
        tip = self._clone(part)
        if tip.commit is None and (branch := self._branch()):
            tip = self._clone(part, f"--branch={branch}")
        write_durably(part / "config", _CONFIG)  # forgets the remote: nothing may fetch but `fetch`
        make_durable(part)
        remove_tree(self.path)
        part.rename(self.path)
        fsync(self.path.parent)  # that there was a cache tells, after a power loss, that something may have been pushed
        self.remember(tip, new=True, lost=lost, bytes=self._size())
        return tip

    def _size(self) -> int:
        return sum(path.lstat().st_size for path in (self.path / "objects").rglob("*"))

    def is_large(self) -> bool:
        """Whether it has grown so much that it had better be made anew."""
        return self._size() > 2 * int(self._known().get("bytes", 0)) + _MOST_BYTES

    def _clone(self, part: Path, *more: str) -> Tip:
        remove_tree(part)
        options = ("--bare", "--depth=1", "--filter=tree:0", "--no-tags", "--single-branch", "--template=", "--quiet")
        self.git.run("clone", *options, *more, "--", self.url, str(part), cwd=self.path.parent)
        if self.git.run("rev-parse", "--show-object-format", cwd=part).strip() != b"sha1":
            raise RemoteRefused(
                "The dataset's repository names its objects by SHA-256, which this version cannot publish to."
                " Make it anew without '--object-format=sha256'.",
                cause="object-format",
            )
        head = (part / "HEAD").read_text().strip()
        if not head.startswith(_BRANCH):
            return Tip("main", None)  # the remote's HEAD is no branch: nothing can be pushed to it
        resolved = self.git.attempt("rev-parse", "--verify", "--quiet", "HEAD^0", cwd=part)
        return Tip(head.removeprefix(_BRANCH), resolved.out.decode().strip() or None)

    def _branch(self) -> str | None:
        """The branch to publish to where the remote's HEAD names none that is there; None if it has none at all."""
        listed = self.git.run("ls-remote", "--heads", "--", self.url, cwd=self.path.parent).decode("utf-8", "replace")
        there = [line.partition("\trefs/heads/")[2] for line in listed.splitlines()]
        likely = [name for name in ("main", "master") if name in there] or there
        if len(likely) > 1 and likely == there:
            raise RemoteRefused(
                f"The HEAD of the dataset's repository names no branch that is there, and there are several:"
                f" {', '.join(there)}. Set its HEAD to the one to publish to (git symbolic-ref HEAD refs/heads/...).",
                cause="no-branch",
            )
        return likely[0] if likely else None

    def prepare(self) -> None:
        """Take away what a killed git left here. Nobody else uses the cache."""
        for pattern in _LEFT_OVER:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def keep_packs_few(self) -> None:
        """Each commit leaves a pack, and git looks into all of them."""
        if len(list(self.path.glob("objects/pack/*.pack"))) > _MOST_PACKS:
            self.prepare()
            self.git.run("repack", "--geometric=2", "-d", "-q", cwd=self.path)

    def history(self, tip: str, *keys: str, since: str | None = None, here: bool = False) -> list[Recorded]:
        """The commits in the history of `tip` that have one of these trailers, the newest first.

        Args:
            tip: a commit of the branch.
            keys: of trailers (git-interpret-trailers(1)).
            since: only what came after this commit, which is known here; None for the whole history, which is fetched
                (its commits, where the remote can leave the rest out).
            here: only what is known here already.

        Raises:
            RemoteRewritten: `since` is not in the history of `tip`.
        """
        asked = "".join(f"key={key}," for key in keys)
        with self.mended():
            if since is None and not here and (self.path / "shallow").exists():
                self.fetch("--unshallow", tip)
            options, which = (["--left-right"], f"{since}...{tip}") if since else ([], tip)
            form = f"%m%x00%H%x00%at%x00%(trailers:{asked}unfold)"
            listed = self.git.run(
                "log", "-z", f"--format={form}", *options, "--end-of-options", which, "--", cwd=self.path
            )
        words = iter(listed.split(b"\0"))
        found = list(zip(words, words, words, words, strict=False))
        if any(side == b"<" for side, *_ in found):
            raise rewritten(str(since))
        return [_recorded(*rest) for _, *rest in found if rest[2]]

    def contains(self, tip: str, commit: str) -> bool:
        """Whether `commit`, which is known here, is `tip` or came before it."""
        try:
            self.history(tip, since=commit)
        except RemoteRewritten:
            return False
        return True

    def head(self) -> str | None:
        """The branch that the remote's HEAD names now; None if it names none that is there."""
        with self.mended():
            listed = self.git.run("ls-remote", "--symref", "--", self.url, "HEAD", cwd=self.path)
        found = re.search(rf"^{_BRANCH}(.*)\tHEAD$", listed.decode("utf-8", "replace"), re.MULTILINE)
        return found[1] if found else None

    @contextmanager
    def mended(self) -> Iterator[None]:
        """If git fails for a reason that nothing outside explains, the cache is made anew the next time."""
        try:
            yield
        except GitFailed:
            (self.path / "tip.json").unlink(missing_ok=True)
            raise
        except FileNotFoundError as error:
            raise GitFailed(f"{self.path} was removed meanwhile; it is made anew.") from error

    def fetch(
        self,
        *what: str,
        settings: tuple[str, ...] = (),
        limit: str | None = "tree:0",
        largest: int | None = None,
    ) -> None:
        """Fetch what is named, and nothing else.

        Args:
            what: refspecs, ids of objects, and flags of git-fetch(1).
            settings: further settings of git.
            limit: the filter (git-rev-list(1)) that is asked for; None for none.
            largest: bytes that may come.
        """
        remote = (
            f"remote.origin.url={self.url}",
            "remote.origin.promisor=true",
            f"remote.origin.partialclonefilter={limit or ''}",
        )
        chosen = [word for setting in (*remote, *settings) for word in ("-c", setting)]
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", f"--filter={limit}" if limit else "--no-filter"]
        flags = [word for word in what if word.startswith("--")]
        refspecs = [word for word in what if not word.startswith("--")]
        self.git.run(*chosen, "fetch", *options, *flags, "--", "origin", *refspecs, cwd=self.path, largest=largest)


def url_of(path: Path) -> str | None:
    """The address of the remote that the cache at `path` stands for; None if it is to be filled first."""
    return _read(path).get("url")


def _read(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((path / "tip.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return known


def _recorded(commit: bytes, seconds: bytes, text: bytes) -> Recorded:
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    pairs = (line.partition(": ") for line in lines if line)
    trailers = {key: value.strip() for key, _, value in pairs}
    return Recorded(commit.decode(), datetime.fromtimestamp(int(seconds), UTC), trailers)
