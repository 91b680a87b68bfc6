"""Whether a node and its machine are as they should be: what each check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mao.names import Name
from mao.values import Moment, Value


class Result(StrEnum):
    """What a finding means."""

    OK = "ok"
    WARN = "warn"
    """It works, but somebody should look."""
    FAIL = "fail"
    """A node does not work with it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    result: Result
    found: str
    advice: str = ""


class Health(Value):
    """What a node has found of itself and of its machine."""

    node: Name
    version: str
    findings: tuple[Finding, ...]
    checked_at: Moment

    @property
    def troubles(self) -> tuple[Finding, ...]:
        """The findings to look at, the worst first."""
        found = [each for each in self.findings if each.result is not Result.OK]
        return tuple(sorted(found, key=lambda each: each.result is not Result.FAIL))
