"""Why a member of etcd did not do what it was asked: in words, and what follows from it for who asked."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

import grpc


class Kind(enum.Enum):
    """What follows from a failure."""

    AWAY = "this member has not done it; another one may"
    LOST = "whether this member has done it is not known; another one may"
    STRANGER = "who asks must say anew who it is"
    REFUSED = "it is of no use to ask again: names, passwords, certificates are to be mended"
    DENIED = "who asks is known, and may not do that"
    FULL = "the quota is reached"
    WRONG = "etcd does not do what it was asked for"


class Failed(Exception):  # as in mao.errors
    """An attempt at one member failed."""

    def __init__(self, kind: Kind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


class _Saying(NamedTuple):
    pattern: str
    kind: Kind
    words: str


_USER = "(registry.user, registry.password)"
_SAYINGS = (
    # etcd's own words are those of its api/v3rpc/rpctypes/error.go; those of TLS are BoringSSL's.
    _Saying("database space exceeded", Kind.FULL, "its quota is reached"),
    _Saying("revision in header is old", Kind.AWAY, "users and roles were changed at that moment"),
    _Saying("invalid auth token|auth store is old", Kind.STRANGER, "it does not know this node's token"),
    _Saying("user name is empty", Kind.STRANGER, f"it wants a user and a password {_USER}"),
    _Saying("authentication failed", Kind.REFUSED, f"it knows no such user with that password {_USER}"),
    _Saying("permission denied", Kind.DENIED, "this node's user has no right to do that there"),
    _Saying("no leader", Kind.AWAY, "it has no leader: too few members reach each other"),
    _Saying("too many requests", Kind.AWAY, "it has too much to do"),
    _Saying("for learner", Kind.AWAY, "it is new and still learning what the others know"),
    _Saying(
        "CERTIFICATE_VERIFY_FAILED|certificate verify failed|Hostname Verification",
        Kind.REFUSED,
        "its certificate is not one of the authority in registry.ca for this address, or is out of date",
    ),
    _Saying(
        # With TLS 1.3 the other side refuses a certificate when this one believes the connection made.
        "Unwrap failed|alert.*certificate|alert.*unknown ca",
        Kind.REFUSED,
        "it wants a certificate of its authority, and gets none or another one (registry.certificate, registry.key)",
    ),
    _Saying("Connection refused", Kind.AWAY, "nothing listens there"),
    _Saying("DNS resolution failed|Domain name not found", Kind.AWAY, "there is no host of that name"),
    _Saying(
        "failed to connect.*(Socket closed|reset by peer)",
        Kind.AWAY,
        "it ends the connection and says nothing; registry.ca is to be given if it speaks TLS, and only then",
    ),
    _Saying("failed to connect", Kind.AWAY, "no connection can be made"),
)
_UNSURE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
}


def failed(error: grpc.RpcError, seconds: float) -> Failed:
    """What a failed call of grpc says, after it was given so many seconds."""
    code, details = _parts(error)
    for saying in _SAYINGS:
        if re.search(saying.pattern, details, re.IGNORECASE):
            return Failed(saying.kind, saying.words)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Failed(Kind.LOST, f"no answer within {seconds:g} s")
    words = details.removeprefix("etcdserver: ")
    return Failed(Kind.LOST if code in _UNSURE else Kind.WRONG, words or code.name.lower())


def _parts(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, grpc.Call):
        return error.code(), error.details() or ""
    return grpc.StatusCode.UNKNOWN, str(error)
