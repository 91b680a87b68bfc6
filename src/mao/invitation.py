"""An invitation to join a cluster: one line that a person takes from one machine to another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mao.errors import InvitationRefused

_FORM = re.compile(r"(?P<host>[^/\s]+):(?P<port>\d{1,5})/(?P<authority>[0-9a-f]{64})/(?P<secret>[A-Za-z0-9_-]{20,100})")


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where to join, by which authority that node is known, and the secret by which it knows the one who asks."""

    host: str
    port: int
    authority: str
    """The fingerprint (SHA-256) of the certificate of the cluster's authority."""
    secret: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.authority}/{self.secret}"

    @property
    def digest(self) -> str:
        """What is kept of it by the node that invites: the secret cannot be told from it."""
        return digest(self.secret)


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse(text: str) -> Invitation:
    """The invitation that `text` is.

    Raises:
        InvitationRefused: it is none, or only a part of one.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InvitationRefused(
            "That is no invitation, or only a part of one: it is one line, HOST:PORT/FINGERPRINT/SECRET, as"
            " `mao cluster invite` prints it."
        )
    return Invitation(found["host"].strip("[]"), int(found["port"]), found["authority"], found["secret"])
