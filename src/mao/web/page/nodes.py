"""Nodes of the cluster, and whether this one is as it should be."""

from __future__ import annotations

from mao.web.routing import root

router = root()
