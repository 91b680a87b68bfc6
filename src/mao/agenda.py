"""When each schedule is due next, in memory: what is due is found without looking at all."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Agenda:
    """The next due moment of each schedule. Used from any thread."""

    def __init__(self) -> None:
        self._next: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._guard = threading.Lock()

    def put(self, schedule_id: str, due: datetime | None) -> None:
        """Note when a schedule is due next; None: not any more."""
        with self._guard:
            if due is None:
                self._next.pop(schedule_id, None)
            elif self._next.get(schedule_id) != due:
                self._next[schedule_id] = due
                heapq.heappush(self._heap, (due, schedule_id))

    def due(self, present: datetime, most: int) -> list[str]:
        """At most so many of the schedules that are due, the longest due first; they stay until they are put anew."""
        with self._guard:
            found: list[tuple[datetime, str]] = []
            while self._heap and self._heap[0][0] <= present and len(found) < most:
                entry = heapq.heappop(self._heap)
                if self._next.get(entry[1]) == entry[0] and entry not in found[-1:]:
                    found.append(entry)
            for entry in found:
                heapq.heappush(self._heap, entry)
            return [schedule_id for _, schedule_id in found]

    def first(self) -> datetime | None:
        """The earliest moment at which a schedule is due."""
        with self._guard:
            while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
                heapq.heappop(self._heap)
            return self._heap[0][0] if self._heap else None
