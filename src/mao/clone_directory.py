"""A dataset cloned to be read: an ordinary git repository with a work tree, of all files or of some folders.

With some folders it is a partial clone without trees, and its work tree and index are sparse. That it is a promisor,
so that git brings by itself what else it is asked for, stands in a file of its own that is away while the node works
here: then a missing object is an error, and never a silent download of everything.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import lfs
from mao.ancestry import FETCH, PROMISOR, leads_to, since_option
from mao.errors import CloneChanged, FolderNotFound, MaoError, RemoteUnreachable
from mao.folder_trees import ALONE, WHOLE, FolderTrees
from mao.foreign_tree import check_clone
from mao.git import Output, failure, fetchable
from mao.workspace import fsync, remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.git import Git
    from mao.installation import Clone

    Bring = Callable[..., None]
    """Runs a git command that takes its time: `bring(*args, cwd=...)`."""

# Without these git would look for a repository above the clone if the clone's own is broken, and reset that one.
HERE = ("--git-dir=.git", "--work-tree=.")

_PROMISE = "mao-promisor"  # in .git, included by its config
_SWITCHING = "mao-switching"  # in .git while the files change
# A reflog would keep every commit that was ever here.
_UNLOGGED = ("-c", "core.logAllRefUpdates=false")
# git's own defaults, but that large packs are left alone.
_PACKING = ("-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "-c", "gc.bigPackThreshold=64m")
_NOTHING_SINCE = "no commits selected for shallow requests"
_IN_THE_WAY = ("not uptodate", "would be overwritten", "would be removed", "would lose untracked", "untracked working")
_PRESENT = "already exists, no checkout"
_MOST_IDS = 10_000  # in one command line


@dataclass(frozen=True, slots=True)
class CloneDirectory:
    """The directory of one clone. One thread uses it at a time (the node's lock on the clone sees to that).

    Args:
        git: as the node calls it.
        path: of the work tree.
        bring: runs what talks to the remote.
    """

    git: Git
    path: Path
    bring: Bring

    def head(self) -> str | None:
        """The commit that is checked out."""
        return self._commit("HEAD")

    def changes(self, head: str | None) -> list[str]:
        """What was changed by hand since `head` was checked out, as `git status` has it."""
        if (self.path / ".git" / _SWITCHING).exists():
            return []  # a switch that failed; the next one goes over it
        listed = self.git.run(*HERE, "status", "--porcelain", "--untracked-files=normal", cwd=self.path)
        changed = listed.decode("utf-8", "replace").splitlines()
        if not changed and self.head() not in {head, self._commit("FETCH_HEAD")}:
            changed = ["commits that were made here"]
        return changed

    def make(self, clone: Clone, aside: Path) -> None:
        """Clone the dataset; it appears here when it is complete.

        Raises:
            FolderNotFound
            OutsideFailed, DiskFull: git's words say why; nothing is here.
        """
        part = CloneDirectory(self.git, aside / "clone", self.bring)
        if clone.folders:
            part._clone_folders(clone)
        else:
            _with_depth(clone, lambda *depth: part._clone(clone, "--no-checkout", *depth))
            part._check_out()
        part.path.rename(self.path)
        fsync(self.path.parent)

    def _clone(self, clone: Clone, *options: str) -> None:
        remove_tree(self.path)  # what a first try left
        url = fetchable(clone.url)
        chosen = (*options, *lfs.clone_settings(self.git, self.path.parent))
        self.bring(*_UNLOGGED, "clone", "--progress", *chosen, "--", url, str(self.path), cwd=self.path.parent)

    def _check_out(self) -> None:
        if head := self._commit("HEAD"):
            check_clone(self.git, self.path, head, None, ())
            self.bring(*HERE, *_UNLOGGED, "checkout", "--progress", "--force", "HEAD", "--", cwd=self.path)

    def pointers(self, clone: Clone) -> int:
        """How many files are pointers, as git-lfs is not installed here; not told of a clone of some folders."""
        if clone.folders or lfs.is_here(self.git, self.path):
            return 0
        return len(lfs.pointers_in(self.git, self.path))

    def _clone_folders(self, clone: Clone) -> None:
        options = ("--no-checkout", "--no-tags", "--single-branch", ALONE)
        _with_depth(clone, lambda *depth: self._clone(clone, *options, *depth))
        for key in ("remote.origin.promisor", "remote.origin.partialclonefilter"):
            self.git.run(*HERE, "config", "--unset-all", "--", key, cwd=self.path)
        # The newest commit has no parent here: `git show` would list, and therefore bring, the whole dataset.
        for key, value in (("log.showRoot", "false"), ("include.path", _PROMISE)):
            self.git.run(*HERE, "config", "--", key, value, cwd=self.path)
        with self._keeping_promise(clone):
            head = self._commit("HEAD")
            self._supply(clone, head, None)
            if head:
                check_clone(self.git, self.path, head, None, clone.folders)
            self._narrow(clone)

    def refresh(self, clone: Clone, aside: Path) -> str | None:
        """Bring what is new, and what is to be here besides.

        Returns:
            The head that the clone had, if the branch was rewritten and does not lead to it any more.

        Raises:
            FolderNotFound: one of those that are asked for; nothing has changed.
            CloneChanged: a file that is to change was changed by hand; it stays.
            OutsideFailed, DiskFull: git's words say why; what was here is still here.
        """
        self._sweep()
        start = self.head()
        if not self._is_partial():
            _with_depth(clone, lambda *depth: self._fetch(clone, *depth))
            head = self._commit("FETCH_HEAD")
            self._switch(clone, head, start)
        else:
            with self._keeping_promise(clone):
                option = ALONE if clone.folders else WHOLE
                _with_depth(clone, lambda *depth: self._fetch(clone, option, *depth))
                head = self._commit("FETCH_HEAD")
                self._supply(clone, head, start)
                self._switch(clone, head, start)
        led = not head or not clone.head or leads_to(self.git, self.path / ".git", clone.head, head, aside)
        self._tidy()
        return None if led else clone.head

    def _sweep(self) -> None:
        """Take away what a killed git left: the node's lock on the clone is held."""
        for lock in (*self.path.glob(".git/*.lock"), *self.path.glob(".git/*/**/*.lock")):
            lock.unlink()

    def _fetch(self, clone: Clone, *options: str) -> None:
        promisor = PROMISOR if self._is_partial() else ()
        if clone.history and (self.path / ".git" / "shallow").exists():
            options = (*options, "--unshallow")
        self.bring(*HERE, *_UNLOGGED, *promisor, *FETCH, *options, "--", "origin", cwd=self.path)

    def _objects(self, option: str, ids: list[str]) -> None:
        settings = (*PROMISOR, "-c", "fetch.negotiationAlgorithm=noop")
        for at in range(0, len(ids), _MOST_IDS):
            some = ids[at : at + _MOST_IDS]
            self.bring(*HERE, *settings, *FETCH, "--no-write-fetch-head", option, "--", "origin", *some, cwd=self.path)

    def _supply(self, clone: Clone, head: str | None, before: str | None) -> None:
        if head is None:
            if clone.further:
                raise FolderNotFound(f"'{clone.dataset}' has no commit yet, and so no folder '{clone.further[0]}'.")
            return
        trees = FolderTrees(self.git, self.path / ".git", self._objects)
        kept = [folder for folder in clone.folders if folder not in clone.further]
        if kept:
            trees.supply(head, kept, before)
        if clone.further:
            trees.supply(head, clone.further, strict=True)
        if not clone.folders and self._is_sparse():
            trees.supply(head, ())

    def _narrow(self, clone: Clone) -> None:
        """Have the work tree hold what it is to hold; what is in it stays."""
        if clone.folders:
            options: tuple[str, ...] = ("set", "--cone", "--sparse-index", "--stdin")
            given = "".join(f"{_quoted(folder)}\n" for folder in clone.folders).encode()
        else:
            options, given = ("disable",), b""
        # With an index, git would read all trees to make it anew; what is not here would silently be gone from it.
        (self.path / ".git" / "index").unlink(missing_ok=True)
        self.git.run(*HERE, "sparse-checkout", *options, cwd=self.path, given=given)
        self.git.run(*HERE, "read-tree", "-m", "HEAD", cwd=self.path)
        self.git.attempt(*HERE, "update-index", "-q", "--refresh", cwd=self.path)
        args = ("checkout-index", "--all", "--index")
        output = self.git.attempt(*HERE, *args, cwd=self.path)
        said = [line for line in output.err.splitlines() if not line.endswith(_PRESENT)]
        if output.status != 0 and said:
            raise failure(Output(output.status, b"", "\n".join(said)), args)

    def _switch(self, clone: Clone, head: str | None, start: str | None) -> None:
        """Check out `head` in place of `start`.

        What was changed by hand stays, unless a switch was killed here: its files look so, too.
        """
        if head is None:
            return
        if head != start or clone.further or self._is_sparse():
            check_clone(self.git, self.path, head, start, clone.folders)
        marker = self.path / ".git" / _SWITCHING
        partial = self._is_partial()
        if marker.exists() or start is None:
            self.git.run(*HERE, *_UNLOGGED, "reset", "--quiet", "--hard", head, cwd=self.path)
        else:
            if self.head() != start:
                raise _changed_meanwhile(self.path, "commits that were made here")
            if partial and (changed := self.changes(self.head())):  # there git overwrites files that it does not know
                raise _changed_meanwhile(self.path, "\n".join(changed))
            marker.touch()
            args = (*HERE, *_UNLOGGED, "reset", "--quiet", "--keep", head)
            output = self.git.attempt(*args, cwd=self.path)
            if output.status != 0 and any(words in output.err for words in _IN_THE_WAY):
                marker.unlink()
                raise _changed_meanwhile(self.path, output.err)
            if output.status != 0:
                raise failure(output, args)
        widened = clone.further or (not clone.folders and self._is_sparse())
        if partial and (widened or not self._is_whole()):
            marker.touch()
            self._narrow(clone)
        marker.unlink(missing_ok=True)

    def _is_whole(self) -> bool:
        """Whether the index has all of the commit."""
        return self.git.attempt(*HERE, "diff-index", "--cached", "--quiet", "HEAD", cwd=self.path).status == 0

    @contextmanager
    def _keeping_promise(self, clone: Clone) -> Iterator[None]:
        promise = self.path / ".git" / _PROMISE
        promise.unlink(missing_ok=True)
        try:
            yield
        finally:
            left_out = "\tpartialclonefilter = tree:0\n" if clone.folders else ""
            write_durably(promise, f'[remote "origin"]\n\tpromisor = true\n{left_out}'.encode())

    def _is_partial(self) -> bool:
        return self._setting("include.path") == _PROMISE

    def _is_sparse(self) -> bool:
        return self._setting("core.sparseCheckout") == "true"

    def _setting(self, key: str) -> str:
        return self.git.attempt(*HERE, "config", "--get", "--", key, cwd=self.path).out.decode().strip()

    def _commit(self, name: str) -> str | None:
        output = self.git.attempt(
            *HERE, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^0", cwd=self.path
        )
        return output.out.decode().strip() or None

    def _tidy(self) -> None:
        """Forget where histories ended that are not here any more, and have git pack what has piled up."""
        shallow = self.path / ".git" / "shallow"
        ends = set(shallow.read_text().split()) if shallow.exists() else set()
        if len(ends) > 1:
            listed = self.git.attempt(*HERE, "rev-list", "--all", "--reflog", "HEAD", cwd=self.path)
            here = ends.intersection(listed.out.decode().split())
            if listed.status == 0 and here:
                with suppress(FileExistsError), shallow.with_name("shallow.lock").open("x") as lock:
                    lock.write("".join(f"{end}\n" for end in sorted(here)))
                    lock.flush()
                    shallow.with_name("shallow.lock").replace(shallow)
        with suppress(RemoteUnreachable):  # it took too long: another time
            self.git.attempt(*HERE, *_PACKING, "gc", "--auto", "--quiet", cwd=self.path)


def _changed_meanwhile(path: Path, words: str) -> CloneChanged:
    return CloneChanged(f"{path} was changed while it was refreshed:\n{words}\nMove that away first.")


def _with_depth(clone: Clone, run: Callable[..., None]) -> None:
    """`run` with git's option for how much of the history is wanted."""
    if clone.history or clone.since is None:
        run(*(() if clone.history else ("--depth=1",)))
        return
    try:
        run(since_option(int(clone.since.timestamp())))
    except MaoError as error:
        if _NOTHING_SINCE not in error.detail:
            raise
        run("--depth=1")


def _quoted(folder: str) -> str:
    """`folder` as `git sparse-checkout --stdin` takes it."""
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if folder.startswith('"') else folder
