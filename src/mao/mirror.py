"""The registry in memory, fed by its watch: what is asked often is answered without a round trip, or while it is away.

A change has a position here: the revision of the registry at which it came to be and, once the registry was set back or
replaced, so much more that what comes later is always larger.
"""

from __future__ import annotations

import bisect
import logging
import threading
import time
from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from mao.errors import DiskFull, MaoError, RegistryUnavailable, StaleRevision
from mao.registry import Change, Entry, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.kept_mirror import KeptMirror
    from mao.registry import Registry

log = logging.getLogger("mao.mirror")

T = TypeVar("T")
PREFIX = "/mao/v1/"
_IN_TOUCH = 2.0
"""Seconds within which a registry that is in touch says something (`Registry.watch`)."""
_BEGIN = 2.0
"""Seconds that the registry gets at the start of a node that has a copy of it."""
_LOOK = 1.0
"""Seconds between two attempts to list the registry."""
_SMALLEST_PAGE, _PAGE, _LARGEST_PAGE = 16, 1000, 20_000
"""How many entries are asked for at once. Fewer if they do not come: the line may be slow. More if they come quickly:
etcd 3.4 goes through all that is left for each page, and takes a second for a list of 200,000 in large pages, and seven
in small ones."""
_QUICK = 0.25
"""Seconds; a page of twice as much still comes long before it would be given up."""
_KEEP = 5.0
"""Seconds after which it is stored that the registry was in touch, though nothing has changed."""
_CATCH_UP = 15.0
"""Seconds until what was written to the registry has come back from it, or will not so soon. The watch needs five to
find another member if two of five are cut off, and more if they have much to do."""
_LONGEST_END = 10.0
"""Seconds that the thread may take to end; it could be listing a registry that does not answer."""
_REMEMBERED = 10_000
"""How many changes who follows them can be behind, and still be told of what is gone."""


