"""Raise alarms, and end them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mao.alarm import Alarm
    from mao.local_node import LocalNode

log = logging.getLogger("mao.alarming")


def raise_alarm(node: LocalNode, alarm: Alarm) -> None:
    """Raise it, once: of one that is raised already only the words may change."""
    with node.locked("alarm", alarm.key):
        present = node.store.alarm(alarm.key)
        if present is not None and present.about == alarm.about:
            alarm = alarm.model_copy(update={"since": present.since})
        else:
            log.warning("alarm %s %s: %s", alarm.kind, alarm.subject, alarm.detail)
        if alarm != present:
            node.store.save(alarm)


def end_alarm(node: LocalNode, alarm: Alarm, why: str) -> None:
    """End it, unless another one has taken its place."""
    with node.locked("alarm", alarm.key):
        present = node.store.alarm(alarm.key)
        if present is not None and present.about == alarm.about:
            log.info("alarm %s %s is over: %s", alarm.kind, alarm.subject, why)
            node.store.remove(present)
