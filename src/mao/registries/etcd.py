"""The registry of a cluster of nodes: keys with revisions in etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mao.errors import OutsideFailed, RegistryFull, RegistryUnavailable, RightMissing, StaleRevision
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.watch import Watch
from mao.registry import Edit, Entry, Progress, check_size
from mao.roles import BARS
from mao.values import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mao.errors import MaoError
    from mao.etcd.client import EtcdClient
    from mao.registry import Registry

_RANGE = "/etcdserverpb.KV/Range"
_TXN = "/etcdserverpb.KV/Txn"
_HOUR = 3600
"""Seconds for which a bar (`roles.BARS`) stands: a write of which no attempt that is still on its way may be made."""


class EtcdRegistry:
    """See `mao.registry.Registry`. etcd orders keys by their bytes in UTF-8, which is the order of their characters.

    Args:
        client: of the cluster; closed with the registry.
        ask: gets the right to write keys that this node may not write yet, or raises why it does not.
    """

    def __init__(self, client: EtcdClient, ask: Callable[[Registry, Sequence[str]], None] | None = None) -> None:
        self._client = client
        self._ask = ask
        self._watches: set[Watch] = set()
        self._closed = False
        self._cluster = 0  # the id of the one that was listed last

    def reach(self, endpoints: Sequence[str]) -> None:
        """Ask these members from now on."""
        self._client.reach(endpoints)

    def get(self, key: str) -> Entry | None:
        request = rpc.RangeRequest(key=key.encode())
        kvs = self._client.call(_RANGE, request, rpc.RangeResponse).kvs
        return _entry(kvs[0]) if kvs else None

    def entries(self, prefix: str, *, after: str = "", limit: int = 1000) -> tuple[list[Entry], int]:
        first, end = _below(prefix)
        request = rpc.RangeRequest(key=max(first, after.encode() + b"\0"), range_end=end, limit=limit)
        answer = self._client.call(_RANGE, request, rpc.RangeResponse)
        if after and answer.header.cluster_id != self._cluster:
            raise RegistryUnavailable("The registry was replaced by another one while it was listed. List it anew.")
        self._cluster = answer.header.cluster_id
        return [_entry(kv) for kv in answer.kvs], answer.header.revision

    def write(self, *edits: Edit, lease: int | None = None) -> int:
        _check(edits)
        lost: list[str] = []
        refusal: MaoError
        try:
            bar = f"{BARS}{new_id()}"
            answer = self._answered(_transaction(edits, lease, bar), [edit.key for edit in edits], lost)
            if lost:
                self._bar(bar)
        except RegistryUnavailable as error:
            raise RegistryUnavailable(f"{error.detail} {_doubt(edits) if lost else 'Nothing was changed.'}") from error
        except RegistryFull as error:
            refusal = error
            lost += self._client.endpoints  # the write that reaches the quota is made, and refused nevertheless
        except OutsideFailed as error:
            if "lease not found" not in error.detail:
                raise
            refusal = StaleRevision("The lease was not renewed in time, and is over.")
        else:
            if answer.succeeded:
                return answer.header.revision
            refusal = _stale(_changed(edits, answer))
        if lost and (revision := self._made_before(edits)):
            return revision
        raise refusal

    def _answered(self, transaction: rpc.TxnRequest, keys: Sequence[str], lost: list[str]) -> rpc.TxnResponse:
        """What etcd says to a transaction; if it has no right to write these keys, once it has got that."""
        try:
            return self._client.call(_TXN, transaction, rpc.TxnResponse, lost)
        except RightMissing:
            if self._ask is None:
                raise
        self._ask(self, keys)
        return self._client.call(_TXN, transaction, rpc.TxnResponse, lost)

    def _bar(self, key: str) -> None:
        """Have attempts at a write fail that have not arrived yet.

        A member that stood still makes what it was sent before, also if another one has made it, and the key that was
        put where there was none has been deleted since.
        """
        put = rpc.PutRequest(key=key.encode(), value=key.encode(), lease=self.grant(_HOUR))
        self._client.call("/etcdserverpb.KV/Put", put, rpc.PutResponse)

    def _made_before(self, edits: Sequence[Edit]) -> int:
        """The revision at which an earlier attempt, whose answer was lost, made the edits; 0 if none did.

        One key tells for all of them: it has had our value since, or is gone if that is what was asked for.
        """
        edit = max(edits, key=lambda edit: edit.value is not None)
        request = rpc.RangeRequest(key=edit.key.encode())
        try:
            answer = self._client.call(_RANGE, request, rpc.RangeResponse)
            if edit.value is None:
                return 0 if answer.kvs else answer.header.revision
            while answer.kvs and answer.kvs[0].mod_revision > edit.if_revision:
                if answer.kvs[0].value == edit.value:
                    return answer.kvs[0].mod_revision
                request.revision = answer.kvs[0].mod_revision - 1
                answer = self._client.call(_RANGE, request, rpc.RangeResponse)
        except (RegistryUnavailable, OutsideFailed) as error:  # away, or what was there is no longer kept
            raise RegistryUnavailable(f"{error.detail} {_doubt(edits)}") from error
        return 0

    def watch(self, prefix: str, *, after: int) -> Iterator[Progress]:
        return self._told(Watch(self._client, _below(prefix), after, self._cluster))

    def _told(self, watch: Watch) -> Iterator[Progress]:
        self._watches.add(watch)
        try:
            if not self._closed:
                yield from watch.progress()
        finally:
            self._watches.discard(watch)

    def grant(self, seconds: int) -> int:
        request = rpc.LeaseGrantRequest(TTL=seconds)
        return self._client.call("/etcdserverpb.Lease/LeaseGrant", request, rpc.LeaseGrantResponse).ID

    def renew(self, lease: int) -> bool:
        # etcd has this as a stream of requests and answers; a stream of one each is the same as a call.
        request = rpc.LeaseKeepAliveRequest(ID=lease)
        return self._client.call("/etcdserverpb.Lease/LeaseKeepAlive", request, rpc.LeaseKeepAliveResponse).TTL > 0

    def revoke(self, lease: int) -> None:
        request = rpc.LeaseRevokeRequest(ID=lease)
        try:
            self._client.call("/etcdserverpb.Lease/LeaseRevoke", request, rpc.LeaseRevokeResponse)
        except OutsideFailed as error:
            if "lease not found" not in error.detail:
                raise

    def close(self) -> None:
        self._closed = True
        for watch in tuple(self._watches):
            watch.close()
        self._client.close()


def _entry(kv: rpc.KeyValue) -> Entry:
    return Entry(kv.key.decode(), kv.value, kv.mod_revision)


def _below(prefix: str) -> tuple[bytes, bytes]:
    """The first key that may begin so, and the one after the last; of no prefix, etcd's sign for all there are."""
    first = prefix.encode()
    return (first, first[:-1] + bytes([first[-1] + 1])) if first else (b"\0", b"\0")


