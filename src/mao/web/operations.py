"""What operators watch: whether the node lives, whether it is ready, and its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from mao import __version__
from mao.alarm import AlarmKind
from mao.run import Run, RunState
from mao.values import now, rfc3339
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations

if TYPE_CHECKING:
    from mao.local_node import LocalNode

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz(node: Node) -> dict[str, str]:
    """The server answers; by `time` others see how far its clock is off."""
    return {"status": "ok", "version": __version__, "node": node.config.node, "time": rfc3339(now())}


@router.get("/readyz")
def readyz(node: Node) -> dict[str, str]:
    """The node can do its work: its store answers."""
    node.store.last_seq()
    return {"status": "ready", "node": node.config.node}


@router.get("/metrics", response_class=Response)
def metrics(node: Node) -> Response:
    """Counts for Prometheus."""
    return Response(generate_latest(_measured(node)), media_type=CONTENT_TYPE_LATEST)


def _measured(node: LocalNode) -> CollectorRegistry:
    registry = CollectorRegistry()
    runs = Gauge("mao_runs", "Runs on this node by state.", ["state"], registry=registry)
    for state in RunState:
        runs.labels(state.value).set(0)
    for name, count in node.store.counts("run").items():
        runs.labels(name).set(count)
    installed = Gauge("mao_installations", "Tools on this node by state.", ["state"], registry=registry)
    for name, count in node.store.counts("installation").items():
        installed.labels(name).set(count)
    alarms = Gauge("mao_alarms", "Alarms of this node by kind.", ["kind"], registry=registry)
    for kind in AlarmKind:
        alarms.labels(kind.value).set(0)
    for name, count in node.store.counts("alarm").items():
        alarms.labels(name).set(count)
    unpublished = node.store.bodies("run", limit=1, state=RunState.UNPUBLISHED)
    oldest = max((Run.model_validate_json(body).created_at.timestamp() for _, body in unpublished), default=0)
    Gauge(
        "mao_unpublished_oldest_timestamp_seconds",
        "When the oldest unpublished run was created (Unix time; 0: none).",
        registry=registry,
    ).set(oldest)
    Gauge(
        "mao_registry_age_seconds",
        "Seconds since the registry was last in touch (0: it is; +Inf: it never was).",
        registry=registry,
    ).set(0 if node.mirror.in_touch() else node.mirror.age())
    return registry
