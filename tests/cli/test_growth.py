from __future__ import annotations

from typing import Any

from mao.cli.growth import growth_lines

GROWTH: dict[str, Any] = {
    "dataset": "river",
    "source": "history",
    "counted_at": "2026-11-24T00:32:48.004Z",
    "problem": None,
    "commits": 1200,
    "unsaid": 0,
    "files": 3000,
    "size": 1_200_000_000,
    "days": 30,
    "files_per_day": 96.04,
    "size_per_day": 3_400_000.0,
    "limit": 10_000_000_000,
    "days_to_limit": 2588,
    "shares": [{"tool": "a", "node": "alpha", "commits": 2, "files": 3, "size": 4}],
    "warnings": [],
}


def lines(**more: Any) -> dict[str, str]:
    return dict(growth_lines(GROWTH | more))


def test_size_growth_and_limit_are_told_in_words() -> None:
    told = lines()
    assert told["size"] == "1.2 GB in 3,000 files by 1,200 commits"
    assert told["growth"] == "3.4 MB and 96.0 files a day over the last 30 days"
    assert told["limit"] == "10.0 GB: in 2,588 days"
    assert told["counted"].startswith("from the history as it was at 2026-11-24 ")
    assert "  of which" not in told  # the only one has added all of it


def test_what_is_not_known_is_said() -> None:
    told = lines(source="own-runs", problem="git fetch: Connection refused", counted_at=None, unsaid=3)
    assert told["counted"] == "from this node's own runs alone: git fetch: Connection refused"
    assert told["size"].endswith("; 3 of 1,200 commits do not say how much they added")
    assert lines(problem="away")["counted"].endswith(": away")


def test_the_limit_is_told_however_far_it_is() -> None:
    assert lines(days_to_limit=None)["limit"] == "10.0 GB: it does not grow"
    assert lines(days_to_limit=0)["limit"] == "10.0 GB: in 0 days"
    assert lines(days_to_limit=1)["limit"] == "10.0 GB: in 1 day"
    assert lines(days_to_limit=0, size=10_000_000_001)["limit"] == "10.0 GB: passed"


def test_who_adds_most_is_told_where_there_are_several() -> None:
    shares = [{"tool": "a" * n, "node": "alpha", "commits": n, "files": n, "size": n} for n in range(7)]
    told = [text for label, text in growth_lines(GROWTH | {"shares": shares}) if label == "  of which"]
    assert len(told) == 5
    assert told[:2] == [
        "commits that do not say: 0 bytes in 0 files by 0 commits",
        "a on alpha: 1 bytes in 1 file by 1 commit",
    ]


def test_warnings_name_their_place() -> None:
    warnings = [
        {"kind": "large-file", "path": "a.csv", "detail": "It is.", "advice": "Do."},
        {"kind": "x", "path": None, "detail": "All.", "advice": "Act."},
    ]
    told = [text for label, text in growth_lines(GROWTH | {"warnings": warnings}) if label == "warning:"]
    assert told == ["a.csv: It is.\nDo.", "All.\nAct."]
