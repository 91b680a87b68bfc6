"""What all values share: they are frozen, checked when they come from outside, and travel as JSON."""

from __future__ import annotations

import os
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_SINCE = re.compile(r"\d{4}-\d\d-\d\d([Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?", re.ASCII)


INSTANT = timedelta(milliseconds=1)
"""The least by which two moments differ."""


class Value(BaseModel):
    """The base of every value: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def rfc3339(moment: datetime) -> str:
    """`moment` in UTC with milliseconds and `Z` (RFC 3339, 5.6)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


def since(text: object) -> datetime:
    """The moment that a day (`2026-11-01`, when it begins in UTC) or an RFC 3339 moment names.

    Raises:
        ValueError: it is neither, before 1970, where git has no dates, or after 9999.
    """
    if isinstance(text, datetime):
        return text
    if not isinstance(text, str) or not _SINCE.fullmatch(text):
        raise ValueError("give a day (2026-11-01) or a moment with its zone (2026-11-01T06:00:00Z)")
    moment = datetime.fromisoformat(text.upper())
    try:
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("it must lie in the years 1970 to 9999") from None
    if moment.timestamp() < 1:
        raise ValueError("git has no dates before 1970")
    return moment


Since = Annotated[Moment, BeforeValidator(since)]


def now() -> datetime:
    """The present in UTC, in whole milliseconds, as it is written everywhere."""
    present = datetime.now(UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7): its order as text is the order of creation, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    value = milliseconds << 80 | 7 << 76 | (random_bits >> 62) << 64 | 2 << 62 | random_bits & (1 << 62) - 1
    return str(UUID(int=value))


def display(path: bytes | str) -> str:
    r"""A file's path as text: bytes that are not UTF-8 are written as `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
