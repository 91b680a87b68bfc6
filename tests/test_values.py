from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mao.values import Moment, Value, display, new_id, now, rfc3339, since


class Event(Value):
    at: Moment


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    found = UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (found.version, found.variant) == (7, RFC_4122)
    assert before <= found.int >> 80 <= after


def test_the_order_of_ids_is_that_of_their_creation_from_one_millisecond_to_the_next() -> None:
    ids = []
    for _ in range(20):
        ids.append(new_id())
        made = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 <= made:
            pass
    assert ids == sorted(ids)


def test_no_two_threads_get_the_same_id() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend([new_id() for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


@given(st.datetimes(datetime(1000, 1, 1), datetime(9990, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  # hypothesis
def test_a_moment_is_written_in_utc_with_milliseconds_and_sorts_as_text(moment: datetime) -> None:
    text = rfc3339(moment)
    assert len(text) == len("2026-11-05T10:00:00.000Z")
    assert text.endswith("Z")
    assert timedelta() <= moment - datetime.fromisoformat(text) < timedelta(milliseconds=1)
    assert rfc3339(moment + timedelta(milliseconds=1)) > text


def test_a_moment_of_another_zone_is_written_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2025-12-31T23:30:00.000Z"


def test_the_present_survives_being_written_and_read() -> None:
    event = Event(at=now())
    assert Event.model_validate_json(event.model_dump_json()) == event
    assert event.model_dump_json() == f'{{"at":"{rfc3339(event.at)}"}}'


def test_a_value_is_frozen_and_holds_nothing_unknown() -> None:
    event = Event(at=now())
    with pytest.raises(ValidationError, match="frozen"):
        event.at = now()  # type: ignore[misc]  # that is the point
    with pytest.raises(ValidationError, match="Extra inputs"):
        Event.model_validate({"at": now(), "more": 1})


def test_a_path_that_is_not_utf8_can_be_shown() -> None:
    assert display(b"gr\xc3\xbc\xdfe") == "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\\xdfe"
    assert display("plain") == "plain"
    display(b"\xff\n\x00").encode()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", "2026-11-01T00:00:00.000Z"),
        ("2026-11-01T06:00:00Z", "2026-11-01T06:00:00.000Z"),
        ("2026-11-01t06:00:00.25+01:00", "2026-11-01T05:00:00.250Z"),
        ("1970-01-02", "1970-01-02T00:00:00.000Z"),
    ],
)
def test_a_day_or_a_moment_says_since_when(text: str, moment: str) -> None:
    assert rfc3339(since(text)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lately",
        "2026-13-01",
        "2026-11-01T06:00",
        "2026-11-01 06:00:00Z",
        "1969-12-31",
        "20261101",
        "9999-12-31T23:00:00-05:00",
        "0001-01-01T00:00:00+05:00",
        5,
        None,
    ],
)
def test_anything_else_is_no_date(text: object) -> None:
    with pytest.raises(ValueError, match=r"day|dates|month|years"):
        since(text)
