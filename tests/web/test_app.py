from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from types import ModuleType

    from serving import Serving

DOCS = Path(__file__).parents[2] / "docs"

ROUTES = [
    "GET /api/v1/tools",
    "GET /api/v1/tools/{name}",
    "POST /api/v1/tools",
    "DELETE /api/v1/tools/{name}",
    "GET /api/v1/datasets",
    "GET /api/v1/datasets/{name}",
    "GET /api/v1/datasets/{name}/growth",
    "GET /api/v1/datasets/{name}/course",
    "POST /api/v1/datasets",
    "DELETE /api/v1/datasets/{name}",
    "GET /api/v1/datasets/{name}/changes",
    "GET /api/v1/datasets/{name}/changes/{commit}",
    "POST /api/v1/datasets/{name}/changes",
    "GET /api/v1/datasets/{name}/conflicts",
    "GET /api/v1/datasets/{name}/verification",
    "POST /api/v1/datasets/{name}/verification",
    "GET /api/v1/installations",
    "GET /api/v1/installations/{tool}",
    "POST /api/v1/installations",
    "DELETE /api/v1/installations/{tool}",
    "GET /api/v1/installations/{tool}/help",
    "GET /api/v1/installations/{tool}/log",
    "GET /api/v1/installations/{tool}/log/search",
    "GET /api/v1/installations/{tool}/update",
    "POST /api/v1/runs",
    "GET /api/v1/runs",
    "GET /api/v1/runs/{run_id}",
    "GET /api/v1/runs/{run_id}/log",
    "GET /api/v1/runs/{run_id}/log/search",
    "GET /api/v1/runs/{run_id}/files",
    "GET /api/v1/runs/{run_id}/content",
    "GET /api/v1/clones/{dataset}/files",
    "GET /api/v1/clones/{dataset}/content",
    "POST /api/v1/runs/{run_id}/cancel",
    "POST /api/v1/runs/{run_id}/publish",
    "POST /api/v1/schedules",
    "GET /api/v1/schedules",
    "GET /api/v1/schedules/preview",
    "GET /api/v1/schedules/summary",
    "GET /api/v1/schedules/{schedule_id}",
    "PATCH /api/v1/schedules/{schedule_id}",
    "DELETE /api/v1/schedules/{schedule_id}",
    "POST /api/v1/schedules/{schedule_id}/pause",
    "POST /api/v1/schedules/{schedule_id}/resume",
    "POST /api/v1/schedules/{schedule_id}/backfill",
    "GET /api/v1/schedules/{schedule_id}/preview",
    "GET /api/v1/schedules/{schedule_id}/slots",
    "GET /api/v1/schedules/{schedule_id}/calendar",
    "POST /api/v1/clones",
    "GET /api/v1/clones",
    "GET /api/v1/clones/{dataset}",
    "DELETE /api/v1/clones/{dataset}",
    "GET /api/v1/alarms",
    "GET /api/v1/health",
    "GET /api/v1/audit",
    "GET /api/v1/secrets",
    "GET /api/v1/secrets/{name}",
    "PUT /api/v1/secrets/{name}",
    "DELETE /api/v1/secrets/{name}",
    "POST /api/v1/cluster/grants",
    "POST /api/v1/cluster/members",
    "GET /api/v1/approvals",
    "POST /api/v1/approvals",
    "DELETE /api/v1/approvals/{tool}/{commit}",
    "GET /api/v1/cluster",
    "POST /api/v1/cluster/invitations",
    "GET /api/v1/cluster/join",
    "POST /api/v1/cluster/join",
    "GET /api/v1/nodes",
    "GET /api/v1/nodes/{name}",
    "GET /api/v1/nodes/{name}/api/{path}",
    "POST /api/v1/nodes/{name}/api/{path}",
    "PATCH /api/v1/nodes/{name}/api/{path}",
    "DELETE /api/v1/nodes/{name}/api/{path}",
    "GET /api/v1/events",
    "POST /api/v1/tokens",
    "GET /api/v1/tokens",
    "DELETE /api/v1/tokens/{name}",
    "POST /api/v1/links",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /regtools",
    "GET /datasets",
    "GET /installed",
    "POST /register",
    "POST /install",
    "POST /help",
    "POST /run",
    "POST /retrieve",
]


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages_http", DOCS / "pages_http.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def description(served: Serving) -> Any:
    reply = served.request("GET", "/api/v1/openapi.json")
    assert reply.status == 200
    return reply.json


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [ref for item in node for ref in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [ref for value in node.values() for ref in references(value)]


def test_the_description_is_openapi_3_1(description: Any) -> None:
    assert re.fullmatch(r"3\.1\.\d+", description["openapi"])
    assert set(description["info"]) >= {"title", "version"}
    schemas = description["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    assert {ref.removeprefix("#/components/schemas/") for ref in references(description)} <= set(schemas)
    for path, methods in description["paths"].items():
        in_path = set(re.findall(r"{(\w+)}", path))
        for operation in methods.values():
            assert operation["responses"]
            assert operation["description"].endswith(".")
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == in_path
    ids = [operation["operationId"] for methods in description["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))


def test_every_route_that_others_rely_on_is_there_and_no_other(description: Any) -> None:
    there = {f"{method.upper()} {path}" for path, methods in description["paths"].items() for method in methods}

    assert there == set(ROUTES)


def test_every_error_is_described_as_a_problem(description: Any) -> None:
    for methods in description["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_the_description_can_be_read_as_a_page(served: Serving) -> None:
    reply = served.request("GET", "/docs")

    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"/api/v1/openapi.json" in reply.body


def test_the_page_of_the_reference_lists_every_route() -> None:
    page = pages().http_api()

    for route in ROUTES:
        method, path = route.split()
        assert f"### {method} `{path}`" in page, route


def test_the_page_of_the_reference_is_the_one_that_is_made_now() -> None:
    path = DOCS / "reference" / "http-api.md"
    if not path.exists():
        pytest.skip("docs/generate.py does not write it yet")
    assert pages().http_api() in path.read_text(encoding="utf-8")
