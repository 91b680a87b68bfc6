"""The API of the audit log: what was asked of this node that would change something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Response

from mao.audit import AuditEntry
from mao.errors import BadPage
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import First, Last, Order, Page, Wanted, encoded, page, wanted
from mao.web.routing import api

if TYPE_CHECKING:
    from collections.abc import Iterator

router = api("this node")


@router.get("/audit", responses={200: {"model": Page[AuditEntry]}})
def list_audit(  # what can be asked for
    node: Node,
    asked: Annotated[Wanted, Depends(wanted)],
    caller: Annotated[str | None, Query(description="Of this caller: `owner`, `token:NAME`, `node:NAME`.")] = None,
    since: Annotated[First | None, Query(description="Asked from this day (in UTC) or moment on.")] = None,
    until: Annotated[Last | None, Query(description="Asked up to this day (in UTC) or moment.")] = None,
    order: Annotated[Order, Query(description="Which come first.")] = Order.NEWEST,
) -> Response:
    """Requests that would change something on this node: who asked, when, from where, and what came of it."""
    if asked.after is not None and not re.fullmatch("[0-9]{1,18}", asked.after):
        raise BadPage("The page_token is not one that this server gave. Begin again without it.")
    entries = node.audit.entries(
        after=None if asked.after is None else int(asked.after),
        limit=asked.size + 1,
        newest_first=order is Order.NEWEST,
        caller=caller,
        since=since,
        until=until,
    )
    return encoded(page(_keyed(entries), asked.size))


def _keyed(entries: list[AuditEntry]) -> Iterator[tuple[str, str]]:
    return ((str(entry.number), entry.model_dump_json()) for entry in entries)
