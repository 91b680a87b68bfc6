"""Watches of a registry, collected in threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from support import PATIENCE

if TYPE_CHECKING:
    from mao.registry import Change, Registry


class Watcher(threading.Thread):
    """Collects what a watch tells."""

    def __init__(self, registry: Registry, prefix: str, after: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[Change] = []
        self.told = 0
        """How often something came, changes or not."""
        self.ended: Exception | None = None
        self._arrived = threading.Condition()
        self._watch = registry.watch(prefix, after=after)
        self.start()

    def run(self) -> None:
        try:
            for progress in self._watch:
                with self._arrived:
                    self.told += 1
                    self.seen += progress.changes
                    self._arrived.notify_all()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.ended = error

    def until(self, revision: int) -> list[Change]:
        """What has been seen when the change of `revision` has."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(c.revision == revision for c in self.seen), PATIENCE)
            return list(self.seen)
