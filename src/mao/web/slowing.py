"""Slow down those who try tokens: whoever fails often waits for each answer; who has the right one never does."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque

from mao.errors import TooManyAttempts

FREE = 5
"""Failures of one origin within `WINDOW` seconds that are answered at once."""
WINDOW = 60.0
_FIRST = 0.25
_LONGEST = 4.0
"""Seconds for which an answer is held back: first, and at most."""
_COUNTED = 20
_ORIGINS = 1000
"""What is kept in memory at most: failures of an origin, and origins."""
_WAITING = 64
"""Answers that are held back at the same time; beyond that, failures are refused at once."""


class Failures:
    """The failures of late, by where they came from."""

    def __init__(self) -> None:
        self._by_origin: OrderedDict[str, deque[float]] = OrderedDict()
        self._waiting = 0

    def pause(self, origin: str, at: float) -> float:
        """Count a failure of `origin` at `at` (seconds of a clock); the seconds for which its answer is held back."""
        times = self._by_origin.setdefault(origin, deque(maxlen=_COUNTED))
        self._by_origin.move_to_end(origin)
        if len(self._by_origin) > _ORIGINS:
            self._by_origin.popitem(last=False)
        while times and times[0] <= at - WINDOW:
            times.popleft()
        times.append(at)
        return min(_FIRST * 2 ** (len(times) - FREE - 1), _LONGEST) if len(times) > FREE else 0.0

    async def hold(self, origin: str) -> None:
        """Count a failure of `origin`, and return when it may be answered.

        Raises:
            TooManyAttempts: too many wait already.
        """
        pause = self.pause(origin, time.monotonic())
        if not pause:
            return
        if self._waiting >= _WAITING:
            raise TooManyAttempts("Too many attempts to sign in have failed of late. Try again in a minute.")
        self._waiting += 1
        try:
            await asyncio.sleep(pause)
        finally:
            self._waiting -= 1
