"""The certificates of a cluster for tests, and requests to a node's port for the other nodes."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mao.certificates import authority, new_key, request, sign
from mao.values import now
from support import Reply, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass
class Authority:
    """An authority in a directory, and the certificates that it has signed."""

    directory: Path
    name: str = "test"
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self.key, self.certificate = authority(self.name)
        self.ca = self.directory / "ca.pem"
        self.ca.write_bytes(self.certificate)

    def signed(self, name: str) -> tuple[Path, Path]:
        """The files of the certificate and the key of the node `name`."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        if not certificate.exists():
            key.write_bytes(new_key())
            asked = request(key.read_bytes(), name)
            certificate.write_bytes(sign(self.key, self.certificate, asked, name=name, hosts=["127.0.0.1"]))
        return certificate, key

    def settings(self, name: str, **more: str) -> dict[str, str]:
        """The settings of a node of this cluster, as environment variables."""
        certificate, key = self.signed(name)
        port = self.ports.setdefault(name, free_port())
        return {
            "MAO_CLUSTER__LISTEN": f"127.0.0.1:{port}",
            "MAO_CLUSTER__URL": f"https://127.0.0.1:{port}",
            "MAO_CLUSTER__CA": str(self.ca),
            "MAO_CLUSTER__CERTIFICATE": str(certificate),
            "MAO_CLUSTER__KEY": str(key),
            **more,
        }

    def context(self, name: str | None) -> ssl.SSLContext:
        """TLS as a client that shows the certificate of the node `name`, or none."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.check_hostname = False
        if name is not None:
            context.load_cert_chain(*self.signed(name))
        return context


def ask(
    context: ssl.SSLContext,
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """What the node answers at its port for the other nodes."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
    try:
        given = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body, given | dict(headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def expired(cluster: Authority, name: str) -> tuple[Path, Path]:
    """The files of a certificate of the cluster that was valid until yesterday, and of its key."""
    certificate, key = cluster.directory / "expired.pem", cluster.directory / "expired.key"
    key.write_bytes(new_key())
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    signer = serialization.load_pem_private_key(cluster.key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    signed = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.load_pem_x509_certificate(cluster.certificate).subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=9))
        .not_valid_after(now() - timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return certificate, key
