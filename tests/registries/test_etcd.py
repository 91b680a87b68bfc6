"""What etcd's registry does when members fail. What it does when they do not is in test_contract.py."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cutting import Way
from keys import delete, put
from mao.errors import RegistryUnavailable, StaleRevision
from mao.etcd import members
from mao.etcd.client import EtcdClient
from mao.mirror import PREFIX, Mirror
from mao.registries.etcd import EtcdRegistry
from mao.registry import SMALLEST_LEASE, Change, Edit
from support import PATIENCE, eventually
from watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from mao.registry import Registry
    from support import ServedNode

    Connect = Callable[[Sequence[str]], EtcdRegistry]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open registries at such endpoints; the first one is asked, and watched, as long as it is there."""
    opened: list[EtcdRegistry] = []

    def at(endpoints: Sequence[str]) -> EtcdRegistry:
        opened.append(EtcdRegistry(EtcdClient(endpoints)))
        return opened[-1]

    yield at
    for registry in opened:
        registry.close()


def from_member(cluster: EtcdCluster, first: int) -> list[str]:
    """The endpoints, beginning with that of one member."""
    return cluster.endpoints[first:] + cluster.endpoints[:first]


def put_many(registry: Registry, prefix: str, count: int = 20) -> list[Change]:
    """Keys put one after the other, as a watch is to tell of them."""
    found = []
    for number in range(count):
        key = f"{prefix}{number:03}"
        found.append(Change(key, b"", put(registry, key, b"", if_revision=0)))
    return found


def without_bars(changes: list[Change]) -> list[Change]:
    """Without what the registry keeps for itself after answers were lost."""
    return [change for change in changes if not change.key.startswith("/mao/bars/")]


