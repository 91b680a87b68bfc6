"""Write into the audit log what is asked of the node that would change something, and what it answered."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi.concurrency import run_in_threadpool

from mao.audit import AuditEntry
from mao.caller import Caller, Right
from mao.errors import DiskFull
from mao.git import without_password
from mao.values import now
from mao.web.callers import MAKING
from mao.web.rights import needed

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mao.audit_log import AuditLog

log = logging.getLogger("mao.web")

_REFUSED = 400
_BUG = 500
_ABOUT = ("tool", "command", "name", "dataset", "url", "ref", "commit", "cron", "scope", "path")
"""What is written of a body, where it is text. Arguments, which may be of anything, are in the record of the run."""
_LONGEST = 200
"""Characters of each of them."""
_STRANGERS = 60
"""How many refusals of callers that nobody knows are written in an hour: they must not fill the disk."""
_HOUR = 3600


class Audit:
    """Middleware around the guard; `begin` is called by that one when it lets a request pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._hour = 0
        self._strangers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _would_change(scope):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        held: list[Message] = []
        answered = False

        async def send_recorded(message: Message) -> None:
            nonlocal answered
            if not answered and message["type"] == "http.response.start" and message["status"] >= _REFUSED:
                held.append(message)  # what was wrong comes with the body
                return
            if not answered:
                answered = True
                await self._answered(scope, held[0] if held else message, message.get("body", b""))
            for earlier in held:
                await send(earlier)
            held.clear()
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except Exception:  # a bug; its answer is made further outside
            if "audited" in state and not answered:
                await run_in_threadpool(_log(scope).answer, state["request_id"], _BUG, "mao-error", None)
            raise

    async def _answered(self, scope: Scope, start: Message, body: bytes) -> None:
        try:
            await self._write(scope, start, body)
        except DiskFull as error:  # the answer is true all the same; the entry, if there is one, calls it unknown
            log.warning("what came of request %s is not in the audit log: %s", scope["state"]["request_id"], error)

    async def _write(self, scope: Scope, start: Message, body: bytes) -> None:
        state = scope["state"]
        if "audited" not in state:
            if start["status"] >= _REFUSED and not self._is_written(state.get("caller"), now()):
                return
            await _ask(scope, None)
        location = dict(start["headers"]).get(b"location")
        said = location.decode("latin-1") if location else None
        code = _code(body) if start["status"] >= _REFUSED else None
        await run_in_threadpool(_log(scope).answer, state["request_id"], start["status"], code, said)

    def _is_written(self, caller: Caller | None, moment: datetime) -> bool:
        """Whether it is written that a request was refused before anything was begun."""
        if caller is not None and caller.right is not Right.NONE:
            return True
        hour = int(moment.timestamp()) // _HOUR
        self._strangers = self._strangers + 1 if hour == self._hour else 1
        self._hour = hour
        return self._strangers <= _STRANGERS


def _would_change(scope: Scope) -> bool:
    return scope["method"] in MAKING and needed(scope["method"], scope["path"]) is not Right.READ


async def begin(scope: Scope, body: Any) -> None:
    """Write what is asked for, with the JSON of its `body`, before anything of it is done.

    Raises:
        DiskFull: it could not be written, and nothing is to be done.
    """
    caller: Caller = scope["state"]["caller"]
    if _would_change(scope) and caller.right is not Right.NONE:  # what strangers ask is written when it was answered
        await _ask(scope, body)


async def _ask(scope: Scope, body: Any) -> None:
    state = scope["state"]
    caller = state.get("caller") or Caller("nobody", (scope.get("client") or ("unknown", 0))[0], Right.NONE)
    entry = AuditEntry(
        number=0,
        request_id=state["request_id"],
        at=now(),
        caller=caller.name,
        origin=caller.origin,
        method=scope["method"],
        path=scope["path"],
        about=_about(body),
    )
    await run_in_threadpool(_log(scope).ask, entry)
    state["audited"] = True


def _log(scope: Scope) -> AuditLog:
    log: AuditLog = scope["app"].state.node.audit
    return log


def _about(body: Any) -> dict[str, str]:
    """What a body names that is no secret."""
    found = body if isinstance(body, dict) else {}
    named = {key: found[key] for key in _ABOUT if isinstance(found.get(key), str)}
    return {key: without_password(text)[:_LONGEST] for key, text in named.items()}


def _code(body: bytes) -> str | None:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        return None
