"""Calls of etcd's v3 API: to the member that worked last, and to the others when that one does not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

import grpc

from mao.errors import BadSetting, OutsideFailed, RegistryFull, RegistryUnavailable, RightMissing
from mao.etcd import rpc_pb2 as rpc
from mao.etcd.words import Failed, Kind, failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from google.protobuf.message import Message
    from grpc import StreamStreamMultiCallable, _CallIterator

A = TypeVar("A", bound="Message")

_ANSWER = 2.0
"""Seconds that one member gets for an answer."""
_PATIENCE = 5.0
"""Seconds in which attempts are begun: two elections with etcd's own settings."""
_PAUSE = 0.1
_AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"
_OF_THE_MEMBER = ("/etcdserverpb.Cluster/", "/etcdserverpb.Maintenance/")
_OPTIONS = (
    # The reply to a page of large entries is larger than grpc's limit of 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A member that is back is found quickly. One connection for each client, so that none waits as another one must.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 1500),  # what a connection may take: less than an answer, so that it can be told
    ("grpc.use_local_subchannel_pool", 1),
    # etcd takes no pings more often than every five seconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    # Members are named by their addresses, and not reached by way of a proxy for the web.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
)


class EtcdClient:
    """Speaks with the members of one cluster. Used from any thread.

    Args:
        endpoints: of the members, as in `127.0.0.1:2379`; the first is asked first.
        ca: file with the authority (PEM) of their certificates; without it there is no TLS.
        certificate: file with the certificate (PEM) to show them.
        key: file with its key.
        user: at etcd, if it wants one.
        password: of that user.

    Raises:
        BadSetting: a file cannot be read.
    """

    def __init__(  # as many as etcd takes
        self,
        endpoints: Sequence[str],
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._credentials = _credentials(ca, certificate, key)
        self._user, self._password = user, password
        self._token: str | None = None  # "" if none is wanted
        self._authenticating = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._opening = threading.Lock()
        self._closed = False
        self._preferred = self.endpoints[0]

    def call(self, path: str, request: Message, answer: type[A], lost: list[str] | None = None) -> A:
        """What a member answers; each is asked, again and again, until one does or it is given up.

        Args:
            path: of the method, as in `/etcdserverpb.KV/Range`.
            request: what to send.
            answer: the kind of what comes back.
            lost: gets the members of which it is not known whether they did it; ask for it where twice is not once.

        Raises:
            RegistryUnavailable: no member did it.
            RegistryFull: the quota is reached.
            RightMissing: this node's user may not do that.
            OutsideFailed: etcd does not do that; its own words are in the error.
        """
        deadline = time.monotonic() + _PATIENCE
        reasons: dict[str, Failed] = {}
        while time.monotonic() < deadline:
            for endpoint in self.in_order():
                try:
                    found = self.attempt(endpoint, path, request, answer, _ANSWER)
                except Failed as error:
                    self._raise_final(path, error)
                    reasons[endpoint] = error
                    if lost is not None and error.kind is Kind.LOST:
                        lost.append(endpoint)
                else:
                    self._preferred = endpoint
                    return found
                if time.monotonic() >= deadline:
                    break
            if _are_hopeless(reasons) or self._closed:
                break
            time.sleep(_PAUSE)
        raise _unavailable(reasons)

    def ask(self, endpoint: str, path: str, request: Message, answer: type[A], seconds: float = _ANSWER) -> A:
        """What this one member answers within so many seconds; raises as `call` does."""
        try:
            return self.attempt(endpoint, path, request, answer, seconds)
        except Failed as error:
            self._raise_final(path, error)
            raise _unavailable({endpoint: error}) from error

    def reach(self, endpoints: Sequence[str]) -> None:
        """Ask these members from now on: the cluster has got others."""
        self.endpoints = tuple(endpoints)

    def in_order(self) -> tuple[str, ...]:
        """The endpoints, the one that worked last before the others."""
        endpoints, preferred = self.endpoints, self._preferred
        first = endpoints.index(preferred) if preferred in endpoints else 0
        return endpoints[first:] + endpoints[:first]

    def attempt(self, endpoint: str, path: str, request: Message, answer: type[A], seconds: float) -> A:
        """What one member answers; authenticates (again) where that is needed.

        Raises:
            Failed
        """
        token = self._token
        if token is not None or not self._user:
            try:
                return self._once(endpoint, path, request, answer, seconds)
            except Failed as error:
                # A member has forgotten its tokens when it is started again.
                if error.kind is not Kind.STRANGER or not self._user:
                    raise
        self._authenticate(endpoint, token, seconds)
        return self._once(endpoint, path, request, answer, seconds)

    def _once(self, endpoint: str, path: str, request: Message, answer: type[A], seconds: float) -> A:
        send = self._channel(endpoint).unary_unary(path, type(request).SerializeToString, answer.FromString)
        try:
            found: A = send(request, timeout=seconds, metadata=self._metadata(path))
        except grpc.RpcError as error:
            failure = failed(error, seconds)
            if failure.kind is Kind.LOST:  # the connection may lead nowhere; the next attempt makes another one
                with self._opening:
                    self._channels.pop(endpoint, None)
            raise failure from error
        except ValueError as error:  # grpc's way to say that the channel was closed
            raise Failed(Kind.AWAY, "the connection was closed") from error
        return found

    def _authenticate(self, endpoint: str, known: str | None, seconds: float) -> None:
        """Get a token in place of the known one, unless another thread has done so."""
        with self._authenticating:
            if self._token != known:
                return
            request = rpc.AuthenticateRequest(name=self._user, password=self._password)
            try:
                self._token = self._once(endpoint, _AUTHENTICATE, request, rpc.AuthenticateResponse, seconds).token
            except Failed as error:
                if "not enabled" not in error.words:
                    raise
                self._token = ""

    def stream(self, endpoint: str, path: str, requests: Iterator[Message], answer: type[A]) -> _CallIterator[A]:
        """Begin a call that goes on.

        Raises:
            Failed
        """
        begin: StreamStreamMultiCallable[Message, A] = self._channel(endpoint).stream_stream(
            path, lambda message: message.SerializeToString(), answer.FromString
        )
        try:
            return begin(requests, metadata=self._metadata(path))
        except ValueError as error:
            raise Failed(Kind.AWAY, "the connection was closed") from error

    def _metadata(self, path: str) -> tuple[tuple[str, str], ...]:
        """Who asks; and that a member without a leader is of no use, unless it is asked about itself."""
        # With a token that it has forgotten, a member lets nobody in, not even with the right password.
        token = (("token", self._token),) if self._token and path != _AUTHENTICATE else ()
        return token if path.startswith(_OF_THE_MEMBER) else (*token, ("hasleader", "true"))

    def _channel(self, endpoint: str) -> grpc.Channel:
        with self._opening:
            if self._closed:
                raise Failed(Kind.AWAY, "the connection was closed")
            if endpoint not in self._channels:
                self._channels[endpoint] = (
                    grpc.secure_channel(endpoint, self._credentials, _OPTIONS)
                    if self._credentials
                    else grpc.insecure_channel(endpoint, _OPTIONS)
                )
            return self._channels[endpoint]

    @staticmethod
    def _raise_final(path: str, error: Failed) -> None:
        """Raise what no other member would answer otherwise."""
        if error.kind is Kind.FULL:
            raise RegistryFull(
                "The registry has reached its quota and takes nothing more; 'mao cluster status' tells what to do."
                " Nothing was changed."
            ) from error
        if error.kind is Kind.DENIED and not path.endswith("/Range"):  # a registry that cannot be read is as if away
            raise RightMissing(f"The registry refuses it: {error.words}. Nothing was changed.") from error
        if error.kind is Kind.WRONG:
            raise OutsideFailed(f"etcd answered to {path.rpartition('/')[2]}: {error.words}.") from error

    def close(self) -> None:
        """End what is under way, and close the connections."""
        with self._opening:
            self._closed = True
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()


def _credentials(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials | None:
    if ca is None:
        return None
    if (certificate is None) != (key is None):
        raise BadSetting("registry.certificate and registry.key go together: give both or none.")
    try:
        return grpc.ssl_channel_credentials(
            ca.read_bytes(),
            key.read_bytes() if key else None,
            certificate.read_bytes() if certificate else None,
        )
    except OSError as error:
        raise BadSetting(f"A file that the settings of the registry name cannot be read: {error}.") from error


def _are_hopeless(reasons: dict[str, Failed]) -> bool:
    """Whether it is for people to mend why no member does it."""
    return all(error.kind in {Kind.REFUSED, Kind.STRANGER, Kind.DENIED} for error in reasons.values())


def _unavailable(reasons: dict[str, Failed]) -> RegistryUnavailable:
    listed = "; ".join(f"{endpoint}: {error.words}" for endpoint, error in reasons.items())
    said = "takes no requests of this node" if _are_hopeless(reasons) else "does not answer"
    return RegistryUnavailable(f"The registry {said} ({listed}).")
