from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

import forking
from etcd_cluster import EtcdCluster, need_etcd
from mao import config
from mao.local_node import LocalNode, opened
from support import ServedNode, bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from members import Clock, Member


# How quick a machine is, is not what tests are about.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("long", hypothesis.settings.get_profile("unhurried"), max_examples=1_500)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each worker of pytest-xdist begin with its share of the longest tests: it is given a row of equal length."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    left, ordered = len(items), list[pytest.Item]()
    for worker in range(workers):
        share = long[worker::workers]
        row = left // (workers - worker)
        ordered += [*share, *islice(others, row - len(share))]
        left -= row
    items[:] = ordered


@pytest.fixture(scope="session", autouse=True)
def _forking() -> Iterator[None]:
    yield
    forking.close()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty remote for a dataset."""
    return bare(tmp_path / "remotes" / "data.git")


@pytest.fixture
def tool(tmp_path: Path, remote: Path) -> Path:
    """A repository with a tool `probe` whose command `Write` writes a file that is published to `remote`."""
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote))
    return repository


def settings(home: Path, **more: str) -> config.Config:
    """The settings of a node for tests: quick to try again, and nothing of this machine's own."""
    flags = {"node.home": str(home), "node.name": "alpha", "publishing.first_pause": "0.1", "runs.executor": "process"}
    return config.load({"HOME": str(home.parent)}, flags | more)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LocalNode]:
    """A node that is open in this process; nothing advances by itself."""
    with opened(settings(tmp_path / "home")) as opened_node:
        yield opened_node


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServedNode]]:
    """Make nodes that serve in processes of their own: `serve("alpha", MAO_RUNS__LIMIT="2")`."""
    made: list[ServedNode] = []

    def serve_node(name: str = "alpha", *, start: bool = True, fresh: bool = False, **more: str) -> ServedNode:
        made.append(ServedNode(tmp_path / f"home-{name}", name, more, fresh=fresh))
        return made[-1].start() if start else made[-1]

    yield serve_node
    for node in made:
        node.stop()


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], None]]:
    """Make a directory a disk of so many MB, that can be filled."""
    mounted: list[Path] = []

    def mount(path: Path, megabytes: int) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can mount a small disk: what a full disk does is NOT tested here")
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True)
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members of etcd that many tests share; each begins with `empty`, and harms no member."""
    need_etcd()
    calm = ("--heartbeat-interval=200", "--election-timeout=1000")  # nobody waits for an election of these
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"), flags=calm).start()
    yield cluster
    cluster.stop()


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Callable[..., EtcdCluster]]:
    """Start members of etcd for one test, which may do with them what it likes: `own_etcd(size=1)`."""
    need_etcd()
    made: list[EtcdCluster] = []

    def start(name: str = "etcd", **more: Any) -> EtcdCluster:
        made.append(EtcdCluster(tmp_path / name, **more))
        return made[-1].start()

    yield start
    for cluster in made:
        cluster.stop()


@pytest.fixture
def clock() -> Clock:
    """What time it is on nodes that are open in this process."""
    from members import Clock  # noqa: PLC0415  # it needs `settings`

    return Clock()


@pytest.fixture
def join(tmp_path: Path, etcd: EtcdCluster, clock: Clock) -> Iterator[Callable[..., Member]]:
    """Have a node in the cluster, open in this process: `join("alpha", cluster__slot_limit="10")`."""
    from members import member  # noqa: PLC0415  # as above

    etcd.empty()
    with ExitStack() as closing:
        yield lambda name, **more: closing.enter_context(member(tmp_path / name, etcd, clock, **more))
