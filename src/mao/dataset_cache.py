"""What a node keeps of a dataset to publish to it: a bare repository without files, and with few trees.

Its cost does not depend on how many files or commits the dataset has: it is cloned with depth 1 and without trees,
only the trees of folders that are written to are fetched, and commits are built by fast-import. It is not
configured as a promisor, so that a missing object is an error and never a silent download of everything. It holds
nothing that could not be made again, and can be thrown away at any time.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.data_directory import make_durable
from mao.errors import GitFailed, RemoteRefused, Stopping
from mao.fast_import import dialogue
from mao.git import failure, fetchable
from mao.workspace import remove_tree, write_durably

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mao.fast_import import Author, Existing, Placement
    from mao.git import Git, Output

_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_REFS = "refs/heads/"
_BRANCH = f"ref: {_REFS}"
_UNKNOWN = "Not a valid commit name"
_MISSING = re.compile(r"(?:object not found: |Can't load tree )([0-9a-f]{40})")
# Of git and of its fast-import, repack, index-pack and unpack-objects.
_LEFT_OVER = ("**/*.lock", "fast_import_crash_*", "objects/pack/.tmp-*", "objects/*/tmp_*", "objects/pack/*.keep")
_MOST_PACKS = 30


@dataclass(frozen=True, slots=True)
class Tip:
    """The branch of the dataset, and the newest commit of it that is known here; None before the first."""

    branch: str
    commit: str | None


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
        part = self._path / "tip.json.part"
        with suppress(OSError):  # what a full disk or a power loss spoils is asked of the remote again
            part.write_text(json.dumps(known))
            part.replace(self._path / "tip.json")

    def fill(self) -> Tip:
        """Make the cache anew from the remote.

        Raises:
            OutsideFailed: git's words say why the remote could not be read; what was here is still here.
        """
        part = self._path.with_name(f"{self._path.name}.part")
        tip = self._clone(part)
        if tip.commit is None and (branch := self._branch()):
            tip = self._clone(part, f"--branch={branch}")
        write_durably(part / "config", _CONFIG)  # forgets the remote: nothing may fetch but `_fetch`
        make_durable(part)
        remove_tree(self._path)
        part.rename(self._path)
        self.remember(tip)
        return tip

    def _clone(self, part: Path, *more: str) -> Tip:
        remove_tree(part)
        options = ("--bare", "--depth=1", "--filter=tree:0", "--no-tags", "--single-branch", "--template=", "--quiet")
        self._git.run("clone", *options, *more, "--", self._url, str(part), cwd=self._path.parent)
        if self._git.run("rev-parse", "--show-object-format", cwd=part).strip() != b"sha1":
            raise RemoteRefused(
                "The dataset's repository names its objects by SHA-256, which this version cannot publish to."
                " Make it anew without '--object-format=sha256'.",
                cause="object-format",
            )
        head = (part / "HEAD").read_text().strip()
        if not head.startswith(_BRANCH):
            return Tip("main", None)  # the remote's HEAD is no branch: nothing can be pushed to it
        resolved = self._git.attempt("rev-parse", "--verify", "--quiet", "HEAD^0", cwd=part)
        return Tip(head.removeprefix(_BRANCH), resolved.out.decode().strip() or None)

    def _branch(self) -> str | None:
        """The branch to publish to where the remote's HEAD names none that is there; None if it has none at all."""
        listed = self._git.run("ls-remote", "--heads", "--", self._url, cwd=self._path.parent).decode(
            "utf-8", "replace"
        )
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
            for path in self._path.glob(pattern):
                path.unlink(missing_ok=True)

    def _keep_packs_few(self) -> None:
        """Each commit leaves a pack, and git looks into all of them."""
        if len(list(self._path.glob("objects/pack/*.pack"))) > _MOST_PACKS:
            self.prepare()
            self._git.run("repack", "--geometric=2", "-d", "-q", cwd=self._path)

    @contextmanager
    def _mended(self) -> Iterator[None]:
        """If git fails for a reason that nothing outside explains, the cache is made anew the next time."""
        try:
            yield
        except GitFailed:
            (self._path / "tip.json").unlink(missing_ok=True)
            raise
        except FileNotFoundError as error:
            raise GitFailed(f"{self._path} was removed meanwhile; it is made anew.") from error

    def refresh(self, branch: str) -> Tip:
        """The remote's branch as it is now; only commits are fetched, where the remote can leave the rest out."""
        with self._mended():
            self.prepare()
            listed = self._git.run("ls-remote", "--", self._url, f"{_REFS}{branch}", cwd=self._path)
            if not listed:
                return Tip(branch, None)
            self._fetch(f"+{_REFS}{branch}:refs/mao/remote")
            commit = self._git.run("rev-parse", "--verify", "refs/mao/remote^0", cwd=self._path).decode().strip()
            return Tip(branch, commit)

    def contains(self, tip: str, commit: str) -> bool:
        """Whether `commit` is `tip` or came before it.

        The whole history is fetched (its commits, where the remote can leave the rest out) if `commit` is not known
        here: the cache it was made in was thrown away.
        """
        with self._mended():
            output = self._is_ancestor(commit, tip)
            if _UNKNOWN in output.err and (self._path / "shallow").exists():
                self._fetch("--unshallow", tip)
                output = self._is_ancestor(commit, tip)
            if output.status > 1 and _UNKNOWN not in output.err:
                raise failure(output, ("merge-base",))
            return output.status == 0

    def _is_ancestor(self, commit: str, tip: str) -> Output:
        return self._git.attempt("merge-base", "--is-ancestor", commit, tip, cwd=self._path)

    def _fetch(self, *what: str, settings: tuple[str, ...] = ()) -> None:
        remote = (
            f"remote.origin.url={self._url}",
            "remote.origin.promisor=true",
            "remote.origin.partialclonefilter=tree:0",
        )
        chosen = [word for setting in (*remote, *settings) for word in ("-c", setting)]
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--filter=tree:0")
        flags = [word for word in what if word.startswith("--")]
        refspecs = [word for word in what if not word.startswith("--")]
        self._git.run(*chosen, "fetch", *options, *flags, "origin", *refspecs, cwd=self._path)

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
        supplied: set[str] = set()
        wanted = list(paths), place
        with self._mended():
            self._keep_packs_few()
            while True:
                process = self._git.start("fast-import", "--quiet", "--force", "--done", cwd=self._path)
                try:
                    made = dialogue(process, base, message, author, wanted)
                except BrokenPipeError:  # git has ended; its words say why
                    made = ""
                except BaseException:
                    self._abandon(process)
                    raise
                if made is None:
                    self._abandon(process)
                    return None
                output = self._git.finish(process)
                if output.status == 0:
                    return made
                self._supply(output, supplied)

    def _abandon(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        with suppress(Stopping):
            self._git.finish(process)
        self.prepare()

    def _supply(self, output: Output, supplied: set[str]) -> None:
        """Fetch the tree that fast-import missed."""
        missing = _MISSING.search(output.err)
        if missing is None or missing[1] in supplied:
            raise failure(output, ("fast-import",))
        supplied.add(missing[1])
        self.prepare()
        self._fetch(missing[1], settings=("fetch.negotiationAlgorithm=noop",))

    def push(self, commit: str, branch: str, *, onto: str | None = None) -> None:
        """Put `commit` on the remote's branch, if it only adds to it.

        Args:
            commit: that was built here.
            branch: of the remote.
            onto: the commit that the branch must still be at. Without it a branch that somebody set back on purpose
                would be brought forward again.

        Raises:
            OutsideFailed, DiskFull: its `cause` is one of `git.FAILURES`, and it holds git's own words.
        """
        lease = (f"--force-with-lease={_REFS}{branch}:{onto}",) if onto else ()
        args = ("push", "--porcelain", *lease, "--", self._url, f"{commit}:{_REFS}{branch}")
        with self._mended():
            output = self._git.attempt(*args, cwd=self._path)
            if output.status != 0:
                raise failure(output, args)
