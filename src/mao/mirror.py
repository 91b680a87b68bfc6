"""The registry in memory, fed by its watch: what is asked often is answered without a round trip."""

from __future__ import annotations

import bisect
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from mao.errors import StaleRevision
from mao.registry import Change, Entry, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mao.registry import Registry

T = TypeVar("T")
PREFIX = "/mao/v1/"


class Mirror:
    """All keys below `/mao/v1/`, as the watch last told of them. Read from any thread.

    Args:
        registry: the one that is mirrored; closing it ends the thread that follows it.
        changed: called, from that thread, after each change.
    """

    def __init__(self, registry: Registry, changed: Callable[[Change], None]) -> None:
        self._registry = registry
        self._told = changed
        self._arrived = threading.Condition()
        self._deleted: dict[str, Change] = {}
        self._cached: dict[str, tuple[int, Any]] = {}
        self._by_key, self.revision = self._listed()
        self._in_touch = time.monotonic()
        self._keys = sorted(self._by_key)
        self._thread = threading.Thread(target=self._follow, name="registry watch", daemon=True)
        self._thread.start()

    def _listed(self) -> tuple[dict[str, Entry], int]:
        """What is there, and the revision to watch from: changes between two pages come again by the watch."""
        found: dict[str, Entry] = {}
        page, first = self._registry.entries(PREFIX)
        while page:
            found |= {entry.key: entry for entry in page}
            page, _ = self._registry.entries(PREFIX, after=page[-1].key)
        return found, first

    def _follow(self) -> None:
        while True:
            try:
                for progress in self._registry.watch(PREFIX, after=self.revision):
                    self._take(progress)
            except StaleRevision:
                self._list_anew()
            else:
                return

    def _list_anew(self) -> None:
        found, revision = self._listed()
        gone = [Change(key, None, revision) for key in self._by_key if key not in found]
        # What is later than the first page of the list comes again by the watch.
        come = [Change(e.key, e.value, e.revision) for e in found.values() if self.revision < e.revision <= revision]
        changes = tuple(sorted([*gone, *come], key=lambda change: change.revision))
        self._take(Progress(revision, changes))

    def _take(self, progress: Progress) -> None:
        with self._arrived:
            for change in progress.changes:
                self._apply(change)
            self.revision = progress.revision
            self._in_touch = time.monotonic()
            self._arrived.notify_all()
        for change in progress.changes:
            self._told(change)

    def age(self) -> float:
        """Seconds since the registry was last in touch: what is told here held at that moment."""
        return time.monotonic() - self._in_touch

    def _apply(self, change: Change) -> None:
        known = self._by_key.get(change.key)
        if known and known.revision > change.revision:
            return
        if change.value is None:
            self._deleted[change.key] = change
            if known:
                del self._by_key[change.key]
                del self._keys[bisect.bisect_left(self._keys, change.key)]
            return
        if known is None:
            bisect.insort(self._keys, change.key)
        self._deleted.pop(change.key, None)
        self._by_key[change.key] = Entry(change.key, change.value, change.revision)

    def catch_up(self, revision: int) -> None:
        """Wait until `revision` is in the mirror, so that who changed something reads it back."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.revision >= revision, timeout=10)

    def get(self, key: str) -> Entry | None:
        """The entry of `key`."""
        return self._by_key.get(key)

    def entries(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Entry]:
        """At most `limit` entries below `prefix` whose key comes after `after`, in the order of their keys."""
        with self._arrived:
            start = bisect.bisect_right(self._keys, after) if after > prefix else bisect.bisect_left(self._keys, prefix)
            stop = bisect.bisect_left(self._keys, prefix + "\U0010ffff")
            keys = self._keys[start : stop if limit is None else min(stop, start + limit)]
            return [self._by_key[key] for key in keys]

    def changed_since(self, revision: int) -> list[Change]:
        """The newest state of each key that has changed since `revision`, in the order of the changes."""
        with self._arrived:
            if revision >= self.revision:
                return []
            present = [Change(e.key, e.value, e.revision) for e in self._by_key.values() if e.revision > revision]
            gone = [change for change in self._deleted.values() if change.revision > revision]
        return sorted((*present, *gone), key=lambda change: change.revision)

    def cached(self, what: str, compute: Callable[[], T]) -> T:
        """The answer called `what`, computed anew only when the registry has changed since."""
        revision = self.revision
        known = self._cached.get(what)
        if known is None or known[0] != revision:
            known = self._cached[what] = (revision, compute())
        found: T = known[1]
        return found
