from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mao import log_file
from mao.log_file import WINDOW_BYTES, WINDOW_LINES, search, window_around, window_before, window_from

if TYPE_CHECKING:
    from pathlib import Path

PIECES = st.sampled_from(
    [b"a line\n", b"\n", b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82", b"\x1b[31mred\x1b[0m", b"\xff\x80", b"\0", b"10 %\r"]
)
PARTS = st.lists(st.tuples(PIECES, st.sampled_from([1, 3, 700, 20_000])), max_size=6)
"""Pieces of a log, and how often each comes: hypothesis would rather not show what they make."""
SAME_FOLDER = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def whole(parts: list[tuple[bytes, int]]) -> bytes:
    return b"".join(piece * times for piece, times in parts)


@SAME_FOLDER
@given(parts=PARTS, over=st.booleans())
def test_windows_one_after_the_other_are_the_log(log: Path, parts: list[tuple[bytes, int]], *, over: bool) -> None:
    content = whole(parts)
    log.write_bytes(content)
    found, at = b"", 0
    while at < len(content):
        window = window_from(log, at, over=over)
        assert 0 < len(window.content) <= WINDOW_BYTES
        assert window.content.count(b"\n") <= WINDOW_LINES
        assert window.start == at
        found += window.content
        if window.following < window.end:  # a line that is not over
            assert not over
            assert window.following in {window.start, window.start + window.content.rfind(b"\n") + 1}
            assert window.end >= len(content) - 4
            break
        at = window.end

    assert found == content or (not over and content.startswith(found) and len(content) - len(found) < 4)


@SAME_FOLDER
@given(parts=PARTS)
@example([(b"\n", 501)])
@example([(b"\n", 20_000), (b"a line\n", 1)])
def test_windows_one_before_the_other_are_the_log(log: Path, parts: list[tuple[bytes, int]]) -> None:
    content = whole(parts)
    log.write_bytes(content)
    found, end = b"", len(content)
    while end:
        window = window_before(log, end, over=True)
        assert 0 < len(window.content) <= WINDOW_BYTES
        assert window.content.count(b"\n") <= WINDOW_LINES
        assert window.end == end
        found, end = window.content + found, window.start

    assert found == content


@SAME_FOLDER
@given(parts=PARTS, offset=st.integers(0, 200_000))
def test_the_window_around_something_has_it(log: Path, parts: list[tuple[bytes, int]], offset: int) -> None:
    content = whole(parts)
    log.write_bytes(content)

    window = window_around(log, offset, over=True)

    assert len(window.content) <= WINDOW_BYTES
    if offset < len(content):
        assert window.start <= offset < window.end


def test_there_is_nothing_of_a_log_that_is_gone(log: Path) -> None:
    for window in (window_from(log, 5, over=True), window_before(log, over=False), window_around(log, 9, over=True)):
        assert (window.content, window.size, window.following) == (b"", 0, 0)
    assert search(log, "x").offset is None
    assert log_file.size_of(log) == 0


def test_a_line_that_is_not_over_comes_again_with_the_next_window(log: Path) -> None:
    log.write_bytes(b"one\ntw")
    first = window_from(log, 0, over=False)
    log.write_bytes(b"one\ntwo\n")

    second = window_from(log, first.following, over=False)

    assert (first.content, second.content) == (b"one\ntw", b"two\n")


def test_half_a_character_and_half_an_escape_wait_for_the_rest(log: Path) -> None:
    log.write_bytes("ab\u20ac".encode()[:-1])
    assert window_from(log, 0, over=False).content == b"ab"
    assert window_from(log, 0, over=True).content == b"ab\xe2\x82"
    log.write_bytes(b"ab\x1b[3")
    assert window_before(log, over=False).content == b"ab"


def test_a_search_finds_text_in_whatever_case_and_goes_on(log: Path) -> None:
    log.write_bytes("first\nan ÉCLAIR here\nno\néclair".encode())

    first = search(log, "éclair")
    assert (first.offset, first.length, first.line) == (9, 7, "an ÉCLAIR here")
    second = search(log, "Éclair", first.scanned_to)
    assert second.line == "éclair"
    third = search(log, "éclair", second.scanned_to)
    assert third.offset is None
    assert third.scanned_to == third.size


def test_what_is_looked_for_is_text_and_no_pattern(log: Path) -> None:
    log.write_bytes(b"aXb a.b [a-z]\xff")

    assert search(log, "a.b").offset == 4
    assert search(log, "[a-z]").offset == 8
    assert search(log, "a.é").offset is None


def test_colours_within_a_text_do_not_matter(log: Path) -> None:
    log.write_bytes(b"\x1b[1m\x1b[31mer\x1b[0mr\x1b]0;t\x07or\x1b[0m \x1b[32mhere\x1b[0m\n")

    found = search(log, "Error here")

    assert (found.offset, found.line) == (9, "error here")
    assert log.read_bytes()[9 : found.scanned_to].endswith(b"here")
    assert search(log, "31m").offset is None


def test_text_at_the_border_of_two_chunks_is_found(log: Path) -> None:
    log.write_bytes(b"x" * (log_file._CHUNK - 3) + b"needle" + b"x" * 100)

    assert search(log, "NEEDLE").offset == log_file._CHUNK - 3


def test_one_search_looks_through_a_part_only(log: Path) -> None:
    log.write_bytes(b"x" * 3_000_000 + b"needle")

    found = search(log, "needle", most=1_000_000)

    assert found.offset is None
    assert found.scanned_to == 1_000_000
    assert search(log, "needle", found.scanned_to).offset == 3_000_000


def test_a_log_of_100_mb_and_a_line_of_10_mb_take_no_time(log: Path) -> None:
    with log.open("wb") as file:
        file.write(b"begin\n" + b"y" * 10_000_000 + b"\n")
        file.write(b"a line of some length, of which there are many\n" * 2_000_000)
    size = log.stat().st_size
    assert size > 100_000_000

    begun = time.monotonic()
    windows = [
        window_from(log, 0, over=True),
        window_from(log, 5_000_000, over=True),
        window_around(log, 7_000_000, over=True),
        window_before(log, 9_000_000, over=True),
        window_before(log, over=False),
    ]

    assert time.monotonic() - begun < 1
    assert all(0 < len(window.content) <= WINDOW_BYTES for window in windows)
    assert windows[-1].end == size
