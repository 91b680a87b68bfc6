"""The page of the API at `/docs`: every route, from the OpenAPI description."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response  # noqa: TC002  # FastAPI reads the annotations

from mao.web.page.frame import Viewed  # noqa: TC001  # FastAPI reads the annotations
from mao.web.routing import root

router = root()


@router.get("/docs", include_in_schema=False)
def show(request: Request, view: Viewed) -> Response:
    """Every route of the API with what it takes."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    routes = [
        {
            "method": method.upper(),
            "path": path,
            "words": operation.get("description") or operation.get("summary", ""),
            "parameters": operation.get("parameters", []),
            "body": _body(operation),
        }
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    return view.page("reference.html", routes=routes)


def _body(operation: dict[str, Any]) -> str:
    """The name of what is to be sent, if it has one."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return str(content.get("schema", {}).get("$ref", "")).rpartition("/")[2]
