"""The page of the reference that lists the routes of a node, made from its OpenAPI description."""
# ruff: noqa: INP001 -- a script, no package

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from mao.web.app import create
from mao.web.callers import Entrance

if TYPE_CHECKING:
    from mao.local_node import LocalNode

_HEAD = """# The HTTP API

Every request needs a token, as `Authorization: Bearer TOKEN`, but at the socket in the node's home
([Let others in](../how-to/let-others-in.md)), and `/healthz` and `/readyz`.

A node describes its API at `/api/v1/openapi.json` (OpenAPI 3.1), with a page of it at `/docs`. Bodies are JSON; times
are UTC with `Z`. Lists take `page_size` (50; at most 500) and `page_token`. What takes long answers 202 with a
`Location`; a GET there with `Prefer: wait=N` answers when it has ended, or after N seconds (at most 60). A POST with an
`Idempotency-Key` that comes again is answered and not done again. Every GET can be asked for with HEAD. Errors are
`application/problem+json`: [Errors](errors.md) lists them.
"""

_GROUPS = {
    "registry": "What the cluster shares",
    "cluster": "The cluster and its nodes",
    "published": "What is in a dataset",
    "this node": "What is on this node",
    "runs": "Runs",
    "logs": "What runs and installers print",
    "files": "The files of runs and clones",
    "schedules": "Schedules and their slots",
    "events": "Changes as they come",
    "access": "Who may ask",
    "founding": "The endpoints of the prototype",
    "operations": "For operators",
}


def openapi() -> dict[str, Any]:
    """The description of the API; it needs no node."""
    return create(cast("LocalNode", None), Entrance(None, frozenset())).openapi()


def http_api() -> str:
    """The page, in Markdown."""
    described = openapi()
    page = [_HEAD]
    for tag, title in _GROUPS.items():
        page.append(f"\n## {title}\n")
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                if tag in operation["tags"]:
                    page += _route(method, path, operation, described["components"]["schemas"])
    return "".join(page)


def _route(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    lines = [f"\n### {method.upper()} `{path}`\n\n{operation['description'].strip()}\n"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    fields = _fields(content["schema"], schemas) if content else []
    given = [
        (parameter["name"], parameter["in"], bool(parameter.get("required")), _type(parameter["schema"], schemas))
        for parameter in operation.get("parameters", [])
    ]
    if rows := [*given, *fields]:
        lines.append("\n| name | where | required | value |\n| --- | --- | --- | --- |\n")
        lines += [f"| `{name}` | {where} | {'yes' if must else 'no'} | {what} |\n" for name, where, must, what in rows]
    statuses = [status for status in operation["responses"] if status.isdigit() and status != "422"]
    lines.append(f"\nAnswers {' or '.join(statuses)}.\n")
    return lines


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    part = schemas[schema["$ref"].rpartition("/")[2]]
    return [
        (name, "body", name in part.get("required", []), _type(about, schemas))
        for name, about in part["properties"].items()
    ]


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(choice, schemas) for choice in schema["anyOf"] if choice.get("type") != "null")
    default = schema.get("default")
    given = "" if default in (None, "", []) else f", `{json.dumps(default)}` if not given"
    part = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"]) + given
    if "const" in part:
        return f"`{part['const']}`"
    if "$ref" in schema:
        return f"object of {', '.join(f'`{name}`' for name in part['properties'])}"
    return f"{part.get('type', '')}{given}"
