from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from mao import certificates
from mao.errors import BadBody, BadName
from mao.values import now
from mao.web.listening import listen

if TYPE_CHECKING:
    from pathlib import Path

CA_KEY, CA = certificates.authority("cluster")
KEY = certificates.new_key()
CSR = certificates.request(KEY, "alpha")


def signed(name: str = "alpha", *hosts: str) -> bytes:
    return certificates.sign(CA_KEY, CA, CSR, name=name, hosts=hosts)


def context(kind: ssl.Purpose, directory: Path, key: bytes, certificate: bytes) -> ssl.SSLContext:
    """One that shows this certificate, and wants the other side to show one of the authority."""
    (directory / "pair.pem").write_bytes(key + certificate)
    made = ssl.create_default_context(kind, cadata=CA.decode())
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(directory / "pair.pem")
    return made


def test_two_nodes_of_a_cluster_trust_each_other_under_name_and_address(tmp_path: Path) -> None:
    listening = listen("127.0.0.1", 0)
    as_server = context(ssl.Purpose.CLIENT_AUTH, tmp_path, KEY, signed("alpha", "127.0.0.1", "localhost"))
    seen = []

    def serve() -> None:
        for _ in range(3):
            connection, _ = listening.accept()
            with as_server.wrap_socket(connection, server_side=True) as shaken:
                seen.append(shaken.getpeercert())
                shaken.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    key = certificates.new_key()
    mine = certificates.sign(CA_KEY, CA, certificates.request(key, "beta"), name="beta", hosts=[])
    as_client = context(ssl.Purpose.SERVER_AUTH, tmp_path, key, mine)

    for host in ("127.0.0.1", "localhost", "alpha"):
        with (
            socket.create_connection(listening.getsockname()) as plain,
            as_client.wrap_socket(plain, server_hostname=host) as shaken,
        ):
            shaken.send(b"!")
    thread.join()
    listening.close()
    assert {certificate["subject"] for certificate in seen if certificate} == {((("commonName", "beta"),),)}


def test_what_a_request_asks_for_besides_its_key_is_not_taken_over() -> None:
    certificate = x509.load_pem_x509_certificate(signed("gamma"))
    assert certificate.subject.rfc4514_string() == "CN=gamma"
    assert certificate.public_key() == x509.load_pem_x509_csr(CSR).public_key()


def test_a_certificate_is_valid_on_a_machine_whose_clock_is_hours_behind() -> None:
    certificate = x509.load_pem_x509_certificate(signed())
    assert certificate.not_valid_before_utc < now() - timedelta(hours=23)
    assert now() + timedelta(days=3640) < certificates.expires(signed()) < certificates.expires(CA)


def test_a_fingerprint_is_that_of_other_programs() -> None:
    assert certificates.fingerprint(CA) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(CA.decode())).hexdigest()


def test_two_requests_for_one_key_are_known_to_be_of_one_node() -> None:
    again = certificates.request(KEY, "alpha")
    other = certificates.request(certificates.new_key(), "alpha")
    assert certificates.key_fingerprint(again) == certificates.key_fingerprint(CSR)
    assert certificates.key_fingerprint(other) != certificates.key_fingerprint(CSR)


@pytest.mark.parametrize(
    "csr", [b"", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", CA]
)
def test_what_is_no_request_is_refused(csr: bytes) -> None:
    with pytest.raises(BadBody, match="no request"):
        certificates.sign(CA_KEY, CA, csr, name="alpha", hosts=[])


def test_a_name_that_no_certificate_can_hold_is_refused() -> None:
    with pytest.raises(BadName, match="64"):
        signed("a" * 65)
    with pytest.raises(BadName, match="host"):
        signed("alpha", "münchen")
