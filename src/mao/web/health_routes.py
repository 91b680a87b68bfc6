"""The API of a node's health: what it finds of itself and of its machine, as `mao doctor` tells it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from mao.diagnosing import Checkup
from mao.health import Health  # noqa: TC001  # FastAPI reads the annotations
from mao.probing import look_at_address
from mao.web.access import patient
from mao.web.relaying import asked_by_others
from mao.web.routing import api

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = api("this node")


def checkup(node: LocalNode) -> Checkup:
    """The checks of a node that serves: one for all who ask."""
    return Checkup(
        node, {"cluster": lambda name: look_at_address(name, node.config, partial(asked_by_others, node.config))}
    )


async def _checkup(request: Request) -> Checkup:
    found: Checkup = request.app.state.checkup
    return found


Checked = Annotated[Checkup, Depends(_checkup)]


@router.get("/health")
@patient
def show_health(checkup: Checked) -> Health:
    """What the node finds of itself and of its machine: `ok`, `warn` (look at it) or `fail`, and what to do about it.

    It answers within seconds, whatever hangs; what took a program, a disk or the network to find may be as old as ten.
    """
    return checkup.health()
