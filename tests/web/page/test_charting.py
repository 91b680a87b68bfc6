from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.web.page.charting import MOST_POINTS, MOST_SERIES, Chart, chart_of, moment
from mao.web.page.tabling import Table, read_csv


def chart(text: str) -> Chart | None:
    table = read_csv(text.encode())
    assert table is not None
    return chart_of(table)


def test_numbers_are_drawn_over_the_column_of_times() -> None:
    found = chart("host,when,ms\na,2026-11-01T00:00:00Z,3\nb,2026-11-02T00:00:00+01:00,x\nc,2026-11-01T12:00:00,5\n")
    assert found is None, "a column of which a third is no number is none of numbers"

    found = chart("host,when,ms\na,2026-11-01T00:00:00Z,3\nb,2026-11-02T00:00:00+01:00,\nc,2026-11-01 12:00:00,5\n")

    assert found == Chart("when", ["ms"], [(1793491200.0, [3]), (1793534400.0, [5]), (1793574000.0, [None])], 1)


@pytest.mark.parametrize(
    ("name", "cell", "over"),
    [
        ("timestamp", "1793491200", 1793491200.0),
        ("created_at", "1793491200123", 1793491200.123),
        ("x", "2026/11/01", 1793491200.0),
        ("x", "2026-11-01", 1793491200.0),
    ],
)
def test_times_are_found_in_several_forms(name: str, cell: str, over: float) -> None:
    found = chart(f"v,{name}\n1,{cell}\n2,{cell}\n")

    assert found is not None
    assert found.over == name
    assert found.points[0][0] == over


def test_without_times_numbers_are_drawn_over_the_rows() -> None:
    assert chart("a,b\n1,x\n2,y\n") == Chart(None, ["a"], [(1.0, [1.0]), (2.0, [2.0])], 1)
    assert chart("a,b\nx,y\n") is None
    assert chart("a\n1\n") is None, "one point is no line"


def test_many_points_are_thinned_and_many_columns_left_out() -> None:
    rows = [[str(at)] * 9 for at in range(10_000)]

    found = chart_of(Table([str(at) for at in range(9)], rows, []))

    assert found is not None
    assert len(found.series) == MOST_SERIES
    assert len(found.points) <= MOST_POINTS
    assert found.every == 34


def test_no_line_leads_over_what_was_not_read() -> None:
    table = Table(["day", "n"], [["2026-11-01", "1"], ["2026-11-02", "2"]], [["2026-11-09", "9"]])

    found = chart_of(table)

    assert found is not None
    assert [values for _, values in found.points] == [[1], [2], [None], [9]]


@given(st.text() | st.from_regex(r"[0-9]{1,5}[-/][0-9]{1,2}[-/]?[0-9]{0,2}.?[0-9:.+]{0,20}"))
def test_whatever_is_no_moment_is_none(text: str) -> None:
    found = moment(text)
    assert found is None or isinstance(found, float)


@given(st.lists(st.lists(st.text("019.-e:TZ/nai"), min_size=3, max_size=3)), st.lists(st.just(["1", "2", "x"])))
def test_no_table_is_too_much_for_a_chart(rows: list[list[str]], end: list[list[str]]) -> None:
    found = chart_of(Table(["time", "b", "c"], rows, end))
    assert found is None or all(len(values) == len(found.series) for _, values in found.points)