def _check(edits: Sequence[Edit]) -> None:
    """Refuse what no state of the registry allows."""
    check_size(edits)
    for edit in edits:
        if edit.value is None and not edit.if_revision:
            raise _stale(edit.key)


def _transaction(edits: Sequence[Edit], lease: int | None, bar: str) -> rpc.TxnRequest:
    """All of the edits if each key has the revision it must have, and there is no `bar`, else the keys as they are."""
    transaction = rpc.TxnRequest()
    transaction.compare.add(target=rpc.Compare.MOD, key=bar.encode(), mod_revision=0)
    for edit in edits:
        key = edit.key.encode()
        transaction.compare.add(target=rpc.Compare.MOD, key=key, mod_revision=edit.if_revision)  # 0: no such key
        if edit.value is not None:
            transaction.success.add(request_put=rpc.PutRequest(key=key, value=edit.value, lease=lease or 0))
        else:
            transaction.success.add(request_delete_range=rpc.DeleteRangeRequest(key=key))
        transaction.failure.add(request_range=rpc.RangeRequest(key=key))
    return transaction


def _changed(edits: Sequence[Edit], answer: rpc.TxnResponse) -> str:
    """The key on account of which nothing was changed."""
    for edit, response in zip(edits, answer.responses, strict=True):
        kvs = response.response_range.kvs
        if (kvs[0].mod_revision if kvs else 0) != edit.if_revision:
            return edit.key
    return edits[0].key


def _stale(key: str) -> StaleRevision:
    return StaleRevision(f"'{key}' has changed since it was read. Look at it again.")


def _doubt(edits: Sequence[Edit]) -> str:
    keys = ", ".join(f"'{edit.key}'" for edit in edits)
    return f"It is not known whether {keys} was written: look again when it is back."
