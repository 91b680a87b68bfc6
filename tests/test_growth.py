"""What a dataset's growth is measured to be, and when it is warned of."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mao.growth import (
    Added,
    Growth,
    Repeated,
    Source,
    WarningKind,
    file_warning,
    folder_warning,
    history_warning,
    is_costly,
    measured,
    versions_warning,
)

TODAY = date(2026, 11, 24)
GB = 1000**3
MB = 1000**2
START = datetime(2026, 1, 1, tzinfo=UTC)


def added(age: int, size: int, files: int = 1, tool: str = "probe", node: str = "alpha", unsaid: int = 0) -> Added:
    """What was added `age` days ago."""
    day = TODAY - timedelta(days=age)
    return Added(day=day, tool=tool, node=node, commits=1 + unsaid, files=files, size=size, unsaid=unsaid)


def growth(*rows: Added, limit: int = 10 * GB) -> Growth:
    return measured("data", rows, TODAY, limit, Source.HISTORY)


def repeated(times: int, size: int, *, days: float = 100, growing: bool = False) -> Repeated:
    """A file that was published `times` times over so many days, and has this size now."""
    total = size * times // 2 if growing else size * times
    return Repeated(
        path="a/log.csv",
        times=times,
        total=total,
        size=size,
        first_size=size // times if growing else size,
        grew=times - 1 if growing else 0,
        shrank=0,
        first_at=START,
        last_at=START + timedelta(days=days),
    )


def test_size_is_of_all_days_and_growth_of_the_last_thirty() -> None:
    grown = growth(added(100, 7 * MB, files=70), added(29, 10 * MB, files=20), added(0, 20 * MB, files=10, unsaid=2))
    assert (grown.size, grown.files, grown.commits, grown.unsaid) == (37 * MB, 100, 5, 2)
    assert (grown.days, grown.size_per_day, grown.files_per_day) == (30, MB, 1)
    assert grown.days_to_limit == (10 * GB - 37 * MB) // MB


@pytest.mark.parametrize(("ages", "days"), [([0], 1), ([4, 0], 5), ([29], 30), ([30], 30), ([], 1), ([-3], 1)])
def test_a_young_dataset_is_measured_since_its_first_commit(ages: list[int], days: int) -> None:
    assert growth(*(added(age, 1) for age in ages)).days == days


def test_a_commit_with_a_clock_ahead_counts_all_the_same() -> None:
    grown = growth(added(-400, 5), added(1, 5))
    assert (grown.days, grown.size, grown.size_per_day) == (2, 10, 5)


def test_what_does_not_grow_never_reaches_the_limit() -> None:
    assert growth(added(31, GB)).days_to_limit is None
    assert growth(added(31, 10 * GB)).days_to_limit == 0
    assert growth().days_to_limit is None


def test_shares_tell_who_adds_most() -> None:
    rows = [added(1, 5, node="beta"), added(2, 1), added(3, 9), added(3, 2, tool="other"), added(99, 99, tool="gone")]
    shares = [(share.tool, share.node, share.size) for share in growth(*rows).shares]
    assert shares == [("probe", "alpha", 10), ("probe", "beta", 5), ("other", "alpha", 2)]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([added(50, 9 * GB)], []),
        ([added(50, 9 * GB), added(0, 30 * 5 * MB)], [WarningKind.NEAR_LIMIT]),
        ([added(50, 9 * GB), added(0, 30 * 4 * MB)], []),
        ([added(50, 10 * GB)], [WarningKind.PAST_LIMIT]),
        ([added(5, 3 * GB), added(0, GB)], []),  # the first days may have brought what was there before
        ([added(6, 3 * GB), added(0, GB)], [WarningKind.NEAR_LIMIT]),
        ([added(0, 6 * GB)], [WarningKind.NEAR_LIMIT]),
    ],
)
def test_the_limit_is_told_half_a_year_before(rows: list[Added], kinds: list[WarningKind]) -> None:
    assert [warning.kind for warning in growth(*rows).warnings] == kinds


def test_the_warning_says_how_many_days_are_left() -> None:
    (warning,) = growth(added(50, 9 * GB), added(0, 300 * MB)).warnings
    assert "in 70 days" in warning.detail
    assert "10,000.0 MB" in warning.detail


def test_a_small_or_rare_file_is_not_worth_a_word() -> None:
    limit = 10 * GB
    assert is_costly(repeated(365, MB), limit)
    assert is_costly(repeated(10, MB, days=10), limit)  # 10 MB by now, but 330 MB in a year
    assert not is_costly(repeated(10, MB, days=0.5), limit)  # too young to tell
    assert is_costly(repeated(200, MB, days=0.5), limit)
    assert not is_costly(repeated(9, GB), limit)
    assert not is_costly(repeated(1000, 1000), limit)


def test_what_a_files_history_costs_is_told() -> None:
    warning = history_warning(repeated(101, 10 * MB, growing=True))
    assert (warning.kind, warning.path) == (WarningKind.APPENDED_FILE, "a/log.csv")
    assert "101 times" in warning.detail
    assert "505.0 MB so far" in warning.detail
    assert "a year of it adds up to 3,650.0 MB" in warning.detail
    overwritten = history_warning(repeated(20, 20 * MB, days=0.1))
    assert overwritten.kind == WarningKind.OVERWRITTEN_FILE
    assert "a year" not in overwritten.detail


@pytest.mark.parametrize(
    ("grew", "shrank", "appended"), [(99, 0, True), (95, 2, True), (50, 0, True), (0, 0, False), (50, 49, False)]
)
def test_an_appended_file_grows_nearly_every_time(grew: int, shrank: int, *, appended: bool) -> None:
    file = Repeated("a", 100, 1000, 10, 1, grew, shrank, START, START + timedelta(days=9))
    assert file.is_appended is appended


def test_a_file_on_its_way_to_what_hosts_refuse_is_told_in_time() -> None:
    growing = repeated(11, 11 * MB, days=10, growing=True)
    assert growing.days_to_file_limit == pytest.approx(89)
    assert repeated(11, 11 * MB).days_to_file_limit is None
    assert repeated(11, 11 * MB, days=0.5, growing=True).days_to_file_limit is None
    warning = file_warning(growing.path, growing.size, growing.days_to_file_limit)
    assert (warning.kind, "100.0 MB in 89 days" in warning.detail) == (WarningKind.LARGE_FILE, True)
    assert "days" not in file_warning("b", 90 * MB).detail


def test_many_files_that_cost_little_each_are_told_together() -> None:
    warning = versions_warning(3000, 100 * MB, 10 * GB)
    assert warning is not None
    assert "3,000 files" in warning.detail
    assert versions_warning(3000, 99 * MB, 10 * GB) is None


def test_a_folder_is_told_with_what_its_list_costs() -> None:
    warning = folder_warning("", 1_000_000)
    assert (warning.path, "1,000,000 names" in warning.detail) == (".", True)
    assert "30.0 MB" in warning.detail
