"""What every registry does. A new one gets its line in `REGISTRIES`.

etcd's has a past: its revisions do not begin with 0 here, and each test begins where it stands.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from keys import delete, put
from mao.errors import StaleRevision, ValueTooLarge
from mao.etcd.client import EtcdClient
from mao.registries.etcd import EtcdRegistry
from mao.registries.sqlite import SqliteRegistry
from mao.registry import LARGEST_WRITE, SMALLEST_LEASE, Change, Edit, Entry, Progress
from support import PATIENCE
from watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from mao.registry import Registry


def _sqlite(request: pytest.FixtureRequest) -> Registry:
    directory: Path = request.getfixturevalue("tmp_path")
    return SqliteRegistry(directory / "registry.sqlite")


def _etcd(request: pytest.FixtureRequest) -> Registry:
    cluster: EtcdCluster = request.getfixturevalue("etcd")
    cluster.empty()
    return EtcdRegistry(EtcdClient(cluster.endpoints))


REGISTRIES: dict[str, Callable[[pytest.FixtureRequest], Registry]] = {"etcd": _etcd, "sqlite": _sqlite}


@pytest.fixture(params=REGISTRIES)
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    opened = REGISTRIES[request.param](request)
    yield opened
    opened.close()


@pytest.fixture
def begin(registry: Registry) -> int:
    """The revision at which the test begins, with no keys."""
    entries, revision = registry.entries("")
    assert entries == []
    return revision


def test_a_key_holds_what_was_put(registry: Registry) -> None:
    assert registry.get("/a") is None
    revision = put(registry, "/a", b"\x00\xff one", if_revision=0)
    assert registry.get("/a") == Entry("/a", b"\x00\xff one", revision)
    assert registry.get("/A") is None
    again = put(registry, "/a", b"", if_revision=revision)
    assert again > revision
    assert registry.get("/a") == Entry("/a", b"", again)


def test_a_key_is_gone_when_deleted_and_can_be_put_again(registry: Registry) -> None:
    first = put(registry, "/a", b"1", if_revision=0)
    deleted = delete(registry, "/a", if_revision=first)
    assert deleted > first
    assert registry.get("/a") is None
    assert put(registry, "/a", b"2", if_revision=0) > deleted


def test_revisions_count_the_changes_of_all_keys(registry: Registry) -> None:
    revisions = [put(registry, f"/{key}", b"", if_revision=0) for key in "abc"]
    revisions.append(delete(registry, "/b", if_revision=revisions[1]))
    revisions.append(put(registry, "/a", b"", if_revision=revisions[0]))
    assert revisions == sorted(set(revisions))
    assert registry.entries("/")[1] == revisions[-1]


def test_only_who_knows_the_present_revision_can_change_a_key(registry: Registry) -> None:
    first = put(registry, "/a", b"1", if_revision=0)
    second = put(registry, "/a", b"2", if_revision=first)
    for stale in (0, first, second + 1):
        with pytest.raises(StaleRevision, match="'/a'"):
            put(registry, "/a", b"3", if_revision=stale)
        with pytest.raises(StaleRevision, match="'/a'"):
            delete(registry, "/a", if_revision=stale)
    with pytest.raises(StaleRevision):
        put(registry, "/absent", b"", if_revision=second)
    for revision in (0, second):
        with pytest.raises(StaleRevision):
            delete(registry, "/absent", if_revision=revision)
    assert registry.entries("") == ([Entry("/a", b"2", second)], second)


def test_entries_come_in_pages_in_the_order_of_their_keys(registry: Registry) -> None:
    keys = ["/t/a", "/t/a-b", "/t/a.b", "/t/ab", "/t/b", "/t/\u00e9", "/t/\uffff", "/t/\U0001f600"]
    for key in reversed(keys):
        put(registry, key, key.encode(), if_revision=0)
    for limit in (1, 3, 8, 1000):
        found: list[Entry] = []
        after = ""
        while page := registry.entries("/t/", after=after, limit=limit)[0]:
            assert len(page) <= limit
            found += page
            after = page[-1].key
        assert [entry.key for entry in found] == keys == sorted(keys)
        assert [entry.value for entry in found] == [key.encode() for key in keys]


def test_a_prefix_ends_where_it_ends(registry: Registry) -> None:
    for key in ("/t", "/t/", "/t/a", "/t0", "/s/z", "/u", "/T/a"):
        put(registry, key, b"", if_revision=0)
    assert [entry.key for entry in registry.entries("/t/")[0]] == ["/t/", "/t/a"]
    assert [entry.key for entry in registry.entries("/t")[0]] == ["/t", "/t/", "/t/a", "/t0"]
    assert registry.entries("/t/", after="/u")[0] == []
    assert [entry.key for entry in registry.entries("/t/", after="/a")[0]] == ["/t/", "/t/a"]
    assert registry.entries("/nothing/")[0] == []


def test_a_watch_tells_every_change_once_and_in_order(registry: Registry, begin: int) -> None:
    watcher = Watcher(registry, "/t/", begin)
    one = put(registry, "/t/a", b"1", if_revision=0)
    put(registry, "/other", b"", if_revision=0)
    two = put(registry, "/t/a", b"2", if_revision=one)
    gone = delete(registry, "/t/a", if_revision=two)
    back = put(registry, "/t/a", b"3", if_revision=0)
    assert watcher.until(back) == [
        Change("/t/a", b"1", one),
        Change("/t/a", b"2", two),
        Change("/t/a", None, gone),
        Change("/t/a", b"3", back),
    ]


def test_a_watch_begins_after_the_revision_that_it_is_given(registry: Registry, begin: int) -> None:
    revisions = [put(registry, f"/t/{number}", b"", if_revision=0) for number in range(5)]
    for known, revision in enumerate([begin, *revisions[:-1]]):
        seen = Watcher(registry, "/t/", revision).until(revisions[-1])
        assert [change.revision for change in seen] == revisions[known:]


def test_a_list_and_a_watch_from_it_leave_no_gap(registry: Registry) -> None:
    writer = threading.Thread(target=lambda: [put(registry, f"/t/{n:04}", b"", if_revision=0) for n in range(300)])
    writer.start()
    watchers = []
    while writer.is_alive():
        entries, revision = registry.entries("/t/")
        watchers.append((entries, Watcher(registry, "/t/", revision)))
        if len(watchers) == 5:
            break
    writer.join()
    last = registry.entries("/t/")[1]
    late, revision = registry.entries("/t/")
    for listed, watcher in watchers:
        seen = watcher.until(last) if len(listed) < 300 else []
        assert [e.key for e in listed] + [c.key for c in seen] == [f"/t/{n:04}" for n in range(300)]
    assert (len(late), revision) == (300, last)


def test_what_many_watch_is_told_to_all(registry: Registry, begin: int) -> None:
    watchers = [Watcher(registry, "/t/", begin) for _ in range(8)]
    last = [put(registry, f"/t/{number}", b"", if_revision=0) for number in range(50)][-1]
    assert [len(watcher.until(last)) for watcher in watchers] == [50] * 8


def test_a_watch_ends_when_the_registry_is_closed(registry: Registry, begin: int) -> None:
    watchers = [Watcher(registry, "/t/", begin) for _ in range(3)]
    last = put(registry, "/t/a", b"", if_revision=0)
    watchers[0].until(last)
    registry.close()
    for watcher in watchers:
        watcher.join(PATIENCE)
        assert not watcher.is_alive()


def test_of_those_who_change_a_key_at_once_exactly_one_wins(registry: Registry, begin: int) -> None:
    writers, rounds = 4, 200
    start = threading.Barrier(writers)
    wins: list[tuple[int, int]] = []

    def compete(writer: int) -> None:
        for turn in range(rounds):
            present = registry.get("/race")
            known = present.revision if present else 0
            start.wait(PATIENCE)
            try:
                put(registry, "/race", b"%d" % writer, if_revision=known)
                wins.append((turn, writer))
            except StaleRevision:
                pass
            start.wait(PATIENCE)

    watcher = Watcher(registry, "/race", begin)
    threads = [threading.Thread(target=compete, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [turn for turn, _ in wins] == list(range(rounds))
    last = registry.get("/race")
    assert last is not None
    assert [change.value for change in watcher.until(last.revision)] == [b"%d" % writer for _, writer in wins]


def test_several_keys_are_changed_together_or_not_at_all(registry: Registry) -> None:
    first = put(registry, "/a", b"1", if_revision=0)
    last = registry.write(Edit("/a", b"2", first), Edit("/b", b"2", 0))
    assert [entry.value for entry in registry.entries("/")[0]] == [b"2", b"2"]
    assert registry.entries("/")[1] == last
    for edits in ((Edit("/c", b"", 0), Edit("/a", b"3", first)), (Edit("/c", b"", 0), Edit("/absent", None, 0))):
        with pytest.raises(StaleRevision, match=f"'{edits[1].key}'"):
            registry.write(*edits)
    assert registry.get("/c") is None
    assert registry.entries("/")[1] == last


def test_a_value_past_the_limit_is_refused_with_the_limit_named(registry: Registry) -> None:
    put(registry, "/large", bytes(LARGEST_WRITE - 10), if_revision=0)
    with pytest.raises(ValueTooLarge, match=f"'/larger'.*{LARGEST_WRITE}"):
        put(registry, "/larger", bytes(LARGEST_WRITE), if_revision=0)
    with pytest.raises(ValueTooLarge, match=f"{LARGEST_WRITE}"):
        registry.write(Edit("/a", bytes(LARGEST_WRITE // 2), 0), Edit("/b", bytes(LARGEST_WRITE // 2), 0))
    assert [entry.key for entry in registry.entries("/")[0]] == ["/large"]


def test_a_watch_says_that_the_registry_is_in_touch_when_nothing_changes(registry: Registry) -> None:
    revision = put(registry, "/a", b"", if_revision=0)
    watch = registry.watch("/nothing/", after=revision)
    assert [next(watch) for _ in range(2)] == [Progress(revision)] * 2


def test_what_is_put_with_a_lease_goes_when_nobody_renews_it(registry: Registry, begin: int) -> None:
    renewed, left = registry.grant(SMALLEST_LEASE), registry.grant(SMALLEST_LEASE)
    watcher = Watcher(registry, "/n/", begin)
    kept = put(registry, "/n/kept", b"", if_revision=0, lease=renewed)
    put(registry, "/n/left", b"", if_revision=0, lease=left)
    deadline = time.monotonic() + PATIENCE
    while registry.get("/n/left") is not None:
        assert registry.renew(renewed)
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not registry.renew(left)
    assert registry.get("/n/kept") == Entry("/n/kept", b"", kept)
    gone = registry.entries("/n/")[1]
    assert [(change.key, change.value) for change in watcher.until(gone)][-1] == ("/n/left", None)
    with pytest.raises(StaleRevision, match="lease"):
        put(registry, "/n/left", b"", if_revision=0, lease=left)


def test_a_revoked_lease_takes_its_keys_with_it_and_no_others(registry: Registry) -> None:
    lease = registry.grant(60)
    first = put(registry, "/n/a", b"1", if_revision=0, lease=lease)
    freed = put(registry, "/n/a", b"2", if_revision=first)
    put(registry, "/n/b", b"", if_revision=0, lease=lease)
    registry.revoke(lease)
    registry.revoke(lease)
    assert not registry.renew(lease)
    assert registry.entries("/n/")[0] == [Entry("/n/a", b"2", freed)]