class Mirror:
    """All keys below `/mao/v1/`, as the registry last told of them. Read from any thread.

    Reads raise `RegistryUnavailable` if nothing is known: the registry was not in reach yet, nor is a copy kept.

    Args:
        registry: the one that is mirrored; `close` closes it, too.
        changed: called, from the thread that follows the registry, after each change.
        kept: where a copy is kept, from which is told until the registry can be reached; None if it always can.
    """

    def __init__(self, registry: Registry, changed: Callable[[Change], None], kept: KeptMirror | None = None) -> None:
        self._registry = registry
        self._told = changed
        self._kept = kept
        self._unkept: dict[str, Change] = {}
        self._kept_at = 0.0
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._cached: dict[str, tuple[int, Any]] = {}
        self._trouble = ""
        self._page = _PAGE
        self._by_key: dict[str, Entry] = {}
        self._keys: list[str] = []
        self.revision = self._base = self._log_from = 0
        self._log: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self._touched: float | None = None
        if kept is not None and (copy := kept.copy()):
            self._by_key, self._keys = copy.entries, sorted(copy.entries)
            self.revision, self._base = copy.revision, copy.base
            self._log_from = self.position
            self._touched = time.monotonic() - max(0.0, time.time() - copy.moment)
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="registry watch", daemon=True)
        self._thread.start()
        self._tried.wait(None if self._touched is None else _BEGIN)

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                self._list_anew()
                self._trouble, self._page = "", _PAGE
                self._tried.set()
                for progress in self._registry.watch(PREFIX, after=self.revision):
                    self._take(progress)
            except StaleRevision as error:
                log.warning("the registry is listed anew: %s", error.detail)
            except MaoError as error:  # it is away, full, or no registry
                self._trouble, self._page = error.detail, max(_SMALLEST_PAGE, self._page // 4)
            except Exception as error:  # whatever it was, it must not be the last that is heard of the registry
                if not self._closing.is_set() and self._trouble != (trouble := f"{type(error).__name__}: {error}"):
                    self._trouble = trouble
                    log.exception("following the registry failed; it is listed anew")
            else:
                return
            self._tried.set()
            self._closing.wait(_LOOK)

    def _list_anew(self) -> None:
        """Take what the registry holds, and tell what differs in value: it may have been set back or replaced."""
        found, revision = self._list()
        known = self._by_key
        gone = [Change(key, None, revision) for key in known.keys() - found.keys()]
        come = [Change(e.key, e.value, e.revision) for e in found.values() if e != known.get(e.key)]
        changes = sorted([*come, *gone], key=lambda change: change.revision)
        first = self._touched is None and not self._tried.is_set()
        told = [c for c in changes if c.value is None or c.key not in known or known[c.key].value != c.value]
        with self._arrived:
            if revision < self.revision or any(change.revision <= self.revision for change in come):
                log.warning(
                    "the registry was set back or replaced: it is at revision %s, not %s", revision, self.revision
                )
                self._base += self.revision
            self._by_key, self._keys = found, sorted(found)
            self._note(told, revision)
        self._keep(changes)
        for change in () if first else told:
            self._told(change)

    def _list(self) -> tuple[dict[str, Entry], int]:
        """What is there, and the revision to watch from.

        A change between two pages comes again by the watch: until then it is known as if it had come with the first.
        """
        found: dict[str, Entry] = {}
        first, after, size, largest = 0, "", self._page, _LARGEST_PAGE
        while True:
            begun = time.monotonic()
            try:
                page, revision = self._registry.entries(PREFIX, after=after, limit=size)
            except RegistryUnavailable:
                if size == self._page:
                    raise
                size = largest = self._page  # what came quickly before may have been small entries
                continue
            first = first or revision
            if not page:
                return found, first
            found |= {e.key: e if e.revision <= first else Entry(e.key, e.value, first) for e in page}
            after = page[-1].key
            if time.monotonic() - begun < _QUICK:
                size = min(2 * size, largest)

    def _take(self, progress: Progress) -> None:
        with self._arrived:
            for change in progress.changes:
                self._apply(change)
            self._note(progress.changes, progress.revision)
        self._keep(progress.changes)
        for change in progress.changes:
            self._told(change)

    def _apply(self, change: Change) -> None:
        if change.value is not None:
            if change.key not in self._by_key:
                bisect.insort(self._keys, change.key)
            self._by_key[change.key] = Entry(change.key, change.value, change.revision)
        elif self._by_key.pop(change.key, None):
            del self._keys[bisect.bisect_left(self._keys, change.key)]

    def _note(self, changes: list[Change] | tuple[Change, ...], revision: int) -> None:
        """The registry was in touch at `revision`, and these are what it told."""
        for change in changes:
            if len(self._log) == _REMEMBERED:
                self._log_from = self._log[0][0]
            self._log.append((self._base + change.revision, change.key))
        self.revision = revision
        self._touched = time.monotonic()
        self._arrived.notify_all()

    def _keep(self, changes: list[Change] | tuple[Change, ...]) -> None:
        if self._kept is None:
            return
        self._unkept |= {change.key: change for change in changes}
        if not self._unkept and time.monotonic() - self._kept_at < _KEEP:
            return
        try:
            self._kept.store(self._unkept.values(), self.revision, self._base, time.time())
        except DiskFull as error:  # what is in memory is right, and is stored when there is room
            if self._kept_at:
                log.warning("the copy of the registry could not be stored: %s", error.detail)
            self._kept_at = 0.0
        else:
            self._unkept = {}
            self._kept_at = time.monotonic()

    def age(self) -> float:
        """Seconds since the registry was last in touch: what is told here held at that moment. Infinite if never."""
        return float("inf") if self._touched is None else time.monotonic() - self._touched

    def in_touch(self) -> bool:
        """Whether nothing can have changed, but in the last moments, without being known here."""
        return self.age() <= _IN_TOUCH

    def catch_up(self, revision: int) -> None:
        """Wait until `revision` is in the mirror, so that who changed something reads it back.

        Raises:
            RegistryUnavailable: it went away before that.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.revision >= revision, timeout=_CATCH_UP):
                raise RegistryUnavailable(
                    "The registry has taken it, and went away before this node saw it there. Look at it when the"
                    " registry is back."
                )

    def trouble(self) -> str:
        """Why nothing new is told, as far as that is known."""
        if self._touched is None:
            return f"This node has not reached it yet, and does not know what it holds. {self._trouble}".strip()
        return f"It was last in touch {self.age():.0f} s ago; what is listed held then."

    def _check_known(self) -> None:
        if self._touched is None:
            raise RegistryUnavailable(f"The registry is away. {self.trouble()}")

    def get(self, key: str) -> Entry | None:
        """The entry of `key`."""
        self._check_known()
        return self._by_key.get(key)

    def entries(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Entry]:
        """At most `limit` entries below `prefix` whose key comes after `after`, in the order of their keys."""
        self._check_known()
        with self._arrived:
            start = bisect.bisect_right(self._keys, after) if after > prefix else bisect.bisect_left(self._keys, prefix)
            stop = bisect.bisect_left(self._keys, prefix + "\U0010ffff")
            keys = self._keys[start : stop if limit is None else min(stop, start + limit)]
            return [self._by_key[key] for key in keys]

    @property
    def position(self) -> int:
        """Of the newest change; it grows even if the registry is set back."""
        return self._base + self.revision

    def changed_since(self, position: int) -> tuple[list[Change], int]:
        """The newest state of each key that has changed since `position`, in the order of the changes, and theirs.

        The changes have their positions in place of revisions. Who names a position that was never reached has it from
        before the registry was set back, and is told of all that there is.
        """
        with self._arrived:
            present = self.position
            if position == present:
                return [], present
            entries = self._by_key
            newest: dict[str, int] = {}
            if not self._log_from <= position <= present:
                after = 0 if position > present or position < self._base else position
                newest = {e.key: at for e in entries.values() if (at := self._base + e.revision) > after}
                position = min(position, after)
            recent = list(takewhile(lambda change: change[0] > position, reversed(self._log)))
            newest |= {key: at for at, key in reversed(recent)}
            states = [Change(key, entries[key].value if key in entries else None, at) for key, at in newest.items()]
        return sorted(states, key=lambda change: change.revision), present

    def cached(self, what: str, compute: Callable[[], T]) -> T:
        """The answer called `what`, computed anew only when the registry has changed since."""
        position = self.position
        known = self._cached.get(what)
        if known is None or known[0] != position:
            known = self._cached[what] = (position, compute())
        found: T = known[1]
        return found

    def each(self, what: str, prefix: str, compute: Callable[[Entry], T]) -> dict[str, tuple[Entry, T]]:
        """Each entry below `prefix`, in the order of the keys, with what is computed of it: anew only if it changed."""

        def computed() -> dict[str, tuple[Entry, T]]:
            _, known = self._cached.get(what, (0, {}))
            made = {}
            for entry in self.entries(prefix):
                had = known.get(entry.key)
                # What has changed is another object; to compare them would take longer than all the rest.
                made[entry.key] = had if had is not None and had[0] is entry else (entry, compute(entry))
            return made

        return self.cached(what, computed)

    def close(self) -> None:
        """End the thread that follows the registry, and close that."""
        self._closing.set()
        self._registry.close()
        self._thread.join(_LONGEST_END)
