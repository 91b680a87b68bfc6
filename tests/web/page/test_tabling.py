from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.web.page.tabling import LONGEST, MOST_COLUMNS, MOST_ROWS, Table, number, read_csv, read_json, read_json_lines


def within_bounds(table: Table | None) -> None:
    if table is None:
        return
    assert 1 <= len(table.columns) <= MOST_COLUMNS
    assert len(table.rows) <= MOST_ROWS
    for row in (*table.rows, *table.end):
        assert len(row) == len(table.columns)
        assert all(len(cell) <= LONGEST for cell in row)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | st.text("a,;\t|\"'\n\r =1.").map(str.encode), st.binary())
def test_no_bytes_are_too_much_for_csv(head: bytes, tail: bytes) -> None:
    within_bounds(read_csv(head, tail))
    within_bounds(read_csv(head, tail, tabs=True))


@given(st.binary() | JSON.map(json.dumps).map(str.encode), st.binary())
def test_no_bytes_are_too_much_for_json(head: bytes, tail: bytes) -> None:
    within_bounds(read_json(head))
    within_bounds(read_json_lines(head, tail))
    within_bounds(read_json_lines(head.replace(b",", b"\n")))


def test_the_first_line_names_the_columns_unless_it_has_numbers() -> None:
    assert read_csv(b"time;value\n2026-11-01;3,5\n") == Table(["time", "value"], [["2026-11-01", "3,5"]], [])
    assert read_csv(b"1,2\n3,4\n") == Table(["1", "2"], [["1", "2"], ["3", "4"]], [])
    assert read_csv(b'\xef\xbb\xbfa\tb\r\n\r\n1\t"x\ty"\r\n') == Table(["a", "b"], [["1", "x\ty"]], [])
    assert read_csv(b"only a word") == Table(["1"], [["only a word"]], [])
    assert read_csv(b"") is None


def test_rows_of_other_lengths_are_made_even() -> None:
    assert read_csv(b"a,b\n1\n1,2,3\n") == Table(["a", "b", "3"], [["1", "", ""], ["1", "2", "3"]], [])


def test_a_formula_and_html_are_text() -> None:
    table = read_csv(b"a,b\n\"=cmd|' /C calc'!A0\",<img src=x onerror=alert(1)>\n")

    assert table is not None
    assert table.rows == [["=cmd|' /C calc'!A0", "<img src=x onerror=alert(1)>"]]


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000_000, '"' + "x" * 10_000_000, "a," * 5_000_000, '"a\n' * 2_000_000, "\n" * 10_000_000],
    ids=["line", "quoted", "columns", "open", "empty"],
)
def test_long_lines_and_very_many_columns_stay_within_bounds(text: str) -> None:
    within_bounds(read_csv(text[:2_000_000].encode(), text[-65536:].encode()))


def test_of_many_rows_the_first_and_the_last_are_read() -> None:
    table = read_csv(b"n\n" + b"".join(b"%d\n" % at for at in range(30_000)))

    assert table is not None
    assert len(table.rows) == MOST_ROWS
    assert (table.rows[0], table.end[0], table.end[-1]) == (["0"], ["29900"], ["29999"])


def test_of_a_file_that_is_not_read_whole_no_half_line_is_shown() -> None:
    table = read_csv(b"a,b\n1,2\n3,4", b"7,8\n9,10\n11,12\n")

    assert table == Table(["a", "b"], [["1", "2"]], [["9", "10"], ["11", "12"]])


@pytest.mark.parametrize(
    ("value", "table"),
    [
        ([{"a": 1, "b": "x"}, {"a": 2.5, "c": [1]}], Table(["a", "b", "c"], [["1", "x", ""], ["2.5", "", "[1]"]], [])),
        ({"t": [1, 2], "v": [3]}, Table(["t", "v"], [["1", "3"], ["2", ""]], [])),
        ({"of": "probe", "results": [{"a": None}, {"a": True}]}, Table(["a"], [[""], ["true"]], [])),
        ([[1, 2], [3]], Table(["1", "2"], [["1", "2"], ["3", ""]], [])),
        ([1, 2], Table(["value"], [["1"], ["2"]], [])),
        ({"a": 1}, Table(["a"], [["1"]], [])),
        (3, None),
        ([], None),
        ({}, None),
        ([[], []], None),
    ],
)
def test_json_of_many_shapes_is_a_table(value: object, table: Table | None) -> None:
    assert read_json(json.dumps(value).encode()) == table


def test_lines_of_json_are_a_table() -> None:
    assert read_json_lines(b'{"a": 1}\n\nbroken\n{"b": 2}\n') == Table(["a", "b"], [["1", ""], ["", "2"]], [])


@pytest.mark.parametrize(
    "bomb",
    [b"[" * 1_000_000, b'{"a":' * 300_000, b"9" * 1_000_000, b"[" + b"[1]," * 400_000 + b"1]", b'"' + b"x" * 2_000_000],
    ids=["lists", "objects", "digits", "many", "text"],
)
def test_a_bomb_of_json_is_no_table_or_one_within_bounds(bomb: bytes) -> None:
    within_bounds(read_json(bomb))
    within_bounds(read_json_lines(bomb))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("-2.5e3", -2500.0), ("", None), ("nan", None), ("inf", None), ("1_0", None), ("x", None)],
)
def test_numbers_are_those_that_programs_write(text: str, value: float | None) -> None:
    assert number(text) == value
