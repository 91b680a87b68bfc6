"""Schedules: each slot ends in one outcome, whatever the clock, the node and the people do."""

from __future__ import annotations
