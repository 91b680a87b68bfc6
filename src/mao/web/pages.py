"""Lists in pages: `page_size` and `page_token` in, `items` and `next_page_token` out."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from fastapi import Query, Response
from pydantic import BaseModel, BeforeValidator

from mao.errors import BadPage
from mao.values import INSTANT, Moment, since

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mao.values import Value

Item = TypeVar("Item")

_DAY = timedelta(days=1)


def _end(text: object) -> datetime:
    """The moment that a day (`2026-11-01`, when it ends in UTC) or an RFC 3339 moment names."""
    is_day = isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII)
    return since(text) + (_DAY - INSTANT if is_day else timedelta(0))


First = Annotated[Moment, BeforeValidator(since)]
Last = Annotated[Moment, BeforeValidator(_end)]


class Order(StrEnum):
    """Which come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


USUAL_SIZE = 50
"""Items in a page, if the request does not say."""


class Page(BaseModel, Generic[Item]):
    """Part of a list; `next_page_token` asks for the next one, and is null at the end."""

    items: list[Item]
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which page is asked for: at most `size` items, those after the key `after`."""

    size: int
    after: str | None


async def wanted(
    page_size: Annotated[int, Query(ge=1, le=500, description="Items in a page.")] = USUAL_SIZE,
    page_token: Annotated[str | None, Query(description="From the page before.")] = None,
) -> Wanted:
    """The page that the request asks for."""
    if not page_token:
        return Wanted(page_size, None)
    try:
        return Wanted(page_size, base64.b64decode(page_token, b"-_", validate=True).decode())
    except ValueError as error:
        raise BadPage("The page_token is not one that this server gave. Begin again without it.") from error


def token_of(key: str) -> str:
    """The `page_token` for what comes after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode()


Body = TypeVar("Body", bytes, str, bytes | str)


def cut(items: Iterable[tuple[str, Body]], size: int) -> tuple[list[tuple[str, Body]], str | None]:
    """A page of values by their keys, and the token of the next one; that needs one more than `size`."""
    listed = list(items)
    more = len(listed) > size
    listed = listed[:size]
    return listed, token_of(listed[-1][0]) if more else None


def page(items: Iterable[tuple[str, bytes | str]], size: int) -> bytes:
    """A page of JSON values by their keys; given one more than `size`, it knows that another page follows."""
    listed, token = cut(items, size)
    bodies = b",".join(value if isinstance(value, bytes) else value.encode() for _, value in listed)
    return b'{"items":[%s],"next_page_token":%s}' % (bodies, json.dumps(token).encode())


def page_of(items: Iterable[tuple[str, Value]], asked: Wanted) -> bytes:
    """The page that is asked for of values by their keys, in the order in which they come.

    Raises:
        BadPage: what the page before ended with is not among them any more.
    """
    left = iter(items)
    if asked.after is not None and all(key != asked.after for key, _ in left):
        raise BadPage("The list has changed since the page before was given. Begin again without the page_token.")
    return page(((key, value.model_dump_json()) for key, value in islice(left, asked.size + 1)), asked.size)


def encoded(body: bytes, status: int = 200, **headers: str) -> Response:
    """JSON that is encoded already."""
    return Response(body, status_code=status, media_type="application/json", headers=headers)
