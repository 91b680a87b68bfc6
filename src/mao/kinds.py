"""What every error of MAO has, and the six kinds of them: what the caller should do, and the numbers that say so."""

from __future__ import annotations

import re
from typing import Any, ClassVar


class MaoError(Exception):
    """What this program could not do, in words for the person who asked.

    Args:
        detail: one or more sentences: what was wrong, where, and what to do about it.
        faults: the single faults behind it, where there are several (see `BadDefinition`).
        cause: what lies behind it more exactly than the class says; the class's code if not given.
    """

    status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, detail: str, faults: list[dict[str, Any]] | None = None, *, cause: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults or []
        self.cause = cause or self.code()

    @classmethod
    def code(cls) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def title(cls) -> str:
        """The first sentence of the class's docstring: the same for every error of the class."""
        return (cls.__doc__ or cls.__name__).strip().split("\n")[0].rstrip(".")


class InvalidRequest(MaoError):
    """The request cannot be understood as it stands."""

    status = 422
    exit_status = 2


class NotFound(MaoError):
    """There is nothing of that name."""

    status = 404
    exit_status = 3


class Conflict(MaoError):
    """The present state does not allow it."""

    status = 409
    exit_status = 4


class OutsideFailed(MaoError):
    """Something that this node called did not do its part."""

    status = 502
    exit_status = 5


class Unavailable(MaoError):
    """It cannot be done now; later it may."""

    status = 503
    exit_status = 6


class Denied(MaoError):
    """The caller may not do that."""

    status = 403
    exit_status = 7


def by_code() -> dict[str, type[MaoError]]:
    """Every class of error by its code, so that a client can raise what the server raised."""
    found: list[type[MaoError]] = [MaoError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.code(): kind for kind in found}
