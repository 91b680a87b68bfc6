from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mao.errors import DiskFull
from mao.kept_mirror import Copy, Head, KeptMirror
from mao.registry import Change, Entry
from support import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ETCD = "etcd://127.0.0.1:2379"
MOMENT = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mirror.sqlite"


@pytest.fixture
def kept(path: Path) -> Iterator[KeptMirror]:
    opened = KeptMirror(path, ETCD)
    yield opened
    opened.close()


def test_nothing_is_kept_of_a_registry_that_was_never_listed(kept: KeptMirror) -> None:
    assert kept.copy() is None


def test_an_empty_registry_is_one_that_was_listed(kept: KeptMirror) -> None:
    kept.store([], 0, 0, 1.5)

    assert kept.copy() == Copy({}, 0, 0, 1.5)


def test_what_was_stored_is_there_when_it_is_opened_again(kept: KeptMirror, path: Path) -> None:
    kept.store([Change("/a", b"1", 1), Change("/b", b"2", 1)], 1, 0, 1000.5)
    kept.store([Change("/a", None, 2), Change("/c", b"", 3), Change("/b", b"3", 3)], 4, 7, 1001.5)
    kept.close()

    again = KeptMirror(path, ETCD)

    assert again.copy() == Copy({"/b": Entry("/b", b"3", 3), "/c": Entry("/c", b"", 3)}, 4, 7, 1001.5)
    again.close()


@pytest.mark.parametrize("at", [0, 4096])
def test_a_copy_that_is_damaged_is_made_anew(kept: KeptMirror, path: Path, at: int) -> None:
    kept.store([Change("/a", b"1", 1)], 1, 0, 1000.5)
    kept.close()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 4096)

    again = KeptMirror(path, ETCD)

    assert again.copy() is None
    again.store([Change("/a", b"1", 1)], 1, 0, 1000.5)
    assert again.copy() is not None
    again.close()


def test_a_copy_outlives_the_coming_and_going_of_members(kept: KeptMirror, path: Path) -> None:
    kept.store([Change("/a", b"1", 3)], 3, 0, 0.0)
    kept.close()
    again = KeptMirror(path, ETCD + ",10.0.0.9:2379")
    copy = again.copy()
    again.close()
    assert copy is not None
    assert list(copy.entries) == ["/a"]


def test_a_copy_of_another_registry_is_forgotten(kept: KeptMirror, path: Path) -> None:
    kept.store([Change("/a", b"1", 1)], 1, 0, 1000.5)
    kept.close()

    other = KeptMirror(path, "etcd://10.0.0.2:2379")
    assert other.copy() is None
    other.close()
    back = KeptMirror(path, ETCD)
    assert back.copy() is None
    back.close()


def test_all_of_a_change_is_stored_or_nothing(tmp_path: Path, small_disk: Callable[[Path, int], None]) -> None:
    small_disk(tmp_path / "disk", 2)
    kept = KeptMirror(tmp_path / "disk" / "mirror.sqlite", ETCD)
    kept.store([Change("/a", b"1", 1)], 1, 0, 1000.5)
    fill(tmp_path / "disk")

    with pytest.raises(DiskFull):
        kept.store([Change("/a", None, 2), Change("/b", bytes(1_000_000), 2)], 2, 0, 1001.5)

    assert kept.copy() == Copy({"/a": Entry("/a", b"1", 1)}, 1, 0, 1000.5)
    kept.close()


def test_a_head_is_remembered_until_the_cluster_knows_of_it(kept: KeptMirror, path: Path) -> None:
    first = Head("1" * 40, None, MOMENT)
    kept.remember("Data", first)
    kept.remember("more", Head("3" * 40, "0" * 40, MOMENT))
    kept.close()
    kept = KeptMirror(path, ETCD)

    assert sorted(kept.untold()) == ["data", "more"]
    assert kept.head("DATA") == first
    kept.told("data", first)
    assert kept.untold() == ["more"]
    assert kept.head("data") == first
    assert kept.head("other") is None
    kept.close()


def test_a_head_that_came_while_another_was_told_is_still_to_be_told(kept: KeptMirror) -> None:
    first, second = Head("1" * 40, None, MOMENT), Head("2" * 40, "1" * 40, MOMENT + timedelta(milliseconds=1))
    kept.remember("data", first)
    kept.remember("data", second)

    kept.told("data", first)

    assert (kept.untold(), kept.head("data")) == (["data"], second)


def test_heads_outlive_a_change_of_the_registry(kept: KeptMirror, path: Path) -> None:
    kept.remember("data", Head("1" * 40, None, MOMENT))
    kept.close()

    other = KeptMirror(path, "sqlite")

    assert other.untold() == ["data"]
    other.close()


@pytest.mark.parametrize(("registry", "base"), [(ETCD, 7), ("etcd://10.0.0.2:2379", 0)])
def test_what_a_registry_was_told_is_to_be_told_again_once_it_is_set_back_or_another_one(
    kept: KeptMirror, path: Path, registry: str, base: int
) -> None:
    told, untold = Head("1" * 40, None, MOMENT), Head("2" * 40, None, MOMENT)
    kept.store([], 5, 0, 1000.5)
    kept.remember("told", told)
    kept.told("told", told)
    kept.remember("untold", untold)
    kept.store([], 6, 0, 1001.5)
    assert kept.head("told") == told
    kept.close()

    again = KeptMirror(path, registry)
    again.store([], 3, base, 1002.5)

    assert (again.base(), again.head("told"), again.untold()) == (base, None, ["untold"])
    again.close()


def test_what_a_node_alone_has_told_itself_is_to_be_told_to_the_first_registry_that_it_shares(kept: KeptMirror) -> None:
    told = Head("1" * 40, None, MOMENT)
    kept.remember("told", told)
    kept.told("told", told)

    kept.store([], 1, 0, 1000.5)

    assert kept.head("told") is None
