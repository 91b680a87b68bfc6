"""An alarm: what somebody has to know of for as long as it lasts."""

from __future__ import annotations

from enum import StrEnum

from mao.names import Name
from mao.values import Moment, Value


class AlarmKind(StrEnum):
    """What an alarm is raised for."""

    TAG_MOVED = "tag-moved"
    """The tag by which a tool was registered names another commit by now, or is gone; the subject is the tool."""


class Alarm(Value):
    """Something that is not as it should be, on this node or seen by it; gone when its cause is."""

    kind: AlarmKind
    subject: Name
    """Whom it concerns; for each kind and subject there is one alarm at most."""
    about: str
    """What of the subject it was raised for: with another one, it is another alarm."""
    detail: str
    """What is the matter and what to do about it."""
    since: Moment
    """When this node found it."""

    @property
    def key(self) -> str:
        """Tells it from all others, as the event that says that it is gone does."""
        return alarm_key(self.kind, self.subject)


def alarm_key(kind: AlarmKind, subject: str) -> str:
    """The key of an alarm: subjects are unique without regard to case."""
    return f"{kind}:{subject.lower()}"
