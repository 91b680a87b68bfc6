"""Runs: which there were, and all that is known of one."""

from __future__ import annotations

from mao.web.routing import root

router = root()
