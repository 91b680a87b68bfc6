from __future__ import annotations

import asyncio
import time

import pytest

from mao.errors import TooManyAttempts
from mao.web import slowing
from mao.web.slowing import FREE, WINDOW, Failures


def test_the_first_failures_are_answered_at_once_and_then_each_waits_longer_up_to_some_seconds() -> None:
    failures = Failures()
    pauses = [failures.pause("10.0.0.9", second) for second in range(FREE + 8)]

    assert pauses == [0.0] * FREE + [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert failures.pause("10.0.0.8", 13.0) == 0.0


def test_failures_are_forgotten_after_a_minute() -> None:
    failures = Failures()
    for _ in range(20):
        failures.pause("10.0.0.9", 0.0)

    assert failures.pause("10.0.0.9", WINDOW - 1) > 0
    assert failures.pause("10.0.0.9", WINDOW) == 0.0


def test_however_many_fail_little_is_remembered() -> None:
    failures = Failures()
    for origin in range(5000):
        failures.pause(str(origin), 0.0)
    for _ in range(5000):
        failures.pause("4999", 0.0)

    assert len(failures._by_origin) == slowing._ORIGINS
    assert len(failures._by_origin["4999"]) == slowing._COUNTED


def test_if_too_many_wait_the_next_one_is_refused_at_once() -> None:
    failures = Failures()
    for _ in range(FREE):
        failures.pause("10.0.0.9", time.monotonic())

    async def flood() -> int:
        waiting = [asyncio.create_task(failures.hold("10.0.0.9")) for _ in range(slowing._WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyAttempts):
            await failures.hold("10.0.0.9")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return failures._waiting

    assert asyncio.run(flood()) == 0