def test_when_the_leader_is_killed_writes_and_watches_go_on(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    leader = cluster.leader()
    registry = connect(from_member(cluster, leader))
    watcher = Watcher(registry, "/", registry.entries("")[1])
    made = put_many(registry, "/before/")
    watcher.until(made[-1].revision)
    cluster.kill(leader)
    made += put_many(registry, "/after/")
    assert without_bars(watcher.until(made[-1].revision)) == made
    cluster.restart(leader)
    made += put_many(registry, "/again/")
    assert without_bars(watcher.until(made[-1].revision)) == made


def test_a_watch_whose_member_is_killed_goes_on_with_another_one(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    follower = (cluster.leader() + 1) % 3
    watcher = Watcher(connect(from_member(cluster, follower)), "/", 1)
    others = connect([endpoint for endpoint in cluster.endpoints if endpoint != cluster.endpoint(follower)])
    made = put_many(others, "/before/")
    watcher.until(made[-1].revision)
    cluster.kill(follower)
    made += put_many(others, "/after/")
    assert without_bars(watcher.until(made[-1].revision)) == made


def test_a_watch_whose_member_stands_still_goes_on_with_another_one(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    for stopped in (cluster.leader(), (cluster.leader() + 1) % 3):
        registry = connect(from_member(cluster, stopped))
        watcher = Watcher(registry, "/", registry.entries("")[1])
        made = put_many(registry, f"/before/{stopped}/")
        watcher.until(made[-1].revision)
        cluster.pause(stopped)
        made += put_many(registry, f"/after/{stopped}/")
        assert without_bars(watcher.until(made[-1].revision)) == made
        cluster.resume(stopped)
        made += put_many(registry, f"/again/{stopped}/")
        assert without_bars(watcher.until(made[-1].revision)) == made


def test_without_most_members_nothing_is_said_or_done_and_all_goes_on_when_they_are_back(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    registry = connect(cluster.endpoints)
    watcher = Watcher(registry, "/", 1)
    made = put_many(registry, "/before/")
    watcher.until(made[-1].revision)
    cluster.kill(1, 2)
    eventually(lambda: members.status(registry._client, cluster.endpoint(0)).leader == 0, "it has lost its leader")
    with pytest.raises(RegistryUnavailable) as refusal:
        put(registry, "/after/000", b"lost", if_revision=0)
    for endpoint in cluster.endpoints:
        assert endpoint in refusal.value.detail
    assert "too few members reach each other" in refusal.value.detail
    assert refusal.value.detail.endswith("Nothing was changed.")
    told = watcher.told
    with pytest.raises(RegistryUnavailable, match="nothing listens there"):
        registry.get("/before/000")
    assert watcher.told == told
    cluster.restart(1, 2)
    made += put_many(registry, "/after/")
    assert without_bars(watcher.until(made[-1].revision)) == made


def test_a_watch_says_when_it_is_behind_what_was_compacted(etcd: EtcdCluster, connect: Connect) -> None:
    etcd.empty()
    registry = connect(etcd.endpoints)
    made = put_many(registry, "/")
    gone = delete(registry, made[-1].key, if_revision=made[-1].revision)
    members.compact(registry._client, gone)
    for behind in (1, made[7].revision, made[-1].revision):
        with pytest.raises(StaleRevision, match=f"revision {behind} are no longer kept"):
            next(registry.watch("/", after=behind))
    again = put_many(registry, "/again/")
    assert next(registry.watch("/", after=gone)).changes == tuple(again)


def test_a_mirror_misses_nothing_of_what_was_compacted_while_its_member_was_away(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    others = connect(cluster.endpoints[1:])
    gone = put(others, PREFIX + "gone", b"", if_revision=0)
    changed = put(others, PREFIX + "changed", b"1", if_revision=0)
    told: list[Change] = []
    mirror = Mirror(connect(cluster.endpoints[:1]), told.append)
    assert len(mirror.entries(PREFIX)) == 2
    cluster.kill(0)
    gone = delete(others, PREFIX + "gone", if_revision=gone)
    changed = put(others, PREFIX + "changed", b"2", if_revision=changed)
    made = put_many(others, PREFIX + "new/")
    members.compact(others._client, made[9].revision)
    cluster.restart(0)
    last = put(others, PREFIX + "last", b"", if_revision=0)
    eventually(lambda: mirror.revision >= last, "the mirror has caught up")
    assert mirror.entries(PREFIX) == others.entries(PREFIX)[0]
    assert [(change.key, change.value) for change in told] == sorted(
        [
            (PREFIX + "gone", None),
            (PREFIX + "changed", b"2"),
            *((change.key, change.value) for change in made),
            (PREFIX + "last", b""),
        ],
        key=lambda pair: [change.key for change in told].index(pair[0]),
    )


@pytest.mark.parametrize("token", ["", "another-one"])
def test_a_registry_that_came_back_from_a_backup_is_listed_anew(
    own_etcd: Callable[..., EtcdCluster], connect: Connect, token: str
) -> None:
    cluster = own_etcd(size=1)
    registry = connect(cluster.endpoints)
    kept = put_many(registry, PREFIX + "kept/")
    backup = cluster.directory / "backup.db"
    cluster.etcdctl("snapshot", "save", str(backup))
    lost = put_many(registry, PREFIX + "lost/")
    mirror = Mirror(registry, lambda _: None)
    watch = registry.watch(PREFIX, after=lost[-1].revision)
    next(watch)
    cluster.kill(0)
    cluster.come_back(0, backup, token)
    more = put_many(registry, PREFIX + "more/", 5 if not token else 50)
    with pytest.raises(StaleRevision, match="set back" if not token else "replaced by another one"):
        for _ in watch:
            pass
    eventually(lambda: mirror.get(more[-1].key), "the mirror has been listed anew")
    assert [entry.key for entry in mirror.entries(PREFIX)] == [change.key for change in (*kept, *more)]


def test_a_lease_lives_as_long_as_it_is_renewed_and_no_longer_whoever_leads(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    registry = connect(cluster.endpoints)
    watcher = Watcher(registry, "/", 1)
    lease = registry.grant(SMALLEST_LEASE)
    kept = put(registry, "/node", b"", if_revision=0, lease=lease)
    cluster.kill(cluster.leader())
    for _ in range(20):
        assert registry.renew(lease)
    assert registry.get("/node") is not None
    eventually(lambda: registry.get("/node") is None, "the lease is over")
    gone = registry.entries("/")[1]
    assert watcher.until(gone) == [Change("/node", b"", kept), Change("/node", None, gone)]
    assert not registry.renew(lease)


def test_a_write_whose_answer_was_lost_is_looked_at_again_and_counts_once(etcd: EtcdCluster, connect: Connect) -> None:
    etcd.empty()
    others = connect(etcd.endpoints)
    watcher = Watcher(others, "/", others.entries("")[1])
    revision = 0
    for value in (b"first", b"second", None):
        with Way(etcd.ports[0][0]) as way:
            registry = connect([way.endpoint, *etcd.endpoints])
            registry.get("/a")
            way.cut.set()
            made = registry.write(Edit("/a", value, revision))
            present = others.get("/a")
            assert (present and (present.value, present.revision)) == (value and (value, made))
            revision = made
    assert [change.value for change in without_bars(watcher.until(revision))] == [b"first", b"second", None]


def test_what_a_member_was_sent_before_it_stood_still_is_not_made_after_its_key_was_deleted(
    own_etcd: Callable[..., EtcdCluster], connect: Connect
) -> None:
    cluster = own_etcd()
    leader = cluster.leader()
    others = [i for i in range(3) if i != leader]
    registry = connect([cluster.endpoint(i) for i in (leader, *others)])
    registry.get("/0")
    cluster.pause(leader)

    def make(number: int) -> None:
        delete(registry, f"/{number}", if_revision=put(registry, f"/{number}", b"", if_revision=0))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(make, range(32)))
    cluster.resume(leader)
    eventually(lambda: int(cluster.status(leader)["raftAppliedIndex"]) >= int(cluster.status(others[0])["raftIndex"]))

    after = connect([cluster.endpoint(leader)])  # what is asked there now comes after what it was sent before
    put(after, "/last", b"", if_revision=0)
    assert [entry.key for entry in after.entries("/")[0] if not entry.key.startswith("/mao/bars/")] == ["/last"]


def test_a_write_that_lost_its_race_and_an_answer_does_not_count(etcd: EtcdCluster, connect: Connect) -> None:
    etcd.empty()
    others = connect(etcd.endpoints)
    first = put(others, "/a", b"theirs", if_revision=0)
    put(others, "/a", b"theirs too", if_revision=first)
    for known in (0, first):
        with Way(etcd.ports[0][0]) as way:
            registry = connect([way.endpoint, *etcd.endpoints])
            registry.get("/a")
            way.cut.set()
            with pytest.raises(StaleRevision, match="'/a' has changed"):
                put(registry, "/a", b"ours", if_revision=known)


def test_a_write_of_which_it_cannot_be_known_says_so(etcd: EtcdCluster, connect: Connect) -> None:
    etcd.empty()
    with Way(etcd.ports[0][0]) as way:
        registry = connect([way.endpoint])
        registry.get("/a")
        way.cut.set()
        with pytest.raises(RegistryUnavailable, match=r"not known whether '/a', '/b' was written"):
            registry.write(Edit("/a", b"", 0), Edit("/b", b"", 0))
    assert [entry.key for entry in connect(etcd.endpoints).entries("/")[0]] == ["/a", "/b"]


class Writer(threading.Thread):
    """Counts up a key of its own and one that all count up, until told to stop; remembers what was acknowledged."""

    def __init__(self, registry: EtcdRegistry, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._registry, self._name, self._stop_now = registry, name, stop
        self.acknowledged: dict[int, bytes] = {}
        self.in_doubt: set[bytes] = set()
        self.start()

    def run(self) -> None:
        turn = 0
        while not self._stop_now.is_set():
            turn += 1
            for key in ("/own/" + self._name, "/shared"):
                value = f"{self._name} {key} {turn}".encode()
                try:
                    present = self._registry.get(key)
                    revision = put(self._registry, key, value, if_revision=present.revision if present else 0)
                except StaleRevision:
                    continue
                except RegistryUnavailable as error:
                    if "not known" in error.detail:
                        self.in_doubt.add(value)
                    continue
                self.acknowledged[revision] = value


@pytest.mark.parametrize("seed", range(2))
def test_of_what_many_write_while_members_die_nothing_is_lost_or_doubled(
    own_etcd: Callable[..., EtcdCluster], connect: Connect, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  # not a secret
    cluster = own_etcd()
    watchers = [Watcher(connect(from_member(cluster, first)), "/", 1) for first in range(3)]
    stop = threading.Event()
    writers = [Writer(connect(from_member(cluster, n % 3)), f"w{n}", stop) for n in range(5)]
    for _ in range(5):
        harmed = chance.randrange(3)
        acknowledged = [len(writer.acknowledged) for writer in writers]
        if chance.random() < 0.4:
            cluster.pause(harmed)
            _all_go_on(writers, acknowledged)
            cluster.resume(harmed)
        else:
            cluster.kill(harmed)
            _all_go_on(writers, acknowledged)
            cluster.restart(harmed)
    stop.set()
    for writer in writers:
        writer.join(PATIENCE)
        assert not writer.is_alive()
    registry = connect(cluster.endpoints)
    last = put(registry, "/last", b"last", if_revision=0)
    told = [watcher.until(last) for watcher in watchers]
    history = {change.revision: change.value for change in told[0]}
    assert told == [told[0]] * 3
    assert list(history) == list(range(2, last + 1))  # each revision, once
    assert len(set(history.values())) == len(history)  # each value, once
    acknowledged_values = {r: v for writer in writers for r, v in writer.acknowledged.items()}
    assert acknowledged_values.items() <= history.items()
    doubted = {value for writer in writers for value in writer.in_doubt}
    written = {change.value for change in without_bars(told[0])}
    assert written - set(acknowledged_values.values()) - {b"last"} <= doubted


def _all_go_on(writers: list[Writer], before: list[int]) -> None:
    eventually(
        lambda: all(len(w.acknowledged) > count + 5 for w, count in zip(writers, before, strict=True)),
        "all writers go on",
    )


def test_nodes_with_the_same_etcd_share_their_tools(
    etcd: EtcdCluster, serve: Callable[..., ServedNode], tool: Path
) -> None:
    etcd.empty()
    one, other = (serve(name, MAO_REGISTRY__URL=etcd.url) for name in ("alpha", "beta"))
    one.api("POST", "/tools", {"url": str(tool)})
    found = eventually(lambda: other.api("GET", "/tools")["items"], "the tool is known everywhere")
    assert [(known["name"], known["registered_by"]) for known in found] == [("probe", "alpha")]


def test_who_has_chosen_no_etcd_loads_neither_grpc_nor_what_certificates_need() -> None:
    program = "import sys, mao.cli, mao.web.server; sys.exit(bool({'grpc', 'cryptography'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], check=True)
