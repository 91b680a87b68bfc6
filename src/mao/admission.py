"""Ask the node that has invited for admission: over TLS, and with the secret only once its authority is known."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from mao import certificates
from mao.authority import exchange
from mao.errors import InvitationRefused, OutsideFailed

if TYPE_CHECKING:
    from mao.invitation import Invitation

_PATH = "/api/v1/cluster/join"


def authority(invitation: Invitation) -> bytes:
    """The certificate of the cluster's authority (PEM), which is the one that the invitation names.

    Nothing that is secret has been sent, and nothing that was answered is believed but for this.

    Raises:
        NodeUnreachable, OutsideFailed
        InvitationRefused: another authority answers there.
    """
    unknown = ssl.create_default_context()
    unknown.check_hostname = False
    unknown.verify_mode = ssl.CERT_NONE
    certificate = str(_exchange(invitation, unknown, None)["certificate"]).encode()
    try:
        found = certificates.fingerprint(certificate)
    except ValueError as error:
        raise OutsideFailed(f"What answers at {_at(invitation)} is no node of a cluster: {error}.") from error
    if found != invitation.authority:
        raise InvitationRefused(
            f"The node at {_at(invitation)} has another authority ({found[:16]}…) than the invitation names"
            f" ({invitation.authority[:16]}…). Either the invitation is of another cluster, or something stands between"
            " you and that node. The secret was not sent; nothing was changed."
        )
    return certificate


def ask(invitation: Invitation, authority: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """What the node with the authority answers to `asked` and the invitation's secret.

    Raises:
        NodeUnreachable, OutsideFailed
        MaoError: whatever that node raised.
    """
    known = ssl.create_default_context(cadata=authority.decode())
    return _exchange(invitation, known, asked | {"secret": invitation.secret})


def _exchange(invitation: Invitation, context: ssl.SSLContext, asked: dict[str, Any] | None) -> dict[str, Any]:
    then = "Then join again with the same invitation."
    return exchange((invitation.host, invitation.port), context, _PATH, asked, who="The node that invites", then=then)


def _at(invitation: Invitation) -> str:
    return f"{invitation.host}:{invitation.port}"
