"""How many nodes one etcd carries: their leases and watches, what they cost, and when renewals get late.

    python benchmarks/leases.py [--nodes N ...] [--members N] [--lease N] [--watches N] [--seconds N] [--changes N]

Each simulated node has what a node has: a connection of its own with TLS, a leased key that it renews every third of
the lease, and a watch of `/mao/v1/` on which it asks every second whether the member is still there. They are spread
over the members, and over two processes (`benchmarks/simulated.py`) beside etcd on this machine, so that what is found
is a limit of both together; the CPU of each is told. `--watches N`: only so many of them watch.

Figures, after all have arrived and for so many seconds: CPU of etcd (100 % is one core; of all members), memory of the
largest member, the bytes that the connections of clients carried, the time from the moment at which a renewal was due
to its answer, leases that ended all the same. Then some nodes change their keys, one after the other: the time from
the write to the first, the median and the last watch that tells of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

from etcd_cluster import EtcdCluster, make_tls
from floors import etcd_is_missing
from mao.errors import RegistryUnavailable
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.client import EtcdClient
from simulated import Task, key_of, simulate, value_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from simulated import Measured

PROCESSES = 2
PATIENCE = 60.0
SETTLE = 2.0
BETWEEN = 0.5
"""Seconds between two changes."""
LATE = 0.1
"""The share of its third of a lease that a renewal may take; what is later has two more thirds until the lease ends."""


def cpu(processes: list[psutil.Process]) -> float:
    """Seconds."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def carried(cluster: EtcdCluster) -> int:
    """Bytes that open connections of clients have carried, without the headers of TCP."""
    ports = [f"sport = :{client}" for client, _ in cluster.ports]
    listed = subprocess.run(["ss", "-tinH", " or ".join(ports)], capture_output=True, text=True, check=True).stdout
    return sum(int(number) for number in re.findall(r"bytes_(?:sent|received):(\d+)", listed))


def tasks(cluster: EtcdCluster, nodes: int, watches: int, lease: int) -> list[Task]:
    numbers = range(nodes)
    assert cluster.tls is not None
    return [
        Task(
            endpoints=tuple(cluster.endpoints),
            tls=cluster.tls,
            nodes=tuple(numbers[part::PROCESSES]),
            watching=frozenset(range(watches)),
            lease=lease,
        )
        for part in range(PROCESSES)
    ]


def change(cluster: EtcdCluster, changes: int) -> list[float]:
    """The moments just before so many nodes changed their keys."""
    tls, moments = cluster.tls, []
    assert tls is not None
    client = EtcdClient(cluster.endpoints, tls.ca, tls.certificate, tls.key)
    for number in range(changes):
        request = rpc.PutRequest(key=key_of(number).encode(), value=value_of(number, changed=True).encode())
        moments.append(time.monotonic())
        client.call("/etcdserverpb.KV/Put", request, rpc.PutResponse)
        time.sleep(BETWEEN)
    client.close()
    return moments


def measure(work: Path, nodes: int, options: argparse.Namespace) -> None:
    cluster = EtcdCluster(work / "etcd", size=options.members, tls=make_tls(work / "tls"))
    context = multiprocessing.get_context("spawn")
    watches = nodes if options.watches is None else min(nodes, options.watches)
    pipes: list[Connection] = []
    workers = []
    try:
        cluster.start()
        for task in tasks(cluster, nodes, watches, options.lease):
            ours, theirs = context.Pipe()
            workers.append(context.Process(target=simulate, args=(theirs, task), daemon=True))
            workers[-1].start()
            pipes.append(ours)
        print(f"\n{nodes:,} nodes, {watches:,} watches, lease {options.lease} s, members {options.members}")
        begun = time.monotonic()
        all_done(pipes)
        print(f"  all have their keys after {time.monotonic() - begun:.1f} s")
        for pipe in pipes:
            pipe.send("watch")
        all_done(pipes)
        time.sleep(SETTLE)
        print(f"  attempts made again until all watch: {sum(one.failed for one in told(pipes))}")
        steady(cluster, [psutil.Process(worker.pid) for worker in workers], pipes, options)
        fan_out(cluster, pipes, watches, options.changes)
    except (TimeoutError, RegistryUnavailable) as error:
        print(f"  more than etcd carries here, beside the simulation: {error}")
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
        cluster.stop()


def all_done(pipes: list[Connection]) -> None:
    """Wait until each process says that it has done what it was to do."""
    deadline = time.monotonic() + PATIENCE
    for pipe in pipes:
        if not pipe.poll(max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"not all nodes are there after {PATIENCE:.0f} s")
        pipe.recv()


def steady(
    cluster: EtcdCluster, simulating: list[psutil.Process], pipes: list[Connection], options: argparse.Namespace
) -> None:
    """What it costs when nothing changes."""
    etcd = [psutil.Process(process.pid) for process in cluster.processes if process]
    told(pipes)
    before, begun = (cpu(etcd), cpu(simulating), carried(cluster)), time.monotonic()
    time.sleep(options.seconds)
    found, took = told(pipes), time.monotonic() - begun
    own, theirs, sent = (
        (now - then) / took for now, then in zip((cpu(etcd), cpu(simulating), carried(cluster)), before, strict=True)
    )
    memory = max(process.memory_info().rss for process in etcd) / 1e6
    print(f"  etcd {own:4.0%} CPU, {memory:.0f} MB; {sent / 1e3:.0f} kB/s; the simulation {theirs:.0%} CPU")
    renewals = sorted(seconds for one in found for seconds in one.renewals)
    late = sum(seconds > LATE * options.lease / 3 for seconds in renewals)
    print(f"  {len(renewals) / took:.0f} renewals/s: p50 {at(renewals, 0.5)}, p99 {at(renewals, 0.99)}", end="")
    print(f", most {at(renewals, 1)}; late {late}", end="")
    print(f", made again {sum(one.failed for one in found)}, leases that ended {sum(one.ended for one in found)}")


def at(seconds: list[float], share: float) -> str:
    """The value below which this share of them is."""
    return f"{seconds[min(int(share * len(seconds)), len(seconds) - 1)] * 1000:.1f} ms" if seconds else "none"


def fan_out(cluster: EtcdCluster, pipes: list[Connection], watches: int, changes: int) -> None:
    """How long it takes until all are told of a change."""
    moments = change(cluster, changes)
    time.sleep(SETTLE)
    seen: dict[int, list[float]] = {}
    for one in told(pipes):
        for number, at in one.seen:
            seen.setdefault(number, []).append(at - moments[number])
    if seen:
        firsts, middles, lasts = (
            statistics.median(pick(ats) for ats in seen.values()) * 1000 for pick in (min, statistics.median, max)
        )
        missing = changes * watches - sum(map(len, seen.values()))
        print(f"  a change: first watch {firsts:.0f} ms, median {middles:.0f} ms, last {lasts:.0f} ms", end="")
        print(f"; not told: {missing}")


def told(pipes: list[Connection]) -> list[Measured]:
    """What the processes have measured since they were last asked."""
    for pipe in pipes:
        pipe.send("tell")
    found = []
    for pipe in pipes:
        if not pipe.poll(PATIENCE):
            raise TimeoutError(f"the simulation gets no time to answer for {PATIENCE:.0f} s")
        found.append(pipe.recv())
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000])
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--lease", type=int, default=15)
    parser.add_argument("--watches", type=int)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--changes", type=int, default=10)
    options = parser.parse_args()
    if etcd_is_missing():
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # etcd and the simulation end, too
    for nodes in options.nodes:
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), nodes, options)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
