"""The files that pages load: kept in memory, and by a browser for as long as they stay what they are."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response

from mao.errors import RouteNotFound
from mao.web.routing import root

if TYPE_CHECKING:
    from collections.abc import Mapping

router = root()

_DIRECTORY = Path(__file__).with_name("static")
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_SMALL = 1000
"""Bytes up to which to compress something is not worth it."""


@dataclass(frozen=True)
class Asset:
    """A file that pages load."""

    media_type: str
    content: bytes
    compressed: bytes
    digest: str


@cache
def _assets() -> dict[str, Asset]:
    found = {}
    for path in sorted(_DIRECTORY.iterdir()):
        if path.suffix in _MEDIA_TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            found[path.name] = Asset(_MEDIA_TYPES[path.suffix], content, gzip.compress(content, 9, mtime=0), digest)
    return found


def asset_url(name: str) -> str:
    """Where the file `name` is in its present form: another form of it is elsewhere."""
    return f"/static/{name}?{_assets()[name].digest}"


def compressed(request: Request, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """`body` as the browser takes it, and its headers."""
    more = {**headers, "Vary": "Accept-Encoding"}
    if len(body) < _SMALL or not takes_gzip(request):
        return body, more
    return gzip.compress(body, 5, mtime=0), {**more, "Content-Encoding": "gzip"}


def takes_gzip(request: Request) -> bool:
    """Whether the browser takes what is compressed; `gzip;q=0` says that it does not (RFC 9110, 12.5.3)."""
    return re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", request.headers.get("accept-encoding", "")) is not None


@router.get("/static/{name}", include_in_schema=False)
async def show(request: Request, name: str) -> Response:
    """A file that pages load."""
    asset = _assets().get(name)
    if asset is None:
        raise RouteNotFound(f"There is no file '{name}' for pages.")
    lasting = request.url.query == asset.digest
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
        "Vary": "Accept-Encoding",
    }
    if takes_gzip(request):
        return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)
