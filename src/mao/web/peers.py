"""The server for the other nodes of the cluster: TLS, and what a node may do here that shows its certificate.

Who asks is known by the certificate of the connection alone, never by anything in a request.
"""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING, Any

from mao.caller import Right
from mao.catalogue import REVOKED, Revoked
from mao.errors import BadSetting, Denied, ForeignOrigin
from mao.web.protocols import BoundedProtocol
from mao.web.rights import needed

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from starlette.types import Scope

    from mao.config import Config
    from mao.local_node import LocalNode

_STRANGERS = 64
"""Connections without a certificate at the same time: they have one route, which is quick."""

_LEFT_TO_OTHERS = {("POST", "/api/v1/installations"), ("POST", "/api/v1/clones")}
"""What a node in `cluster.runs_from` may do besides what a token with the scope `run` may."""
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


class PeerProtocol(BoundedProtocol):
    """HTTP that tells the application which node is at the other end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        shown = transport.get_extra_info("peercert")
        peer = common_name(shown)
        # Copied into each request's scope.
        self.app_state = {**self.app_state, "peer": peer, "serial": (shown or {}).get("serialNumber")}
        if peer is None and sum(map(_is_stranger, self.connections)) > _STRANGERS:
            transport.abort()


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
    show_certificate(context, certificate, key, "cluster")


def show_certificate(context: ssl.SSLContext, certificate: Path, key: Path, section: str) -> None:
    """Have `context` show the certificate that the settings of `section` name.

    Raises:
        BadSetting: these are no certificate and its key.
    """
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # nobody is there to be asked for one
    except (ssl.SSLError, OSError) as error:
        raise BadSetting(
            f"{section}.certificate and {section}.key: {certificate} and {key} are no certificate in PEM and its key"
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
    of_api = path.startswith(_API)
    if (of_api and needed(method, path) <= Right.READ) or (method, path) in _ASKING:
        return
    if not (of_api and (needed(method, path) is Right.RUN or (method, path) in _LEFT_TO_OTHERS)):
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
