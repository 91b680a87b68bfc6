"""The pages of an observatory, by names for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from observatory import Observatory

PAGES = {
    "overview": "/",
    "tools": "/view/tools",
    "register": "/view/tools/register",
    "tool": "/view/tools/air-quality",
    "tool-with-alarm": "/view/tools/container-tags",
    "update": "/view/tools/air-quality/update?text=true",
    "runs": "/view/runs",
    "run": "/view/runs/{chart}",
    "run-going-on": "/view/runs/{long}",
    "run-failed": "/view/runs/{failed}",
    "run-unpublished": "/view/runs/{unpublished}",
    "schedules": "/view/schedules",
    "schedule": "/view/schedules/{air-quality}",
    "new-schedule": "/view/schedules/new?of=air-quality/Collect",
    "datasets": "/view/datasets",
    "dataset-with-chart": "/view/datasets/air-quality-data",
    "dataset-with-picture": "/view/datasets/weather-stations-data",
    "nodes": "/view/nodes",
    "health": "/view/nodes/health",
    "cluster": "/view/nodes/cluster",
}


def path_of(observatory: Observatory, name: str) -> str:
    """Where a page is."""
    return PAGES[name].format_map(observatory.runs | observatory.schedules)
