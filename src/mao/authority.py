"""Ask the node that has the key of the cluster's authority, over TLS: that one decides who may do what."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mao.catalogue import AUTHORITY, Authority
from mao.errors import MaoError, NodeUnreachable, OutsideFailed, RightMissing, by_code
from mao.roles import is_grantable
from mao.values import now, rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.config import Config
    from mao.registry import Registry

_TIME = (9, 10)
"""What OpenSSL says of a certificate that is not valid yet, or no more (X509_V_ERR_..., x509_vfy.h)."""
_PATIENCE = 30.0
"""Seconds for an answer: the other node signs or grants at once."""


def of(registry: Registry) -> Authority | None:
    """The node that has the authority's key; None where every node can write everything."""
    entry = registry.get(AUTHORITY)
    return Authority.model_validate_json(entry.value) if entry else None


def ask_for_rights(config: Config, registry: Registry, keys: Sequence[str]) -> None:
    """Get the right to write `keys`, which nobody has made yet, or this node.

    Raises:
        RightMissing: nobody can give it.
        NodeUnreachable: the node that could does not answer.
        Denied: another node has made one of them.
    """
    asked = [key for key in keys if is_grantable(key)]
    authority = of(registry)
    named = ", ".join(f"'{key}'" for key in keys)
    if authority is None or not asked:
        raise RightMissing(
            f"The registry does not let this node write {named}. Whoever looks after etcd can let it: `mao cluster"
            f" roles {config.node}` prints what its role needs. Nothing was changed."
        )
    ask(config, authority, "grants", {"keys": asked})


def ask(config: Config, authority: Authority, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the node with the authority's key answers to this one, which shows its certificate.

    Raises:
        NodeUnreachable, OutsideFailed
        MaoError: whatever that node raised.
    """
    known = ssl.create_default_context(cafile=str(config["cluster.ca"]))
    known.load_cert_chain(config["cluster.certificate"], config["cluster.key"])
    url = urlsplit(authority.url)
    who = f"Node '{authority.node}', which has the key of the cluster's authority and gives rights to names,"
    then = "What is registered already works on without it. Nothing was changed."
    place = url.hostname or "", url.port or 443
    return exchange(place, known, f"/api/v1/cluster/{path}", body, who=who, then=then)


def exchange(
    place: tuple[str, int], context: ssl.SSLContext, path: str, body: dict[str, Any] | None, *, who: str, then: str
) -> dict[str, Any]:
    """What a node answers at `place`, a host and a port, to `body`, or to a look if that is None.

    Args:
        place: where it is.
        context: how it is known.
        path: what is asked.
        body: what is sent.
        who: is asked, in words for errors.
        then: what follows for who reads them.

    Raises:
        NodeUnreachable, OutsideFailed
        MaoError: whatever that node raised.
    """
    connection = HTTPSConnection(*place, timeout=_PATIENCE, context=context)
    at = f"{place[0]}:{place[1]}"
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        status, text = answer.status, answer.read()
        told = json.loads(text) if text else {}
    except ssl.SSLCertVerificationError as error:
        clock = f" Is the clock of this machine right? It says {rfc3339(now())}." if error.verify_code in _TIME else ""
        raise OutsideFailed(
            f"The node at {at} does not prove to be of the cluster: {error.verify_message}.{clock} Nothing was changed."
        ) from error
    except (OSError, HTTPException) as error:
        raise NodeUnreachable(
            f"{who} does not answer at {at}: {error}. Is it served (`mao serve`), and is that port open to this"
            f" machine? {then}"
        ) from error
    except ValueError as error:
        raise OutsideFailed(f"What answers at {at} is no node: {error}.") from error
    finally:
        connection.close()
    if not isinstance(told, dict):
        raise OutsideFailed(f"What answers at {at} is no node: it sent {type(told).__name__}.")
    if status >= 400:  # noqa: PLR2004  # errors begin there (RFC 9110, 15)
        raise by_code().get(str(told.get("code")), MaoError)(str(told.get("detail")), cause=told.get("cause"))
    return told
