"""The API of alarms: what is not as it should be, for as long as it lasts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Response

from mao.alarm import Alarm, AlarmKind
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.pages import Page, Wanted, encoded, page, wanted
from mao.web.routing import api

router = api("this node")


@router.get("/alarms", responses={200: {"model": Page[Alarm]}})
def list_alarms(
    node: Node,
    asked: Annotated[Wanted, Depends(wanted)],
    kind: Annotated[AlarmKind | None, Query(description="Alarms of this kind.")] = None,
) -> Response:
    """Alarms that this node has raised and whose cause lasts."""
    state = kind.value if kind else None
    return encoded(page(node.store.bodies("alarm", after=asked.after, limit=asked.size + 1, state=state), asked.size))
