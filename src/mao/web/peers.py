"""The server for the other nodes of the cluster: TLS, and what a node may do here that shows its certificate.

Who asks is known by the certificate of the connection alone, never by anything in a request.
"""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mao.catalogue import REVOKED, Revoked
from mao.errors import BadSetting, Denied, ForeignOrigin

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from starlette.types import Scope

    from mao.config import Config
    from mao.local_node import LocalNode

HANDSHAKE = 10.0
"""Seconds that a handshake may take; asyncio gives a minute, which strangers could make use of."""
REQUEST = 30.0
"""Seconds until the first request on a connection has come with its headers, and in which a body has to come."""
_LARGEST_HEAD = 64_000
"""Bytes of a request that are not its body; uvicorn has no limit."""
_STRANGERS = 64
"""Connections without a certificate at the same time: they have one route, which is quick."""

_JOINING = "/api/v1/cluster/join"
_ASKING = frozenset({("POST", "/api/v1/cluster/grants"), ("POST", "/api/v1/cluster/members")})
"""What any node of the cluster asks of the one with the authority's key: for itself, by its certificate."""
_LOOKING = frozenset({"GET", "HEAD"})
_HEALTH = "/healthz"
_API = "/api/v1/"


def common_name(certificate: Any) -> str | None:
    """The name of the node in a certificate that was verified (as `getpeercert` gives it); None if there is none."""
    names = [value for part in (certificate or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return names[0] if len(names) == 1 else None


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, which tells the application who is at the other end, and holds nothing for long for nobody."""

    _deadline: asyncio.TimerHandle | None = None
    _heading = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        shown = transport.get_extra_info("peercert")
        peer = common_name(shown)
        # Copied into each request's scope.
        self.app_state = {**self.app_state, "peer": peer, "serial": (shown or {}).get("serialNumber")}
        if peer is None and sum(map(_is_stranger, self.connections)) > _STRANGERS:
            transport.abort()
        else:
            self._expect_request()

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._heading += len(data)
        super().data_received(data)
        if self._heading > _LARGEST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self._heading = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._forget_deadline()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._heading -= len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # and not one that came right behind
            self._forget_deadline()
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)


def _is_stranger(connection: object) -> bool:
    return isinstance(connection, PeerProtocol) and connection.app_state["peer"] is None


def server_context(config: Config) -> ssl.SSLContext:
    """TLS as this node serves others; whoever shows a certificate shows one of the cluster's authority.

    Raises:
        BadSetting: a file is missing, or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _equip(context, config)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(config: Config) -> ssl.SSLContext:
    """TLS as this node asks others. Whose certificate it is remains to be seen: node names are no host names.

    Raises:
        BadSetting: a file is missing, or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _equip(context, config)
    context.check_hostname = False
    return context


def _equip(context: ssl.SSLContext, config: Config) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    ca, certificate, key = (_readable(config, f"cluster.{name}") for name in ("ca", "certificate", "key"))
    try:
        context.load_verify_locations(ca)
    except (ssl.SSLError, OSError) as error:
        raise BadSetting(f"cluster.ca: {ca} holds no certificate in PEM ({error}).") from error
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise BadSetting(
            f"cluster.certificate and cluster.key: {certificate} and {key} are no certificate in PEM and its key"
            f" ({error})."
        ) from error


def _readable(config: Config, setting: str) -> Path:
    path: Path | None = config[setting]
    if path is None:
        raise BadSetting(
            f"{setting} is not set: nodes speak to each other with certificates. 'mao cluster' makes them."
        )
    try:
        path.read_bytes()
    except OSError as error:
        raise BadSetting(f"{setting}: {path} cannot be read: {error.strerror}.") from error
    return path


def admit(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Let a request of another node pass that this one allows.

    Raises:
        ForeignOrigin: a web page sent it.
        Denied: with the setting that decides.
    """
    if b"origin" in headers:
        raise ForeignOrigin("This address is for the nodes of the cluster; no web page may use it.")
    node: LocalNode = scope["app"].state.node
    config = node.config
    peer: str | None = scope["state"]["peer"]
    _check_revoked(node, scope["state"]["serial"])
    method, path = scope["method"], scope["path"]
    looking = method in _LOOKING
    if path == _JOINING or (looking and path == _HEALTH):
        return
    if peer is None:
        raise Denied(
            f"Node '{config.node}' takes requests from nodes of its cluster, by their certificates; this one showed"
            " none. Ask your own node, with --node."
        )
    if "/api/" in path.removeprefix(_API) and path.startswith(f"{_API}nodes/"):
        raise Denied(f"Node '{config.node}' passes nothing on for other nodes. Ask your own node for the right one.")
    if (looking and path.startswith(_API)) or (method, path) in _ASKING:
        return
    if not _is_run(method, path):
        raise Denied(
            f"Node '{config.node}' lets other nodes look, and those in its cluster.runs_from install tools, clone"
            f" datasets, start, cancel and publish runs, and change schedules; {method} {path} is for its own users."
        )
    allowed = config["cluster.runs_from"]
    if "*" not in allowed and peer.lower() not in map(str.lower, allowed):
        raise Denied(
            f"Node '{config.node}' takes no runs from node '{peer}': its cluster.runs_from (MAO_CLUSTER__RUNS_FROM)"
            " does not name it. Whoever keeps that node can add it. Nothing was done."
        )


def _check_revoked(node: LocalNode, serial: str | None) -> None:
    """Refuse a certificate that the registry, as far as it is known here, says is not valid any more."""
    entry = node.mirror.get(REVOKED) if serial is not None and node.mirror.age() < math.inf else None
    if entry is not None:
        revoked = node.mirror.cached("revoked", lambda: frozenset(Revoked.model_validate_json(entry.value).serials))
        if serial in revoked:
            raise Denied("This certificate was revoked. Whoever keeps the cluster can invite the node anew.")


def _is_run(method: str, path: str) -> bool:
    """Whether a request is one that a node can leave to others: what starts runs, and what ends those."""
    if not path.startswith(_API):
        return False
    match method, *path.removeprefix(_API).split("/"):
        case ["POST", "runs" | "installations" | "clones" | "schedules"]:
            return True
        case ["POST", "runs", _, "cancel" | "publish"]:
            return True
        case ["POST", "schedules", _, "pause" | "resume" | "backfill"]:
            return True
        case ["PATCH" | "DELETE", "schedules", schedule_id]:
            return bool(schedule_id)
        case _:
            return False
