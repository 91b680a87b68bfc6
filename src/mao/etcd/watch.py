"""A watch of etcd that goes on by itself, whatever happens to the member that it hears from."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import grpc

from mao.errors import StaleRevision
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.words import Failed, Kind, failed
from mao.registry import Change, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.etcd.client import EtcdClient

log = logging.getLogger("mao.etcd")

_ASK = 1.0
"""Seconds between two questions whether the member is still there."""
_SILENCE = 3.0
"""Seconds without a word after which another member is taken."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0


class Watch:
    """See `mao.registry.Registry.watch`.

    Only a change moves on the place from which the watch is taken up again: that etcd tells of its progress does not
    mean that it has sent all changes up to there (etcd-io/etcd#15220, mended in 3.4.25 and 3.5.8).

    Args:
        client: of the cluster.
        keys: the first key, and the one after the last.
        after: the revision from which on it watches.
        cluster: the id of the cluster that `after` is of; 0 if that is not known.
    """

    def __init__(self, client: EtcdClient, keys: tuple[bytes, bytes], after: int, cluster: int) -> None:
        self._client = client
        self._keys = keys
        self._after = after
        self._cluster = cluster
        self._term = 0
        self._closed = threading.Event()
        self._stream: _Stream | None = None
        self._failures = 0

    def progress(self) -> Iterator[Progress]:
        """What changes, from one member after the other.

        Raises:
            StaleRevision
        """
        for endpoint in self._members():
            if self._closed.is_set():
                return
            try:
                yield from self._from(endpoint)
            except Failed as error:
                self._failures += 1
                if self._failures == 1 and not self._closed.is_set():
                    log.warning("the watch of etcd at %s has ended: %s; trying others", endpoint, error.words)
            self._closed.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * self._failures))

    def _members(self) -> Iterator[str]:
        """One after the other, and again; they may have become others meanwhile."""
        while True:
            yield from self._client.in_order()

    def close(self) -> None:
        """End it, from another thread as well."""
        self._closed.set()
        if self._stream is not None:
            self._stream.close()

    def _from(self, endpoint: str) -> Iterator[Progress]:
        self._find_place(endpoint)
        key, range_end = self._keys
        # One earlier than needed. At the revision of a compaction, etcd before 3.4.36 leaves out what was deleted
        # (etcd-io/etcd#19251); and as long as a watch begins in the future, later ones tell of no progress (#20229).
        create = rpc.WatchCreateRequest(key=key, range_end=range_end, start_revision=max(1, self._after))
        self._stream = stream = _Stream(self._client, endpoint, create)
        try:
            while not self._closed.is_set():
                response = stream.next()
                if response.compact_revision:
                    raise StaleRevision(f"The changes that followed revision {self._after} are no longer kept.")
                if response.canceled:
                    raise Failed(Kind.AWAY, response.cancel_reason or "it was not said why")
                if self._failures:
                    log.warning("the watch of etcd goes on at %s, after revision %s", endpoint, self._after)
                    self._failures = 0
                if not response.created:
                    yield self._told(response)
        finally:
            stream.close()

    def _find_place(self, endpoint: str) -> None:
        """See that the registry is the one that was watched before, and has not been set back.

        What a read says that most members agree on; one member alone may be behind.
        """
        request = rpc.RangeRequest(key=self._keys[0], count_only=True)
        header = self._client.attempt(endpoint, "/etcdserverpb.KV/Range", request, rpc.RangeResponse, _SILENCE).header
        if self._cluster not in {0, header.cluster_id} or header.raft_term < self._term:
            raise StaleRevision("The registry has been replaced by another one.")
        if header.revision < self._after:
            raise StaleRevision(f"The registry has been set back from revision {self._after} to {header.revision}.")
        self._cluster, self._term = header.cluster_id, header.raft_term

    def _told(self, response: rpc.WatchResponse) -> Progress:
        """What a response says, without what was told before: some etcds begin earlier than they were asked to."""
        changes = tuple(
            Change(
                event.kv.key.decode(),
                event.kv.value if event.type == rpc.Event.PUT else None,
                event.kv.mod_revision,
            )
            for event in response.events
            if event.kv.mod_revision > self._after
        )
        if changes:
            self._after = changes[-1].revision
        return Progress(self._after, changes)


class _Stream:
    """One call to one member, which is ended when nothing comes for too long."""

    def __init__(self, client: EtcdClient, endpoint: str, create: rpc.WatchCreateRequest) -> None:
        self._create = create
        self._ended = threading.Event()
        self._silent = False
        self._waiting_since: float | None = time.monotonic()
        self._call = client.stream(endpoint, "/etcdserverpb.Watch/Watch", self._requests(), rpc.WatchResponse)

    def _requests(self) -> Iterator[rpc.WatchRequest]:
        """What is sent; grpc takes it in a thread of its own, which so keeps watch over the member."""
        yield rpc.WatchRequest(create_request=self._create)
        while not self._ended.wait(_ASK):
            since = self._waiting_since
            if since is None:  # who reads is busy, and the member may wait
                continue
            if time.monotonic() - since > _SILENCE:
                self._silent = True
                self._call.cancel()
                return
            yield rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())

    def next(self) -> rpc.WatchResponse:
        """What comes next.

        Raises:
            Failed
        """
        self._waiting_since = time.monotonic()
        try:
            response: rpc.WatchResponse = next(self._call)
        except StopIteration:
            raise Failed(Kind.AWAY, "it has ended the watch") from None
        except grpc.RpcError as error:
            if self._silent:
                raise Failed(Kind.AWAY, f"nothing came for {_SILENCE:g} s") from error
            raise failed(error, _SILENCE) from error
        finally:
            self._waiting_since = None
        return response

    def close(self) -> None:
        self._ended.set()
        self._call.cancel()
