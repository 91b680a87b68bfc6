"""Ask the node that has invited for admission: over TLS, and with the secret only once its authority is known."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any

from mao import certificates
from mao.errors import InvitationRefused, MaoError, NodeUnreachable, OutsideFailed, by_code
from mao.values import now, rfc3339

if TYPE_CHECKING:
    from mao.invitation import Invitation

_PATH = "/api/v1/cluster/join"
_TIME = (9, 10)
"""What OpenSSL says of a certificate that is not valid yet, or no more (X509_V_ERR_..., x509_vfy.h)."""
_PATIENCE = 30.0
"""Seconds for an answer: the other node signs at once."""


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
    connection = HTTPSConnection(invitation.host, invitation.port, timeout=_PATIENCE, context=context)
    try:
        if asked is None:
            connection.request("GET", _PATH)
        else:
            connection.request("POST", _PATH, json.dumps(asked), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        status, body = answer.status, json.loads(answer.read())
    except ssl.SSLCertVerificationError as error:
        clock = f" Is the clock of this machine right? It says {rfc3339(now())}." if error.verify_code in _TIME else ""
        raise OutsideFailed(
            f"The node at {_at(invitation)} does not prove to be of the cluster: {error.verify_message}.{clock} The"
            " invitation was not used."
        ) from error
    except (OSError, HTTPException) as error:
        raise NodeUnreachable(
            f"The node that invites does not answer at {_at(invitation)}: {error}. Is it served (`mao serve`), and is"
            " that port open to this machine? Then join again with the same invitation."
        ) from error
    except ValueError as error:
        raise OutsideFailed(f"What answers at {_at(invitation)} is no node: {error}.") from error
    finally:
        connection.close()
    if not isinstance(body, dict):
        raise OutsideFailed(f"What answers at {_at(invitation)} is no node: it sent {type(body).__name__}.")
    if status >= 400:  # noqa: PLR2004  # errors begin there (RFC 9110, 15)
        raise by_code().get(str(body.get("code")), MaoError)(str(body.get("detail")), cause=body.get("cause"))
    return body


def _at(invitation: Invitation) -> str:
    return f"{invitation.host}:{invitation.port}"
