"""Schedules: when they are due next, and what became of each slot."""

from __future__ import annotations

from mao.web.routing import root

router = root()
