"""What a node keeps of a dataset to publish to it, and how it speaks with the dataset's remote.

Only the trees of folders that are written to are fetched, and commits are built by fast-import.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao.bare_cache import HEADS, BareCache, Recorded, Tip
from mao.fast_import import BlobMissing, dialogue
from mao.git import LOST_RACE, Output, failure
from mao.provenance import BESIDE_TRAILER, RUN_TRAILER, placed_beside

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from mao.fast_import import Addition, Made
    from mao.git import Git

INBOX = "refs/mao/inbox/"
"""What is on its way to the branch: `<node>/<run>` behind it names a commit with the files of that run alone."""
FOLD = "refs/mao/fold"
"""Who brings the inbox to the branch just now: it names the commit that this one put into the inbox."""

MOST = 200
"""How many deliveries one fold takes."""
_BUSY = 60.0
_SLOW, _LOOKS = 0.2, 4.0  # a push is slow that takes so many seconds more than so many looks at the remote
_MISSING = re.compile(r"(?:object not found: |Can't load tree )([0-9a-f]{40})")
_NOT_ALONE = re.compile(r"\((atomic push failed|atomic transaction failed|failed to update ref)")
"""What git says of a ref without the reason, which stands elsewhere."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a remote says it has.

    Attributes:
        tip: the newest commit of the branch; None if there is none.
        inbox: the commits that wait in the inbox, by their refs.
        fold: the commit that `FOLD` names.
    """

    tip: str | None
    inbox: dict[str, str]
    fold: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """The commit of a run on the branch; and which of its files stand beside their own path, and where."""

    commit: str
    beside: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Update:
    """A ref that is to be changed at the remote.

    Attributes:
        ref: its full name.
        new: the commit that it shall name; "" to delete it.
        old: the one that it must still name; "" if it must not be there; None to leave that to git, which only lets a
            branch grow.
    """

    ref: str
    new: str
    old: str | None = None
    forced: bool = False
    """Whether git is to change it whatever it names."""


@dataclass(slots=True)
class Habits:
    """What was learnt of a remote since the node was started; times in seconds of the monotonic clock."""

    busy_until: float = 0.0
    """Until when others are taken to publish to it, too."""
    refused_until: float = 0.0
    """Until when it is taken to refuse refs of our own."""
    look_seconds: float = 0.05
    push_seconds: float = 0.0
    """What a small push to the branch takes."""
    fold_seconds: float = 0.2
    look_at: float = 0.0
    """When to look again what became of the inbox, and to fold if it is for this node to do so."""
    others: int = 0
    """How many other nodes had something new in the inbox at the last look."""
    left: AbstractSet[str] = frozenset()
    """What the last fold of this node has left in the inbox, as it is no delivery, or large."""
    held: str = ""
    """What `FOLD` names while it is for this node to fold; it stays so for as long as others put something there."""
    folding: tuple[str, float] = ("", 0.0)
    """What it named at the last looks when others were folding, and since when."""
    most: int = MOST
    """How many deliveries the next fold takes."""
    spoilt: AbstractSet[str] = frozenset()
    """The refs in the inbox whose data the remote does not take onto its branch."""
    atomic: bool = True

    def saw_others(self) -> None:
        self.busy_until = time.monotonic() + _BUSY

    def busy(self) -> bool:
        return time.monotonic() < self.busy_until

    def took(self, seconds: float) -> None:
        """Learn how long a small push to the branch has taken: one that was slow by chance is soon forgotten."""
        self.push_seconds = min(seconds, 1.25 * self.push_seconds) if self.push_seconds else seconds

    def prefers_inbox(self) -> bool:
        """Whether data had better go to a ref of its own first: nobody contends for that, and no check grows with it.

        A host checks a push to the branch against the whole dataset, and one to a ref of its own against nothing.
        """
        if time.monotonic() < self.refused_until:
            return False
        return self.busy() or self.push_seconds > _SLOW + _LOOKS * self.look_seconds


class DatasetCache(BareCache):
    """The cache of one dataset. One thread uses it at a time (the node's lock on the dataset sees to that)."""

    def __init__(self, git: Git, path: Path, url: str) -> None:
        super().__init__(git, path, url)
        self.habits = Habits()

    def look(self, branch: str) -> Look:
        """What the remote has now."""
        begun = time.monotonic()
        with self.mended():
            listed = self.git.run("ls-remote", "--", self.url, f"{HEADS}{branch}", "refs/mao/*", cwd=self.path)
        self.habits.look_seconds = time.monotonic() - begun
        refs = {ref: commit for commit, _, ref in (line.partition("\t") for line in listed.decode().splitlines())}
        waiting = {ref: commit for ref, commit in refs.items() if ref.startswith(INBOX)}
        return Look(refs.get(f"{HEADS}{branch}"), waiting, refs.get(FOLD))

    def refresh(self, branch: str, seen: Look | None = None) -> Tip:
        """The remote's branch as it is now, looked at unless that was just `seen`; only commits are fetched."""
        seen = seen or self.look(branch)
        with self.mended():
            self.prepare()
            if seen.tip is None:
                return Tip(branch, None)
            self.fetch(f"+{HEADS}{branch}:refs/mao/remote")
            return Tip(branch, (self.path / "refs/mao/remote").read_text().strip())

    def arrivals(self, tip: str, since: str | None) -> dict[str, Arrival]:
        """The runs whose commits are in the history of `tip`, by their ids.

        Args:
            tip: a commit of the branch.
            since: only what came after this commit, which is known here; None for the whole history, which is fetched
                (its commits, where the remote can leave the rest out).

        Raises:
            RemoteRewritten: `since` is not in the history of `tip`.
        """
        return _arrivals(self.history(tip, RUN_TRAILER, BESIDE_TRAILER, since=since))

    def holds(self, tip: str, runs: Collection[str], *, whole: bool) -> dict[str, Arrival]:
        """Those of `runs` whose commits are in the history of `tip`: the `whole` of it, or what is known of it here."""
        there = _arrivals(self.history(tip, RUN_TRAILER, BESIDE_TRAILER, here=not whole))
        return {run: arrival for run, arrival in there.items() if run in runs}

    def types(self, oids: Iterable[str]) -> dict[str, str]:
        """The type of each object (commit, tree, blob, tag), or `missing`."""
        given = "".join(f"{oid}\n" for oid in oids).encode()
        if not given:
            return {}
        with self.mended():
            listed = self.git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", cwd=self.path, given=given)
        return {oid: kind for oid, kind, *_ in (line.split() for line in listed.decode().splitlines())}

    def bring(self, commits: Iterable[str], *, at_most: int | None) -> None:
        """Fetch whole commits without parents.

        Args:
            commits: their ids; those that are here are not fetched.
            at_most: leave files out that have more bytes, where the remote can do so.
        """
        missing = sorted(oid for oid, kind in self.types(commits).items() if kind == "missing")
        if missing:
            limit = f"blob:limit={at_most}" if at_most is not None else None
            with self.mended():
                self.fetch(*missing, limit=limit, settings=("fetch.negotiationAlgorithm=noop",))

    def bring_files(self, oids: Iterable[str]) -> None:
        """Fetch the contents of files, by the ids of their blobs."""
        with self.mended():
            self.fetch(*sorted(oids), limit=None, settings=("fetch.negotiationAlgorithm=noop",))

    def build(self, base: str | None, additions: Sequence[Addition], *, apart: bool = False) -> list[Made]:
        """Make a commit of each addition, on stable storage; the same call gives the same ids.

        Args:
            base: the parent of the first; None for the first commit of a branch.
            additions: one on top of the other.
            apart: each by itself instead, without a parent.
        """
        supplied: set[str] = set()
        if not additions:
            return []
        with self.mended():
            self.keep_packs_few()
            while True:
                process = self.git.start("fast-import", "--quiet", "--force", "--done", cwd=self.path)
                made: list[Made] = []
                try:
                    made = dialogue(process, base, additions, apart=apart)
                except BrokenPipeError:  # git has ended; its words say why
                    pass
                except BaseException as error:
                    self.git.abandon(process)
                    self.prepare()
                    if not isinstance(error, BlobMissing):
                        raise
                    self.bring_files([error.oid])
                    continue
                output = self.git.finish(process)
                if output.status == 0:
                    return made
                self._supply(output, supplied)

    def _supply(self, output: Output, supplied: set[str]) -> None:
        """Fetch the tree that fast-import missed."""
        missing = _MISSING.search(output.err)
        if missing is None or missing[1] in supplied:
            raise failure(output, ("fast-import",))
        supplied.add(missing[1])
        self.prepare()
        self.fetch(missing[1], settings=("fetch.negotiationAlgorithm=noop",))

    def push(self, updates: Sequence[Update], *, atomic: bool = False, whole: bool = False) -> frozenset[str]:
        """Change refs of the remote.

        Args:
            updates: what is to be changed, and from what.
            atomic: all of them or none.
            whole: whether to leave out whatever a parent has, not only at the same path: what moves is not here.

        Returns:
            the refs that somebody else changed first, and which were left as they are.

        Raises:
            OutsideFailed, DiskFull: its `cause` is one of `failures.FAILURES`, and it holds git's own words.
        """
        if not updates:  # git would push what its settings say
            return frozenset()
        leases = [f"--force-with-lease={update.ref}:{update.old}" for update in updates if update.old is not None]
        refspecs = [f"{'+' * update.forced}{update.new}:{update.ref}" for update in updates]
        settings = ("-c", "pack.useSparse=false") if whole else ()
        args = (*settings, "push", "--porcelain", *(["--atomic"] if atomic else []), *leases, "--", self.url, *refspecs)
        with self.mended():
            output = self.git.attempt(*args, cwd=self.path)
            if output.status == 0:
                return frozenset()
            refused = [line for line in output.out.decode("utf-8", "replace").splitlines() if line.startswith("!\t")]
            lost = failure(output, args)
            if lost.cause != LOST_RACE:
                raise lost
            others = [Output(1, line.encode(), "") for line in refused if not _NOT_ALONE.search(line)]
            for other in (failure(words, args) for words in others):
                if other.cause != LOST_RACE:
                    raise other
            return frozenset(line.split("\t")[1].partition(":")[2] for line in refused)


def _arrivals(commits: Iterable[Recorded]) -> dict[str, Arrival]:
    return {
        one.trailers[RUN_TRAILER]: Arrival(one.commit, placed_beside(one.trailers.get(BESIDE_TRAILER, "")))
        for one in commits
        if one.trailers.get(RUN_TRAILER)
    }
