from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.web.page.looking import MOST, Glimpse, look, visible

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "text/plain; charset=utf-8"


def reader(content: bytes, read: list[int] | None = None) -> Callable[[int, int], bytes]:
    def part(begin: int, size: int) -> bytes:
        if read is not None:
            read.append(min(size, len(content) - begin))
        return content[begin : begin + size]

    return part


def seen(name: str, content: bytes, media_type: str = TEXT) -> Glimpse:
    return look(name, media_type, len(content), reader(content))


def test_a_table_shows_its_first_and_last_rows_and_a_chart() -> None:
    found = seen("a.csv", b"day,n\n" + b"".join(b"2026-11-01,%d\n" % at for at in range(500)))

    assert found.columns == ["day", "n"]
    assert (len(found.first), len(found.last), found.left_out) == (100, 100, 300)
    assert (found.first[0].number, found.last[-1].number, found.last[-1].cells[1]) == (1, 500, "499")
    assert found.chart is not None
    assert found.chart.over == "day"


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101, 200, 201])
def test_no_row_is_shown_twice_or_forgotten(rows: int) -> None:
    found = seen("a.csv", b"n\n" + b"".join(b"%d\n" % at for at in range(1, rows + 1)))

    if rows:
        numbers = [int(row.cells[0]) for row in (*found.first, *found.last)]
        assert len(set(numbers)) == len(numbers) == rows - (found.left_out or 0) == min(rows, 200)


def test_of_a_large_file_two_megabytes_and_its_end_are_read() -> None:
    content = b"n\n" + b"".join(b"%09d\n" % at for at in range(1_000_000))
    read: list[int] = []

    found = look("a.csv", TEXT, len(content), reader(content, read))

    assert sum(read) <= MOST + (1 << 16)
    assert (found.first[0].cells, found.last[-1].cells) == (["000000000"], ["000999999"])
    assert (found.left_out, found.last[-1].number) == (None, None)


@pytest.mark.parametrize("name", ["a.json", "A.NDJSON", "b.jsonl"])
def test_json_is_a_table(name: str) -> None:
    content = b'{"a": 1}\n{"a": 2}\n' if name != "a.json" else b'[{"a": 1}, {"a": 2}]'

    assert seen(name, content).columns == ["a"]


def test_what_is_no_table_is_text() -> None:
    assert seen("a.json", b"no json").text == "no json"
    assert seen("a.json", b"[" * 100_000).text == "[" * 65536
    assert seen("README", b"one\r\ntwo\x1b[31m\n").text == "one\ntwo␛[31m\n"
    assert seen("a.txt", "ä".encode() * 100_000).whole is False
    large = json.dumps([{"a": "x" * 100}] * 30_000).encode()
    assert seen("a.json", large).text is not None, "JSON that is not read whole is not understood"


def test_json_of_one_value_a_line_is_a_table_whatever_it_is_called() -> None:
    assert seen("a.json", b'{"a": 1}\n{"a": 2}\n').columns == ["a"]


def test_a_picture_is_one_by_its_type_and_everything_else_is_bytes() -> None:
    assert seen("a", b"", "image/png") == Glimpse(picture=True)
    assert seen("a.svg", b"<svg/>", "image/svg+xml").picture
    octets = seen("a.csv", b"\x00<b>\xff" + b"x" * 300, "application/octet-stream")
    assert octets.octets[0] == "0000  00 3c 62 3e ff 78 78 78 78 78 78 78 78 78 78 78  ·<b>·xxxxxxxxxxx"
    assert (len(octets.octets), octets.whole) == (16, False)


def test_what_cannot_be_seen_is_made_visible() -> None:
    assert visible("a\u202eb\x00c\x9bd\te\nf") == "a\\u202eb␀c\\u009bd\te\nf"
    assert visible("a\nb\tc", lines=True) == "a␊b␉c"
    assert visible("grün ‰ 測") == "grün ‰ 測"


@given(
    st.sampled_from(["a.csv", "b.tsv", "c.json", "d.ndjson", "e.txt", "f"]),
    st.binary(),
    st.sampled_from([TEXT, "application/octet-stream", "image/png"]),
    st.integers(0, 10**7),
)
def test_no_file_is_too_much(name: str, content: bytes, media_type: str, size: int) -> None:
    look(name, media_type, size, reader(content))
