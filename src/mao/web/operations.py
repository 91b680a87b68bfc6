"""What operators watch: whether the node lives, whether it is ready, and its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from mao import __version__
from mao.alarm import AlarmKind
from mao.run import Run, RunState
from mao.schedule import WAITING, Outcome, ScheduleState
from mao.values import now, rfc3339
from mao.web.access import Node  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mao.local_node import LocalNode

router = root("operations")

_COUNTED: dict[str, tuple[str, str, str, Iterable[str]]] = {
    "run": ("mao_runs", "state", "Runs on this node by state.", RunState),
    "installation": ("mao_installations", "state", "Tools on this node by state.", ()),
    "alarm": ("mao_alarms", "kind", "Alarms of this node by kind.", AlarmKind),
    "schedule": ("mao_schedules", "state", "Schedules of this node by state.", ScheduleState),
    "slot": ("mao_slots", "outcome", "Slots of schedules by outcome, or `waiting` for it.", (*Outcome, WAITING)),
}
"""What is counted by the kind of documents: the name of the gauge, of its label, its words, what is told of if none."""


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
    for kind, (name, label, words, states) in _COUNTED.items():
        gauge = Gauge(name, words, [label], registry=registry)
        for state, count in (dict.fromkeys(states, 0) | node.store.counts(kind)).items():
            gauge.labels(state).set(count)
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
