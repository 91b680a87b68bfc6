from __future__ import annotations

import random
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from cutting import Way
from keys import delete, put
from mao.errors import RegistryUnavailable, StaleRevision
from mao.etcd.client import EtcdClient
from mao.kept_mirror import Copy, KeptMirror
from mao.mirror import PREFIX, Mirror
from mao.registries.etcd import EtcdRegistry
from mao.registries.sqlite import SqliteRegistry
from mao.registry import Change, Edit, Entry
from support import eventually, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster

PATIENCE = 60.0
A, B, C = (PREFIX + f"tools/{name}" for name in "abc")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqliteRegistry]:
    opened = SqliteRegistry(tmp_path / "registry.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def told() -> list[Change]:
    """What the mirror has told of."""
    return []


@pytest.fixture
def mirror(registry: SqliteRegistry, told: list[Change]) -> Mirror:
    return Mirror(registry, told.append)


def change_at_random(registry: SqliteRegistry, seed: int, times: int) -> None:
    """Put and delete keys, as others do at the same time."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    for _ in range(times):
        key = f"{PREFIX}{chance.choice(['tools', 'datasets'])}/{chance.randrange(12)}"
        present = registry.get(key)
        try:
            if present and chance.random() < 0.5:
                delete(registry, key, if_revision=present.revision)
            else:
                put(registry, key, chance.randbytes(8), if_revision=present.revision if present else 0)
        except StaleRevision:
            continue


@pytest.mark.parametrize("seed", range(4))
def test_a_mirror_shows_what_the_registry_holds_after_many_change_it_at_once(
    registry: SqliteRegistry, seed: int
) -> None:
    change_at_random(registry, seed, 30)
    writers = [threading.Thread(target=change_at_random, args=(registry, 10 * seed + n, 60)) for n in range(3)]
    for writer in writers:
        writer.start()
    told: list[Change] = []
    mirror = Mirror(registry, told.append)  # while they are at it
    for writer in writers:
        writer.join()
    held, revision = registry.entries(PREFIX)
    mirror.catch_up(revision)
    assert mirror.entries(PREFIX) == held
    assert [mirror.get(entry.key) for entry in held] == held
    assert mirror.revision == revision
    tools, _ = registry.entries(PREFIX + "tools/")
    assert mirror.entries(PREFIX + "tools/") == tools
    assert [change.revision for change in told] == sorted({change.revision for change in told})


def test_a_mirror_of_more_than_a_page_is_whole(registry: SqliteRegistry) -> None:
    for number in range(1100):
        put(registry, f"{PREFIX}tools/{number:05}", b"", if_revision=0)
    mirror = Mirror(registry, lambda _: None)
    assert [entry.key for entry in mirror.entries(PREFIX)] == [f"{PREFIX}tools/{n:05}" for n in range(1100)]


class Narrow(SqliteRegistry):
    """A registry behind a connection through which no large page comes in time."""

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        if limit > 1000:
            raise RegistryUnavailable("The registry does not answer.")
        return super().entries(prefix, after=after, limit=limit)


def test_a_mirror_that_gets_no_large_pages_takes_small_ones(tmp_path: Path) -> None:
    registry = Narrow(tmp_path / "registry.sqlite")
    for first in range(0, 2500, 100):
        registry.write(*(Edit(f"{PREFIX}tools/{n:05}", b"", 0) for n in range(first, first + 100)))
    mirror = Mirror(registry, lambda _: None)
    assert [entry.key for entry in mirror.entries(PREFIX)] == [f"{PREFIX}tools/{n:05}" for n in range(2500)]
    mirror.close()


def test_who_changed_something_reads_it_back(registry: SqliteRegistry, mirror: Mirror) -> None:
    revision = 0
    for number in range(50):
        revision = put(registry, A, b"%d" % number, if_revision=revision)
        mirror.catch_up(revision)
        found = mirror.get(A)
        assert found is not None
        assert (found.value, found.revision) == (b"%d" % number, revision)
    mirror.catch_up(delete(registry, A, if_revision=revision))
    assert mirror.get(A) is None


def test_entries_come_in_pages(registry: SqliteRegistry, mirror: Mirror) -> None:
    for key in (A, B, C, PREFIX + "datasets/a", PREFIX + "tools0"):
        revision = put(registry, key, b"", if_revision=0)
    mirror.catch_up(revision)
    tools = PREFIX + "tools/"
    assert [entry.key for entry in mirror.entries(tools)] == [A, B, C]
    assert [entry.key for entry in mirror.entries(tools, limit=2)] == [A, B]
    assert [entry.key for entry in mirror.entries(tools, after=A)] == [B, C]
    assert [entry.key for entry in mirror.entries(tools, after=A + "/between", limit=1)] == [B]
    assert mirror.entries(tools, after=C) == []
    assert mirror.entries(tools, after=PREFIX + "z") == []
    assert [entry.key for entry in mirror.entries(tools, after=PREFIX + "a")] == [A, B, C]
    assert mirror.entries(tools, limit=0) == []


def test_what_lies_elsewhere_in_the_registry_is_not_mirrored(
    registry: SqliteRegistry, mirror: Mirror, told: list[Change]
) -> None:
    put(registry, "/other", b"", if_revision=0)
    mirror.catch_up(put(registry, A, b"", if_revision=0))
    assert mirror.get("/other") is None
    assert [entry.key for entry in mirror.entries(PREFIX)] == [A]
    assert [change.key for change in told if change.key != A] == []


def test_it_tells_what_has_changed_since_and_what_is_gone(registry: SqliteRegistry, mirror: Mirror) -> None:
    first = put(registry, A, b"1", if_revision=0)
    second = put(registry, B, b"1", if_revision=0)
    third = delete(registry, A, if_revision=first)
    fourth = put(registry, B, b"2", if_revision=second)
    mirror.catch_up(fourth)

    def told(revision: int) -> list[tuple[str, bytes | None, int]]:
        return [(change.key, change.value, change.revision) for change in mirror.changed_since(revision)[0]]

    assert told(0) == told(second) == [(A, None, third), (B, b"2", fourth)]
    assert told(third) == [(B, b"2", fourth)]
    assert told(fourth) == []
    fifth = put(registry, A, b"3", if_revision=0)
    mirror.catch_up(fifth)
    assert told(second) == [(B, b"2", fourth), (A, b"3", fifth)]


def test_an_answer_is_computed_again_only_when_something_has_changed(registry: SqliteRegistry, mirror: Mirror) -> None:
    computed: list[int] = []

    def compute() -> int:
        computed.append(len(mirror.entries(PREFIX)))
        return computed[-1]

    assert [mirror.cached("count", compute) for _ in range(3)] == [0, 0, 0]
    mirror.catch_up(put(registry, A, b"", if_revision=0))
    assert [mirror.cached("count", compute) for _ in range(3)] == [1, 1, 1]
    assert computed == [0, 1]
    assert mirror.cached("other", lambda: "x") == "x"
    assert mirror.cached("count", compute) == 1


def test_what_is_computed_of_each_entry_is_computed_again_only_for_what_has_changed(
    registry: SqliteRegistry, mirror: Mirror
) -> None:
    computed: list[str] = []

    def compute(entry: Entry) -> bytes:
        computed.append(entry.key)
        return entry.value * 2

    def each() -> dict[str, bytes]:
        return {key: value for key, (_, value) in mirror.each("double", PREFIX + "tools/", compute).items()}

    put(registry, B, b"b", if_revision=0)
    mirror.catch_up(revision := put(registry, A, b"a", if_revision=0))
    assert [each() for _ in range(2)] == [{A: b"aa", B: b"bb"}] * 2
    put(registry, C, b"c", if_revision=0)
    mirror.catch_up(put(registry, A, b"x", if_revision=revision))
    assert list(each().items()) == [(A, b"xx"), (B, b"bb"), (C, b"cc")]
    mirror.catch_up(delete(registry, B, if_revision=revision - 1))
    assert each() == {A: b"xx", C: b"cc"}
    assert computed == [A, B, A, C]


def test_a_mirror_that_has_fallen_too_far_behind_lists_anew(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.sqlite", kept_changes=3)
    gone = put(registry, A, b"1", if_revision=0)
    changed = put(registry, B, b"1", if_revision=0)
    told: list[Change] = []
    begun, go_on = threading.Event(), threading.Event()

    def slowly(change: Change) -> None:
        told.append(change)
        begun.set()
        go_on.wait(PATIENCE)

    mirror = Mirror(registry, slowly)
    put(registry, C, b"1", if_revision=0)
    assert begun.wait(PATIENCE)
    delete(registry, A, if_revision=gone)
    changed = put(registry, B, b"2", if_revision=changed)
    for number in range(8):  # comes and goes without having been seen
        delete(registry, PREFIX + "tools/d", if_revision=put(registry, PREFIX + "tools/d", b"", if_revision=0))
        changed = put(registry, B, b"%d" % number, if_revision=changed)
    last = delete(registry, PREFIX + "tools/d", if_revision=put(registry, PREFIX + "tools/d", b"", if_revision=0))
    go_on.set()
    mirror.catch_up(last)
    held, revision = registry.entries(PREFIX)
    assert (mirror.entries(PREFIX), mirror.revision) == (held, revision)
    assert [change.key for change in mirror.changed_since(3)[0]] == [B, A]
    final = put(registry, A, b"back", if_revision=0)
    mirror.catch_up(final)
    assert mirror.revision == final
    registry.close()
    mirror._thread.join(PATIENCE)
    assert not mirror._thread.is_alive()
    assert {change.key for change in told} == {A, B, C}


ETCD = "etcd://127.0.0.1:2379"


def kept_in(place: Path) -> KeptMirror:
    return KeptMirror(place / "mirror.sqlite", ETCD)


def copied(kept: KeptMirror) -> Copy:
    copy = kept.copy()
    assert copy is not None
    return copy


def test_what_the_registry_holds_is_kept(registry: SqliteRegistry, tmp_path: Path) -> None:
    put(registry, A, b"1", if_revision=0)
    kept = kept_in(tmp_path)
    mirror = Mirror(registry, lambda _: None, kept)
    assert [*copied(kept).entries.values()] == mirror.entries(PREFIX)
    put(registry, B, b"2", if_revision=0)
    last = delete(registry, A, if_revision=1)
    mirror.catch_up(last)
    eventually(lambda: copied(kept).revision == last)
    assert [*copied(kept).entries.values()] == mirror.entries(PREFIX)
    before = copied(kept).moment
    eventually(lambda: copied(kept).moment > before, "it is kept that the registry is in touch, though nothing changes")
    mirror.close()
    kept.close()


def test_a_mirror_tells_what_has_changed_while_it_was_closed_to_who_saw_what_it_kept(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    mirror = Mirror(registry := SqliteRegistry(tmp_path / "registry.sqlite"), lambda _: None, kept)
    for key in (A, B):
        last = put(registry, key, b"1", if_revision=0)
    mirror.catch_up(last)
    seen = mirror.position
    mirror.close()
    registry = SqliteRegistry(tmp_path / "registry.sqlite")
    delete(registry, A, if_revision=1)
    put(registry, C, b"1", if_revision=0)

    mirror = Mirror(registry, lambda _: None, kept)

    changes, position = mirror.changed_since(seen)
    assert [(change.key, change.value) for change in changes] == [(C, b"1"), (A, None)]
    assert position > seen
    mirror.close()
    kept.close()


def test_a_registry_that_comes_back_from_a_backup_is_compared_with_what_is_kept(tmp_path: Path) -> None:
    kept = kept_in(tmp_path)
    mirror = Mirror(registry := SqliteRegistry(tmp_path / "registry.sqlite"), lambda _: None, kept)
    for key in (A, B, C):
        last = put(registry, key, b"1", if_revision=0)
    mirror.catch_up(put(registry, B, b"2", if_revision=last - 1))
    seen = mirror.position
    mirror.close()
    registry = SqliteRegistry(tmp_path / "backup.sqlite")
    for key in (A, B):
        put(registry, key, b"1", if_revision=0)

    mirror = Mirror(registry, lambda _: None, kept)

    assert mirror.entries(PREFIX) == registry.entries(PREFIX)[0]
    changes, position = mirror.changed_since(seen)
    assert [(change.key, change.value) for change in changes if change.key != A] == [(B, b"1"), (C, None)]
    assert position > seen
    assert copied(kept)[:2] == ({entry.key: entry for entry in mirror.entries(PREFIX)}, mirror.revision)
    mirror.catch_up(put(registry, C, b"3", if_revision=0))
    changes, _ = mirror.changed_since(position)
    assert [(change.key, change.value) for change in changes] == [(C, b"3")]
    mirror.close()
    kept.close()


def test_who_names_a_position_that_was_never_reached_is_told_of_all(registry: SqliteRegistry, mirror: Mirror) -> None:
    put(registry, A, b"1", if_revision=0)
    mirror.catch_up(put(registry, B, b"1", if_revision=0))

    changes, position = mirror.changed_since(1_000_000)

    assert [change.key for change in changes] == [A, B]
    assert mirror.changed_since(position) == ([], position)


def test_who_is_far_behind_is_told_of_all_that_there_is(registry: SqliteRegistry, mirror: Mirror) -> None:
    first = put(registry, A, b"1", if_revision=0)
    put(registry, B, b"1", if_revision=0)
    keys = [f"{PREFIX}tools/{number:02}" for number in range(100)]
    revisions = [0] * 100
    for _ in range(101):  # more changes than are remembered
        last = registry.write(*(Edit(key, b"", revision) for key, revision in zip(keys, revisions, strict=True)))
        revisions = [last - 99 + i for i in range(100)]
    mirror.catch_up(last)

    assert {change.key for change in mirror.changed_since(first)[0]} == {B, *keys}
    assert {change.key for change in mirror.changed_since(0)[0]} == {A, B, *keys}
    assert [change.key for change in mirror.changed_since(last - 1)[0]] == [keys[-1]]


def test_a_registry_behind_a_slow_line_is_listed_all_the_same(etcd: EtcdCluster) -> None:
    etcd.empty()
    direct = EtcdRegistry(EtcdClient(etcd.endpoints))
    for n in range(0, 600, 100):
        direct.write(*[Edit(f"{PREFIX}tools/{i:03}", bytes(1000), 0) for i in range(n, n + 100)])
    with Way(etcd.ports[0][0], rate=200_000) as way:
        mirror = Mirror(EtcdRegistry(EtcdClient([way.endpoint])), lambda _: None)
        try:
            eventually(mirror.in_touch)
            assert mirror.entries(PREFIX) == direct.entries(PREFIX)[0]
        finally:
            mirror.close()
    direct.close()


def test_who_changed_something_reads_it_back_also_while_the_watch_looks_for_a_member_that_answers(
    own_etcd: Callable[..., EtcdCluster],
) -> None:
    etcd = own_etcd()
    writer = EtcdRegistry(EtcdClient(etcd.endpoints[1:]))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cut_off = f"127.0.0.1:{silent.getsockname()[1]}"
        endpoints = [etcd.endpoint(0), cut_off, cut_off, *etcd.endpoints[1:]]
        mirror = Mirror(EtcdRegistry(EtcdClient(endpoints)), lambda _: None)
        try:
            etcd.pause(0)
            mirror.catch_up(put(writer, A, b"1", if_revision=0))
            assert mirror.entries(PREFIX) == writer.entries(PREFIX)[0]
        finally:
            writer.close()
            mirror.close()


def test_a_mistake_of_who_is_told_does_not_end_the_following(registry: SqliteRegistry) -> None:
    told: list[str] = []

    def mistaken(change: Change) -> None:
        told.append(change.key)
        if change.key == A:
            raise ValueError("a mistake")

    mirror = Mirror(registry, mistaken)
    put(registry, A, b"1", if_revision=0)
    eventually(lambda: told == [A])

    put(registry, B, b"1", if_revision=0)

    eventually(lambda: told == [A, B])
    assert [entry.key for entry in mirror.entries(PREFIX)] == [A, B]


def test_a_full_disk_stops_no_mirror_and_the_copy_is_whole_when_there_is_room(
    registry: SqliteRegistry, tmp_path: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "disk", 4)
    kept = kept_in(tmp_path / "disk")
    mirror = Mirror(registry, lambda _: None, kept)
    ballast = fill(tmp_path / "disk")
    for key in (A, B):
        last = put(registry, key, bytes(500_000), if_revision=0)
    mirror.catch_up(last)
    assert len(mirror.entries(PREFIX)) == 2
    assert mirror.in_touch()

    ballast.unlink()

    eventually(lambda: [*copied(kept).entries] == [A, B])
    mirror.close()
    kept.close()
