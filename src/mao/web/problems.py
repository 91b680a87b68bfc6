"""Errors as they travel: RFC 9457 problem details, mapped here and nowhere else."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from mao.errors import BadBody, BadPage, MaoError, RouteNotFound
from mao.values import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("mao.web")

MEDIA_TYPE = "application/problem+json"
METHOD_NOT_ALLOWED = 405
NOT_SIGNED_IN = 401


class Problem(Value):
    """What an error says of itself (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[dict[str, Any], ...] = ()
    request_id: str


def response(error: MaoError, request_id: str, status: int | None = None) -> Response:
    """`error` as the answer to a request."""
    problem = Problem(
        type=f"https://mao-orchestrator.org/errors#{error.code()}",
        title=error.title(),
        status=status or error.status,
        detail=error.detail,
        code=error.code(),
        errors=tuple(error.faults),
        request_id=request_id,
    )
    headers = {"WWW-Authenticate": 'Bearer realm="mao"'} if problem.status == NOT_SIGNED_IN else None
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have `app` answer every error with a problem."""

    @app.exception_handler(MaoError)
    async def _ours(request: Request, error: MaoError) -> Response:
        return response(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [_fault(fault) for fault in error.errors()]
        words = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
        kind = BadPage if all(fault["path"].startswith("query.page_") for fault in faults) else BadBody
        return response(kind(f"The request is not what this path takes: {words}.", faults), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        what = f"{request.method} {request.url.path}"
        answer = response(
            RouteNotFound(f"There is nothing at {what} ({error.detail}); /docs lists what there is."),
            request.state.request_id,
            status=error.status_code,
        )
        answer.headers.update(error.headers or {})
        if error.status_code == METHOD_NOT_ALLOWED and (methods := _methods(request)):
            answer.headers["Allow"] = ", ".join(sorted(methods))
        return answer

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", "")
        log.error("request %s failed", request_id, exc_info=error)
        detail = f"Something went wrong that nobody thought of; the node's log has it under {request_id}."
        answer = response(MaoError(detail), request_id)
        answer.headers["X-Request-Id"] = request_id  # this answer does not pass the guard
        return answer


def _methods(request: Request) -> set[str]:
    """What may be done at the path: Starlette names the methods of the first route alone."""
    paths = request.app.openapi()["paths"]
    asked = request.url.path
    matching = [asked] if asked in paths else [path for path in paths if compile_path(path)[0].fullmatch(asked)]
    found = {method.upper() for path in matching for method in paths[path]}
    return found | {"HEAD"} if "GET" in found else found


def _fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    place = [str(part) for part in fault["loc"] if part != "body"]
    message = str(fault["msg"])
    if fault["type"] == "json_invalid":
        message = f"it is not JSON ({json.dumps(str(fault.get('ctx', {}).get('error', '')))})"
    return {"path": ".".join(place) or "body", "message": message}
