"""Routers whose routes are what they are from the start.

A router that is included in another one has all of its routes made again when the first request comes, which takes
longer than all else that a node does to answer it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mao.web.problems import MEDIA_TYPE, Problem

_RESPONSES: dict[int | str, dict[str, Any]] = {"default": {"model": Problem, "content": {MEDIA_TYPE: {}}}}


def api(tag: str, prefix: str = "") -> APIRouter:
    """A router for routes below `/api/v1`."""
    return APIRouter(prefix=f"/api/v1{prefix}", tags=[tag], responses=_RESPONSES)


def root(*tags: str) -> APIRouter:
    """A router for routes at the root."""
    return APIRouter(tags=[*tags], responses=_RESPONSES)
