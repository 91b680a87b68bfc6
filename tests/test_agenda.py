"""What is due next is known without looking at all schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mao.agenda import Agenda

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_what_is_due_is_told_in_order_until_it_is_put_anew() -> None:
    agenda = Agenda()
    for number, name in enumerate("cab"):
        agenda.put(name, NOON + number * MINUTE)
    assert agenda.first() == NOON
    assert agenda.due(NOON - MINUTE, 10) == []
    assert agenda.due(NOON + MINUTE, 10) == agenda.due(NOON + MINUTE, 10) == ["c", "a"]
    assert agenda.due(NOON + MINUTE, 1) == ["c"]
    agenda.put("c", NOON + 5 * MINUTE)
    assert agenda.due(NOON + 2 * MINUTE, 10) == ["a", "b"]


def test_only_the_last_moment_that_was_put_counts() -> None:
    agenda = Agenda()
    for minutes in (3, 1, 2, 1):
        agenda.put("a", NOON + minutes * MINUTE)
    assert agenda.due(NOON + 9 * MINUTE, 10) == ["a"]
    assert agenda.first() == NOON + MINUTE
    agenda.put("a", None)
    assert agenda.first() is None
    assert agenda.due(NOON + 9 * MINUTE, 10) == []
