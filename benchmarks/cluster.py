"""What a registry in etcd costs: lists, registering, the way of a change to another node, memory, start.

    python benchmarks/cluster.py [--only lists register visible memory] [--tools N ...] [--requests N] [--repeat N]

Three members of etcd on this machine, on one disk, with the first of `--tools`; for memory one member. Each tool has a
dataset of its own.

- lists: from a node's mirror, over the same bytes from a bare server, as in `benchmarks/server.py`. Goals: all names at
  most 5, a page of 50 at most 2.
- register: what registering a tool costs once its definition has been read, until this node has it back from the
  registry, over a put of as many bytes by the same client. Goal: at most 3. The whole, with git, is told beside it.
- visible: from the moment at which node A begins to register until node B's mirror has it, and until B's first page of
  50 shows it, by HTTP, over the time until `etcdctl watch` prints the key. The median of all ratios. Goal: at most 2.
- memory: of a node with each of `--tools`, less that of one without, and of etcd; the time from the start of the
  process until the node answers, which it does when it knows the registry: as it lists it, and with etcd away.

`benchmarks/leases.py` tells how many nodes one etcd carries.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

from etcd_cluster import ENVIRONMENT, EtcdCluster
from floors import Connection, Pairs, etcd_is_missing, goal, listed
from mao import agreeing, config, registering
from mao.catalogue import TOOLS, Tool, tool_key
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.client import EtcdClient
from mao.local_node import LocalNode, opened
from mao.registries.etcd import EtcdRegistry
from registrations import edits, fill, tool_called
from support import ServedNode, bare, commit, eventually, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.agreeing import Look
    from mao.registry import Edit

NAMES, PAGE, REGISTER, VISIBLE = 5, 2, 3, 2
WARM = 5


@contextmanager
def members(work: Path, size: int) -> Iterator[EtcdCluster]:
    cluster = EtcdCluster(work / f"etcd-{size}", size=size)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@contextmanager
def registry(cluster: EtcdCluster) -> Iterator[EtcdRegistry]:
    found = EtcdRegistry(EtcdClient(cluster.endpoints))
    yield found
    found.close()


@contextmanager
def node(work: Path, cluster: EtcdCluster, name: str) -> Iterator[LocalNode]:
    """A node that is open in this process."""
    flags = {"node.home": str(work / name), "node.name": name, "registry.url": cluster.url}
    with opened(config.load({"HOME": str(work)}, flags)) as found:
        yield found


def served(work: Path, cluster: EtcdCluster, name: str) -> ServedNode:
    return ServedNode(work / name, name, {"MAO_REGISTRY__URL": cluster.url}, fresh=True)


def resident(pid: int) -> float:
    """Megabytes."""
    return psutil.Process(pid).memory_info().rss / 1e6


def lists(work: Path, cluster: EtcdCluster, options: argparse.Namespace) -> None:
    one = served(work, cluster, "lists").start()
    names = listed(one, "/regtools", options.requests)
    page = listed(one, "/api/v1/tools?page_size=50", options.requests)
    one.stop()
    print(f"names of {options.tools[0]:,} tools   {names}")
    goal("names over a bare server", names.ratio, NAMES)
    print(f"page of 50            {page}")
    goal("page of 50 over a bare server", page.ratio, PAGE)


def enter(node: LocalNode, tool: Tool) -> list[Edit]:
    """What `register_tool` does once it has read the definition."""

    def registration(look: Look) -> list[Edit]:
        assert look(tool_key(tool.name)) is None
        return [*registering._joined(look, tool), registering._edit(None, tool)]  # noqa: SLF001  # none but these

    return agreeing.written(node, registration)


def timed(act: Callable[..., object], *arguments: object) -> float:
    begun = time.perf_counter()
    act(*arguments)
    return time.perf_counter() - begun


def register(work: Path, cluster: EtcdCluster, options: argparse.Namespace) -> None:
    with ExitStack() as closing:
        client = EtcdClient(cluster.endpoints)
        closing.callback(client.close)
        alpha = closing.enter_context(node(work, cluster, "registers"))
        size = sum(len(edit.value or b"") for edit in next(edits(1)))

        def put(number: int) -> None:
            request = rpc.PutRequest(key=f"/floor/{number}".encode(), value=bytes(size))
            client.call("/etcdserverpb.KV/Put", request, rpc.PutResponse)

        pairs = []
        for number in range(options.repeat + WARM):
            tool = tool_called(f"new-{number}")
            pairs.append((timed(put, number), timed(enter, alpha, tool)))
        found = Pairs(pairs[WARM:])
        print(f"register, {size:,} bytes  {found}")
        goal("register over a put", found.ratio, REGISTER)
        print(f"  the whole, with git: {whole(work, alpha, min(20, options.repeat)) * 1000:.0f} ms")


def whole(work: Path, alpha: LocalNode, repeat: int) -> float:
    """Seconds to register a tool whose repository is on this machine."""
    data = bare(work / "data.git")
    took = []
    for number in range(repeat):
        repository = work / f"tool-{number}"
        commit(repository, tool_files(data, name=f"whole-{number}"))
        took.append(timed(registering.register_tool, alpha, str(repository)))
    return statistics.median(took)


class Printed:
    """When `etcdctl watch` has printed a key."""

    def __init__(self, cluster: EtcdCluster) -> None:
        command = ["etcdctl", f"--endpoints={cluster.endpoint(0)}", "watch", "--prefix", TOOLS]
        self._process = subprocess.Popen(command, env=ENVIRONMENT | {"ETCDCTL_API": "3"}, stdout=subprocess.PIPE)
        self.at: dict[str, float] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(TOOLS.encode()):
                self.at[line.decode().strip()] = time.perf_counter()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()


def seen_in_mirror(closing: ExitStack, work: Path, cluster: EtcdCluster) -> Callable[[str], None]:
    """Returns when the mirror of another node has a key."""
    beta = closing.enter_context(node(work, cluster, "sees"))
    changed = threading.Event()
    beta.listen(changed.set)

    def wait(key: str) -> None:
        while beta.mirror.get(key) is None:
            changed.wait(1)
            changed.clear()

    return wait


def seen_by_http(closing: ExitStack, work: Path, cluster: EtcdCluster) -> Callable[[str], None]:
    """Returns when the first page of another node, in a process of its own, shows a key: it is asked all the time."""
    beta = served(work, cluster, "shows").start()
    closing.callback(beta.stop)
    connection = Connection(beta.port, beta.token("read"))

    def wait(key: str) -> None:
        name = f'"{key.removeprefix(TOOLS)}"'.encode()
        while name not in connection.get("/api/v1/tools?page_size=50")[1]:
            pass

    return wait


def visible(work: Path, cluster: EtcdCluster, options: argparse.Namespace) -> None:
    with ExitStack() as closing:
        alpha = closing.enter_context(node(work, cluster, "tells"))
        printed = Printed(cluster)
        closing.callback(printed.close)
        number = 0

        def once(wait: Callable[[str], None]) -> tuple[float, float]:
            nonlocal number
            number += 1
            tool = tool_called(f"a-{10**6 - number}")  # the newest comes first
            key = tool_key(tool.name)
            entering = threading.Thread(target=enter, args=(alpha, tool))
            begun = time.perf_counter()
            entering.start()
            wait(key)
            seen = time.perf_counter() - begun
            entering.join()
            return eventually(lambda: printed.at.get(key)) - begun, seen

        for what, way in (("its mirror has it", seen_in_mirror), ("its list shows it", seen_by_http)):
            with ExitStack() as inner:
                wait = way(inner, work, cluster)
                pairs = [once(wait) for _ in range(options.repeat + WARM)][WARM:]
            found = Pairs(pairs)
            late = [statistics.quantiles(side, n=20)[18] * 1000 for side in zip(*pairs, strict=True)]
            print(f"A registers, until on B {what}   {found}   p95 {late[0]:.1f} and {late[1]:.1f} ms")
            goal(f"until on B {what}, over etcdctl's watch", found.ratio, VISIBLE)


def memory(work: Path, options: argparse.Namespace) -> None:
    empty = 0.0
    for tools in (0, *options.tools):
        place = work / f"memory-{tools}"
        with members(place, 1) as cluster, registry(cluster) as filling:
            etcd = cluster.processes[0]
            assert etcd is not None
            size, bare_etcd = fill(filling, tools), resident(etcd.pid)
            one = served(place, cluster, "holds")
            listing = timed(one.start)
            shown(one, tools)
            assert one.process is not None
            held = resident(one.process.pid)
            empty = empty or held
            print(f"{tools:,} tools, {size / 1e6:.1f} MB: node {held:.0f} MB, etcd {bare_etcd:.0f} MB", end="")
            print(f" ({cluster.status(0)['dbSize'] / 1e6:.0f} MB on disk)")
            if tools:
                print(f"  bytes a tool: {size / tools:,.0f}; in the node {(held - empty) * 1e6 / tools:,.0f}")
            one.stop()
            cluster.stop()
            kept = timed(one.start)
            shown(one, tools)
            print(f"  start: {listing:.2f} s with etcd, {kept:.2f} s from what was kept, with etcd away")
            one.stop()


def shown(one: ServedNode, tools: int) -> None:
    """See that the node knows them all."""
    found = len(one.request("GET", "/regtools").json)
    assert found == tools, f"the node knows {found} of {tools} tools"


PARTS: dict[str, Callable[[Path, EtcdCluster, argparse.Namespace], None]] = {
    "lists": lists,
    "register": register,
    "visible": visible,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=(*PARTS, "memory"), nargs="+", default=[*PARTS, "memory"])
    parser.add_argument("--tools", type=int, nargs="+", default=[10_000])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--repeat", type=int, default=100)
    options = parser.parse_args()
    if etcd_is_missing():
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        parts = [part for part in PARTS if part in options.only]
        if parts:
            with members(work, 3) as cluster:
                with registry(cluster) as filling:
                    fill(filling, options.tools[0])
                for part in parts:
                    PARTS[part](work, cluster, options)
                    sys.stdout.flush()
        if "memory" in options.only:
            memory(work, options)


if __name__ == "__main__":
    main()
