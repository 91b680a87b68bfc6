"""The page of the API at `/docs`: every route, from the OpenAPI description, without scripts or other hosts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from fastapi import Request  # noqa: TC002  # FastAPI reads the annotations
from fastapi.responses import HTMLResponse

from mao.web.routing import root

if TYPE_CHECKING:
    from collections.abc import Iterator

router = root()

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>MAO: the HTTP API</title>
<h1>The HTTP API of this node</h1>
<p>The full description is <a href="/api/v1/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>
{body}
</html>
"""


@router.get("/docs", include_in_schema=False)
async def show(request: Request) -> HTMLResponse:
    """Every route of the API with what it takes."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    routes = (
        line
        for path, methods in paths.items()
        for method, operation in methods.items()
        for line in _route(method.upper(), path, operation)
    )
    return HTMLResponse(_PAGE.format(body="\n".join(routes)))


def _route(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method} {escape(path)}</code></h2>"
    yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        items = (
            f"<li><code>{escape(p['name'])}</code> ({escape(p['in'])}) {escape(p.get('description', ''))}</li>"
            for p in parameters
        )
        yield f"<ul>{''.join(items)}</ul>"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if reference := content.get("schema", {}).get("$ref"):
        yield f"<p>Body: <code>{escape(reference.rpartition('/')[2])}</code>, JSON.</p>"
