"""Who has sent a request: by the socket or the certificate of its connection, by its token, or by its cookie."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi.concurrency import run_in_threadpool

from mao.caller import Caller, Right
from mao.errors import ForeignOrigin, MaoError, NotSignedIn
from mao.tokens import COARSE
from mao.values import now
from mao.web.rights import needed
from mao.web.slowing import Failures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from mao.local_node import LocalNode
    from mao.tokens import Token

log = logging.getLogger("mao.web")

COOKIE = "mao_session"
MAKING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Headers = dict[bytes, bytes]


@dataclass(frozen=True)
class Entrance:
    """What is known of the address at which others than the owner ask.

    Args:
        url: at which a browser finds it; None if there is none.
        hosts: names by which it may be asked, in lower case.
        proxied: whether a proxy stands before it, which says who asks.
    """

    url: str | None
    hosts: frozenset[str]
    proxied: bool = False
    failures: Failures = field(default_factory=Failures)


async def caller_of(scope: Scope, headers: Headers) -> Caller:
    """Who has sent a request that no other node has sent.

    Raises:
        NotSignedIn, TooManyAttempts, ForeignOrigin
    """
    known: Caller | None = scope["state"].get("caller")
    if known is not None:
        return known  # by the socket
    node: LocalNode = scope["app"].state.node
    origin = _behind_proxy(scope, headers)
    nobody = scope["state"]["caller"] = Caller("nobody", origin, Right.NONE)
    secret = cookies(headers).get(COOKIE, "")
    is_open = needed(scope["method"], scope["path"]) is Right.NONE
    if b"authorization" in headers and not is_open:
        return await _by_token(scope, headers[b"authorization"], origin)
    if caller := node.tokens.of_session(secret, now(), origin) if secret else None:
        _check_own_page(scope, headers)
        return caller
    if is_open:
        return nobody
    raise NotSignedIn(
        f"{'Your session is over' if secret else 'This node does not know you'}: send a token, as 'Authorization:"
        " Bearer TOKEN', or sign in at /login. Whoever keeps the node makes tokens with 'mao token create', and links"
        " for a browser with 'mao token link'. Nothing was done."
    )


async def _by_token(scope: Scope, authorization: bytes, origin: str) -> Caller:
    node: LocalNode = scope["app"].state.node
    kind, _, text = authorization.decode("latin-1").partition(" ")
    present = now()
    if kind.lower() != "bearer":
        raise NotSignedIn("Send a token as 'Authorization: Bearer TOKEN': there are no passwords here.")
    try:
        token = node.tokens.of_text(text.strip(), present)
    except NotSignedIn:
        entrance: Entrance = scope["app"].state.entrance
        await entrance.failures.hold(origin)
        raise
    if token.last_used_at is None or present - token.last_used_at > COARSE:
        await run_in_threadpool(_note_use, node, token)
    return token.caller(origin)


def _note_use(node: LocalNode, token: Token) -> None:
    try:
        node.tokens.note_use(token, now())
    except MaoError as error:  # a full disk is no reason to turn somebody away
        log.warning("%s", error.detail)


def _behind_proxy(scope: Scope, headers: Headers) -> str:
    """Where a request comes from; if there is a proxy, what that has added of its client is put into effect."""
    origin: str = (scope.get("client") or ("unknown", 0))[0]
    entrance: Entrance = scope["app"].state.entrance
    if not entrance.proxied:
        return origin
    if headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https":
        scope["scheme"] = "https"
    # The last one: those before it are what the client said.
    told = headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
    return told[:100] or origin


def _check_own_page(scope: Scope, headers: Headers) -> None:
    """See that a change that a browser asks for comes from a page of this node; it sends its cookie for others, too."""
    # If they are there, they have been seen to be right.
    own = b"origin" in headers or headers.get(b"sec-fetch-site") == b"same-origin"
    if scope["method"] in MAKING and not own:
        raise ForeignOrigin("A change that is asked for with a session has to come from a page of this node.")


def cookies(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The cookies of a request."""
    pairs = (part.partition("=") for part in headers.get(b"cookie", b"").decode("latin-1").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}
