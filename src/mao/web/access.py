"""What routes share: the node they act on, preconditions, repeated requests, waiting for an end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import re
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool

from mao.caller import Right
from mao.errors import BadBody, IdempotencyKeyReused, NotAllowed
from mao.local_node import LocalNode
from mao.store import IdempotentRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds that `Prefer: wait=N` may ask for."""
_PATIENT = 32
"""How many requests may wait for git at the same time."""
_BUSY = 1.0
"""Seconds that a request waits for the same one that is under way, before it says so."""
_limiter: RunVar[CapacityLimiter] = RunVar("patient requests")


def patient(route: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Have `route` wait for git in threads of its own: remotes that hang must not stop what is quick."""

    @functools.wraps(route)
    async def wait(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            limiter = _limiter.get()
        except LookupError:
            _limiter.set(limiter := CapacityLimiter(_PATIENT))
        return await to_thread.run_sync(functools.partial(route, *args, **kwargs), limiter=limiter)

    return wait


# What only looks at the request is async: FastAPI would run it in a thread, which takes longer than the answer.


async def _node(request: Request) -> LocalNode:
    node: LocalNode = request.app.state.node
    return node


Node = Annotated[LocalNode, Depends(_node)]


def registry_age(node: LocalNode) -> dict[str, str]:
    """The header that says how old an answer from the mirror is: whole seconds, 0 if the registry is in touch."""
    return {"X-MAO-Registry-Age": "0" if node.mirror.in_touch() else f"{node.mirror.age():.0f}"}


async def _as_administrator(
    request: Request,
    *,
    as_administrator: Annotated[
        bool, Query(description="Change what another node registered; this one must be an administrator.")
    ] = False,
) -> bool:
    # What nodes of the cluster may change of each other's is for the registry to say.
    if as_administrator and "peer" not in request.scope["state"] and request.state.caller.right < Right.ADMIN:
        raise NotAllowed("To change what another node registered needs a token with the scope 'admin'.")
    return as_administrator


AsAdministrator = Annotated[bool, Depends(_as_administrator)]


async def _if_match(if_match: Annotated[str | None, Header()] = None) -> int | None:
    """The revision that what is to be changed must still have."""
    if if_match is None:
        return None
    found = re.fullmatch(r'"(\d+)"', if_match.strip())
    if found is None:
        raise BadBody("If-Match must be the ETag of the answer that is to be changed.")
    return int(found[1])


IfMatch = Annotated[int | None, Depends(_if_match)]


async def _key(
    request: Request, idempotency_key: Annotated[str | None, Header(max_length=200)] = None
) -> tuple[str, str] | None:
    """The Idempotency-Key of the request, and a digest of the request."""
    if idempotency_key is None:
        return None
    body = await request.body()
    digest = hashlib.sha256(b"%s %s\n%s" % (request.method.encode(), request.url.path.encode(), body))
    return idempotency_key, digest.hexdigest()


Key = Annotated[tuple[str, str] | None, Depends(_key)]


@contextlib.contextmanager
def alone(node: LocalNode, key: tuple[str, str] | None) -> Iterator[str | None]:
    """Where the answer to this request is, if it came before with the same key; meanwhile it is not worked on twice.

    Raises:
        IdempotencyKeyReused: it was another request.
        InUse: the same request is under way.
    """
    if key is None:
        yield None
        return
    with node.locked("request", key[0], wait=_BUSY):
        known = node.store.remembered(key[0])
        if known is not None and known.request != key[1]:
            raise IdempotencyKeyReused(
                f"The Idempotency-Key '{key[0]}' came with another request before. Take a new one."
            )
        yield known.location if known else None


def once(node: LocalNode, key: tuple[str, str] | None, act: Callable[[], str]) -> str:
    """What `act` returns: where the answer is. It is not called for a request that came before with the same key.

    Raises:
        IdempotencyKeyReused, InUse: see `alone`.
    """
    with alone(node, key) as known:
        location = known or act()
        if key is not None and known is None:
            node.store.remember(IdempotentRequest(*key, location))
    return location


async def _wait(prefer: Annotated[str | None, Header()] = None) -> float:
    """Seconds that the caller would wait for an end (RFC 7240, 4.3)."""
    found = re.search(r"\bwait=(\d{1,6})\b", prefer or "")
    return min(float(found[1]), LONGEST_WAIT) if found else 0.0


Wait = Annotated[float, Depends(_wait)]


class Changes:
    """Wakes whoever waits in the server's event loop when the store or the registry has changed."""

    def __init__(self, node: LocalNode) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self.stopping = False
        node.listen(self._tell)

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def stop(self) -> None:
        """Let all who wait go."""
        self.stopping = True
        self._set()

    def ticket(self) -> asyncio.Event:
        """Taken before looking, so that no change between looking and waiting is missed."""
        return self._event

    async def after(self, ticket: asyncio.Event, seconds: float) -> None:
        """Wait for a change since `ticket` was taken, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ticket.wait()


async def ended(request: Request, wait: float, is_ended: Callable[[], bool]) -> None:
    """Return when `is_ended`, or after `wait` seconds."""
    changes: Changes = request.app.state.changes
    deadline = asyncio.get_running_loop().time() + wait
    while not changes.stopping:
        ticket = changes.ticket()
        left = deadline - asyncio.get_running_loop().time()
        if await run_in_threadpool(is_ended) or left <= 0:
            return
        await changes.after(ticket, left)
