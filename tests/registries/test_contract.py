"""What every registry does. A new one gets its line in `REGISTRIES`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from mao.errors import StaleRevision
from mao.registries.sqlite import SqliteRegistry
from mao.registry import Change, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mao.registry import Registry

REGISTRIES: dict[str, Callable[[Path], Registry]] = {
    "sqlite": lambda directory: SqliteRegistry(directory / "registry.sqlite"),
}
PATIENCE = 60.0


@pytest.fixture(params=REGISTRIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    opened = REGISTRIES[request.param](tmp_path)
    yield opened
    opened.close()


class Watcher(threading.Thread):
    """Collects what a watch tells."""

    def __init__(self, registry: Registry, prefix: str, after: int) -> None:
        super().__init__(daemon=True)
        self.seen: list[Change] = []
        self._arrived = threading.Condition()
        self._watch = registry.watch(prefix, after=after)
        self.start()

    def run(self) -> None:
        for change in self._watch:
            with self._arrived:
                self.seen.append(change)
                self._arrived.notify_all()

    def until(self, revision: int) -> list[Change]:
        """What has been seen when the change of `revision` has."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: any(c.revision == revision for c in self.seen), PATIENCE)
            return list(self.seen)


def test_a_key_holds_what_was_put(registry: Registry) -> None:
    assert registry.get("/a") is None
    revision = registry.put("/a", b"\x00\xff one", if_revision=0)
    assert registry.get("/a") == Entry("/a", b"\x00\xff one", revision)
    assert registry.get("/A") is None
    again = registry.put("/a", b"", if_revision=revision)
    assert again > revision
    assert registry.get("/a") == Entry("/a", b"", again)


def test_a_key_is_gone_when_deleted_and_can_be_put_again(registry: Registry) -> None:
    first = registry.put("/a", b"1", if_revision=0)
    deleted = registry.delete("/a", if_revision=first)
    assert deleted > first
    assert registry.get("/a") is None
    assert registry.put("/a", b"2", if_revision=0) > deleted


def test_revisions_count_the_changes_of_all_keys(registry: Registry) -> None:
    revisions = [registry.put(f"/{key}", b"", if_revision=0) for key in "abc"]
    revisions.append(registry.delete("/b", if_revision=revisions[1]))
    revisions.append(registry.put("/a", b"", if_revision=revisions[0]))
    assert revisions == sorted(set(revisions))
    assert registry.entries("/")[1] == revisions[-1]


def test_only_who_knows_the_present_revision_can_change_a_key(registry: Registry) -> None:
    first = registry.put("/a", b"1", if_revision=0)
    second = registry.put("/a", b"2", if_revision=first)
    for stale in (0, first, second + 1):
        with pytest.raises(StaleRevision, match="'/a'"):
            registry.put("/a", b"3", if_revision=stale)
        with pytest.raises(StaleRevision, match="'/a'"):
            registry.delete("/a", if_revision=stale)
    with pytest.raises(StaleRevision):
        registry.put("/absent", b"", if_revision=second)
    for revision in (0, second):
        with pytest.raises(StaleRevision):
            registry.delete("/absent", if_revision=revision)
    assert registry.entries("") == ([Entry("/a", b"2", second)], second)


def test_entries_come_in_pages_in_the_order_of_their_keys(registry: Registry) -> None:
    keys = ["/t/a", "/t/a-b", "/t/a.b", "/t/ab", "/t/b", "/t/\u00e9", "/t/\uffff", "/t/\U0001f600"]
    for key in reversed(keys):
        registry.put(key, key.encode(), if_revision=0)
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
        registry.put(key, b"", if_revision=0)
    assert [entry.key for entry in registry.entries("/t/")[0]] == ["/t/", "/t/a"]
    assert [entry.key for entry in registry.entries("/t")[0]] == ["/t", "/t/", "/t/a", "/t0"]
    assert registry.entries("/t/", after="/u")[0] == []
    assert [entry.key for entry in registry.entries("/t/", after="/a")[0]] == ["/t/", "/t/a"]
    assert registry.entries("/nothing/")[0] == []


def test_a_watch_tells_every_change_once_and_in_order(registry: Registry) -> None:
    watcher = Watcher(registry, "/t/", 0)
    one = registry.put("/t/a", b"1", if_revision=0)
    registry.put("/other", b"", if_revision=0)
    two = registry.put("/t/a", b"2", if_revision=one)
    gone = registry.delete("/t/a", if_revision=two)
    back = registry.put("/t/a", b"3", if_revision=0)
    assert watcher.until(back) == [
        Change("/t/a", b"1", one),
        Change("/t/a", b"2", two),
        Change("/t/a", None, gone),
        Change("/t/a", b"3", back),
    ]


def test_a_watch_begins_after_the_revision_that_it_is_given(registry: Registry) -> None:
    revisions = [registry.put(f"/t/{number}", b"", if_revision=0) for number in range(5)]
    for begin, revision in enumerate([0, *revisions[:-1]]):
        seen = Watcher(registry, "/t/", revision).until(revisions[-1])
        assert [change.revision for change in seen] == revisions[begin:]


def test_a_list_and_a_watch_from_it_leave_no_gap(registry: Registry) -> None:
    writer = threading.Thread(target=lambda: [registry.put(f"/t/{n:04}", b"", if_revision=0) for n in range(300)])
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


def test_what_many_watch_is_told_to_all(registry: Registry) -> None:
    watchers = [Watcher(registry, "/t/", 0) for _ in range(8)]
    last = [registry.put(f"/t/{number}", b"", if_revision=0) for number in range(50)][-1]
    assert [len(watcher.until(last)) for watcher in watchers] == [50] * 8


def test_a_watch_ends_when_the_registry_is_closed(registry: Registry) -> None:
    watchers = [Watcher(registry, "/t/", 0) for _ in range(3)]
    last = registry.put("/t/a", b"", if_revision=0)
    watchers[0].until(last)
    registry.close()
    for watcher in watchers:
        watcher.join(PATIENCE)
        assert not watcher.is_alive()


def test_of_those_who_change_a_key_at_once_exactly_one_wins(registry: Registry) -> None:
    writers, rounds = 4, 200
    start = threading.Barrier(writers)
    wins: list[tuple[int, int]] = []

    def compete(writer: int) -> None:
        for turn in range(rounds):
            present = registry.get("/race")
            known = present.revision if present else 0
            start.wait(PATIENCE)
            try:
                registry.put("/race", b"%d" % writer, if_revision=known)
                wins.append((turn, writer))
            except StaleRevision:
                pass
            start.wait(PATIENCE)

    watcher = Watcher(registry, "/race", 0)
    threads = [threading.Thread(target=compete, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [turn for turn, _ in wins] == list(range(rounds))
    last = registry.get("/race")
    assert last is not None
    assert [change.value for change in watcher.until(last.revision)] == [b"%d" % writer for _, writer in wins]
