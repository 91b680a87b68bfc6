"""The application: its parts put together over an open node."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from mao import __version__
from mao.web import (
    alarm_routes,
    approval_routes,
    audit_routes,
    calendar_routes,
    change_routes,
    cluster_routes,
    file_routes,
    founding,
    health_routes,
    installation_routes,
    log_routes,
    login,
    node_routes,
    operations,
    problems,
    reference,
    registry_routes,
    relaying,
    run_routes,
    schedule_routes,
    secret_routes,
    slot_routes,
    streams,
    token_routes,
)
from mao.web.access import Changes
from mao.web.auditing import Audit
from mao.web.guard import Guard
from mao.web.page import (
    assets,
    datasets,
    nodes,
    output,
    overview,
    runs,
    schedule_forms,
    schedules,
    tool_forms,
    tool_updates,
    tools,
)
from mao.web.page.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mao.local_node import LocalNode
    from mao.web.callers import Entrance

_PARTS = (
    registry_routes,
    cluster_routes,
    change_routes,
    installation_routes,
    run_routes,
    log_routes,
    file_routes,
    slot_routes,  # its paths without an id come before those with one
    calendar_routes,
    schedule_routes,
    secret_routes,
    node_routes,
    relaying,
    alarm_routes,
    health_routes,
    audit_routes,
    approval_routes,
    streams,
    token_routes,
    login,
    founding,
    operations,
    reference,
    assets,
    overview,
    tools,
    tool_forms,
    tool_updates,
    output,
    runs,
    schedule_forms,  # likewise
    schedules,
    datasets,
    nodes,
)


def create(node: LocalNode, entrance: Entrance) -> FastAPI:
    """The ASGI application of `node`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.changes = Changes(node)
        yield

    app = FastAPI(
        title="MAO",
        version=__version__,
        summary="A node of a research observatory.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # it would load scripts from elsewhere; `reference` has a page of our own
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.node = node
    app.state.entrance = entrance
    app.state.relayed = set()
    app.state.checkup = health_routes.checkup(node)
    problems.install(app)
    for part in _PARTS:
        app.router.routes.extend(part.router.routes)
    app.add_middleware(Guard)
    app.add_middleware(Audit)
    app.add_middleware(Refusals)
    return app
