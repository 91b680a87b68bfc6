"""Datasets: how they grow, what they were filled by, and a look at what is newest."""

from __future__ import annotations

from mao.web.routing import root

router = root()
