"""Many nodes in one process, as far as etcd sees them: each with a connection, a leased key, and a watch."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import grpc

from mao import __version__
from mao.catalogue import Node, node_key
from mao.etcd import rpc_pb2 as rpc
from mao.values import new_id, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from google.protobuf.message import Message

    from etcd_cluster import Tls

    Stream: TypeAlias = grpc.aio.StreamStreamCall[Message, rpc.WatchResponse]

A = TypeVar("A", bound="Message")
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
TOGETHER = 20
"""How many arrive at the same time."""
ASK = 1.0
"""Seconds between two questions on a watch, as in `mao.etcd.watch`."""
ANSWER, PAUSE = 2.0, 0.1
"""Seconds for an answer, and until the next attempt, as in `mao.etcd.client`."""
PREFIX = b"/mao/v1/"
CHANGED = "1" * 40


@dataclass(frozen=True)
class Task:
    """The numbers of the nodes to simulate, and which of all nodes watch."""

    endpoints: tuple[str, ...]
    tls: Tls
    nodes: tuple[int, ...]
    watching: frozenset[int]
    lease: int


@dataclass
class Measured:
    """What happened since it was last told."""

    renewals: list[float] = field(default_factory=list)
    """Seconds from when each was due."""
    failed: int = 0
    """Attempts without an answer, which were made again."""
    ended: int = 0
    """Leases that were over when they were renewed."""
    seen: list[tuple[int, float]] = field(default_factory=list)
    """Which node's change a watch told of, and when (monotonic clock)."""


class LeaseEndedError(Exception):
    """It took longer to put the key than the lease lasts."""


def key_of(number: int) -> str:
    return node_key(f"site-{number:05d}")


def value_of(number: int, *, changed: bool = False) -> str:
    """The entry of a node with ten tools."""
    tools = {f"tool-{i:05d}": CHANGED if changed else "0" * 40 for i in range(number, number + 10)}
    url = f"https://site-{number:05d}.example.org:8443"
    return Node(
        name=f"site-{number:05d}", id=new_id(), url=url, version=__version__, tools=tools, since=now()
    ).model_dump_json()


def simulate(pipe: Connection, task: Task) -> None:
    """Say when all nodes have arrived, and when they watch; then tell what was measured when asked, until killed."""
    asyncio.run(_Simulation(pipe, task).run())


class _Simulation:
    def __init__(self, pipe: Connection, task: Task) -> None:
        self._pipe = pipe
        self._task = task
        tls = task.tls
        self._credentials = grpc.ssl_channel_credentials(
            tls.ca.read_bytes(), tls.key.read_bytes(), tls.certificate.read_bytes()
        )
        self._measured = Measured()
        self._arriving = asyncio.Semaphore(TOGETHER)
        self._background: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        channels = [self._channel(number) for number in self._task.nodes]
        await asyncio.gather(*map(self._arrive, channels, self._task.nodes))
        self._pipe.send("there")
        await asyncio.to_thread(self._pipe.recv)  # all of the other process, too: they would hear of each that arrives
        watching = zip(channels, self._task.nodes, strict=True)
        await asyncio.gather(*(self._begin(channel) for channel, number in watching if number in self._task.watching))
        self._pipe.send("watching")
        while await asyncio.to_thread(self._pipe.recv):
            told, self._measured = self._measured, Measured()
            self._pipe.send(told)

    def _channel(self, number: int) -> grpc.aio.Channel:
        endpoint = self._task.endpoints[number % len(self._task.endpoints)]
        return grpc.aio.secure_channel(endpoint, self._credentials, OPTIONS)

    async def _arrive(self, channel: grpc.aio.Channel, number: int) -> None:
        async with self._arriving:
            lease = await self._announce(channel, number)
            self._background.append(asyncio.create_task(self._renew(channel, number, lease)))

    async def _begin(self, channel: grpc.aio.Channel) -> None:
        async with self._arriving:
            begun = asyncio.Event()
            self._background.append(asyncio.create_task(self._watch(channel, begun)))
            await begun.wait()

    async def _announce(self, channel: grpc.aio.Channel, number: int) -> int:
        """Put the node's key with a new lease; the lease."""
        grant = rpc.LeaseGrantRequest(TTL=self._task.lease)
        while True:
            lease = (await self._call(channel, "Lease/LeaseGrant", grant, rpc.LeaseGrantResponse)).ID
            put = rpc.PutRequest(key=key_of(number).encode(), value=value_of(number).encode(), lease=lease)
            with contextlib.suppress(LeaseEndedError):
                await self._call(channel, "KV/Put", put, rpc.PutResponse)
                return lease

    async def _renew(self, channel: grpc.aio.Channel, number: int, lease: int) -> None:
        third = self._task.lease / 3
        due = time.monotonic() + random.uniform(0, third)  # noqa: S311  # nodes do not start at the same moment
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            request = rpc.LeaseKeepAliveRequest(ID=lease)
            answer = await self._call(channel, "Lease/LeaseKeepAlive", request, rpc.LeaseKeepAliveResponse)
            self._measured.renewals.append(time.monotonic() - due)
            if not answer.TTL:
                self._measured.ended += 1
                lease = await self._announce(channel, number)
            due = max(due + third, time.monotonic())

    async def _watch(self, channel: grpc.aio.Channel, begun: asyncio.Event) -> None:
        begin: Callable[..., Stream] = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", lambda message: message.SerializeToString(), rpc.WatchResponse.FromString
        )
        create = rpc.WatchCreateRequest(key=PREFIX, range_end=PREFIX[:-1] + b"0")
        while True:
            stream = begin(metadata=(("hasleader", "true"),))
            asking = asyncio.create_task(_ask(stream, create))
            try:
                async for response in stream:
                    begun.set()
                    self._note(response)
            except grpc.aio.AioRpcError:
                self._measured.failed += 1
            asking.cancel()
            await asyncio.sleep(PAUSE)

    def _note(self, response: rpc.WatchResponse) -> None:
        at = time.monotonic()
        for event in response.events:
            if CHANGED.encode() in event.kv.value:
                self._measured.seen.append((int(event.kv.key.rpartition(b"-")[2]), at))

    async def _call(self, channel: grpc.aio.Channel, method: str, request: Message, answer: type[A]) -> A:
        """Ask until there is an answer, as `mao.etcd.client` does.

        Raises:
            LeaseEndedError
        """
        send = channel.unary_unary(f"/etcdserverpb.{method}", type(request).SerializeToString, answer.FromString)
        while True:
            try:
                found: A = await send(request, timeout=ANSWER)
            except grpc.aio.AioRpcError as error:
                if "lease not found" in (error.details() or ""):
                    raise LeaseEndedError from error
                self._measured.failed += 1
                await asyncio.sleep(PAUSE)
            else:
                return found


async def _ask(stream: Stream, create: rpc.WatchCreateRequest) -> None:
    """Begin to watch, then ask every second whether the member is still there."""
    await stream.write(rpc.WatchRequest(create_request=create))
    while True:
        await asyncio.sleep(ASK)
        await stream.write(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
