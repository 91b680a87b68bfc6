"""The certificates of a cluster: its authority, and what that signs for nodes (X.509, RFC 5280)."""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mao.errors import BadBody, BadName
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

LONGEST_NAME = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""
_AUTHORITY_LASTS = timedelta(days=25 * 365.25)
_NODE_LASTS = timedelta(days=10 * 365.25)
MEMBER_HOST = "member.etcd.mao.invalid"
"""Stands as a host in the certificates by which members of etcd know each other, and in no other."""
_RESERVED = "mao.invalid"
_SKEW = timedelta(days=1)
"""How far behind the clock of a machine may be that is to take a certificate signed just now."""


def new_key() -> bytes:
    """A private key (EC P-256, PEM)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def authority(name: str) -> tuple[bytes, bytes]:
    """The key and the certificate of a new authority (PEM).

    Raises:
        BadName
    """
    pem = new_key()
    key = _key(pem)
    subject = _named(name)
    certificate = (
        _begun(subject, subject, key.public_key(), key.public_key(), _AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return pem, certificate.public_bytes(serialization.Encoding.PEM)


def request(key_pem: bytes, name: str) -> bytes:
    """The request (PKCS #10, PEM) that a certificate be signed for this key.

    Raises:
        BadName
    """
    asked = x509.CertificateSigningRequestBuilder().subject_name(_named(name))
    return asked.sign(_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(
    ca_key_pem: bytes,
    ca_certificate_pem: bytes,
    csr_pem: bytes,
    *,
    name: str,
    hosts: Iterable[str],
    of_member: bool = False,
) -> bytes:
    """The certificate (PEM) of the node `name` for the key in the request; of the request nothing else is taken over.

    Args:
        ca_key_pem: the authority's key.
        ca_certificate_pem: its certificate.
        csr_pem: from `request`.
        name: of the node: the certificate's common name.
        hosts: the addresses, by name or number, at which the node answers.
        of_member: whether it is for a member of etcd to show to other members.

    Raises:
        BadName: of the node, or of a host.
        BadBody: that is no request, or it was not signed with its own key.
    """
    ca = x509.load_pem_x509_certificate(ca_certificate_pem)
    ca_key = _key(ca_key_pem)
    asked = _asked(csr_pem)
    alternatives = [*hosts] if of_member else [name, *hosts]
    if not of_member and any("*" in host or host.lower().endswith(_RESERVED) for host in alternatives):
        raise BadName(f"'*' and '{_RESERVED}' do not stand in the certificate of a node: members of etcd are known so.")
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begun(_named(name), ca.subject, asked.public_key(), ca_key.public_key(), _NODE_LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(_alternatives(alternatives)), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def serial(certificate_pem: bytes) -> str:
    """The serial number of a certificate, in hexadecimal digits, as Python shows it of a connection."""
    digits = f"{x509.load_pem_x509_certificate(certificate_pem).serial_number:X}"
    return digits.rjust(len(digits) + len(digits) % 2, "0")


def revocation(ca_key_pem: bytes, ca_certificate_pem: bytes, serials: Iterable[str]) -> bytes:
    """The list of revoked certificates (CRL, PEM), signed by the authority; it is good for as long as that is."""
    ca = x509.load_pem_x509_certificate(ca_certificate_pem)
    present = now()
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(present - _SKEW)
        .next_update(present + _AUTHORITY_LASTS)
    )
    for one in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(int(one, 16)).revocation_date(present)
        listed = listed.add_revoked_certificate(revoked.build())
    return listed.sign(_key(ca_key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of a certificate, in hex digits."""
    return x509.load_pem_x509_certificate(certificate_pem).fingerprint(hashes.SHA256()).hex()


def key_fingerprint(csr_pem: bytes) -> str:
    """SHA-256, in hex digits, of the public key in a request: tells who asks again from somebody else.

    Raises:
        BadBody
    """
    public = _asked(csr_pem).public_key()
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def expires(certificate_pem: bytes) -> datetime:
    """When a certificate ceases to be valid (UTC)."""
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadBody("The key of a cluster's authority or node is an elliptic one, made by MAO.")
    return key


def _asked(csr_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        asked = x509.load_pem_x509_csr(csr_pem)
    except ValueError as error:
        raise BadBody(f"That is no request for a certificate: {error}.") from error
    if not isinstance(asked.public_key(), ec.EllipticCurvePublicKey) or not asked.is_signature_valid:
        raise BadBody("The request for a certificate was not signed with its own elliptic key.")
    return asked


def _named(name: str) -> x509.Name:
    if not 0 < len(name) <= LONGEST_NAME:
        raise BadName(f"'{name}' cannot be named in a certificate: that takes 1 to {LONGEST_NAME} characters.")
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternatives(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_alternative(host) for host in dict.fromkeys(hosts)]


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise BadName(f"'{host}' cannot stand in a certificate as the name of a host: {error}.") from error


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    issuers_public: ec.EllipticCurvePublicKey,
    lasts: timedelta,
) -> x509.CertificateBuilder:
    present = now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(present - _SKEW)
        .not_valid_after(present + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuers_public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
