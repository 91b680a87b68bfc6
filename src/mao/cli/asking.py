"""The client of a node, imported without TLS: the own node needs none, and it takes as long as a third of the rest."""

from __future__ import annotations

import sys

_UNUSED = "ssl" not in sys.modules
if _UNUSED:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # http.client does without it; so says the import system

from mao.client import Client, at  # noqa: E402  # this is what it is for
from mao.node_address import NodeAddress  # noqa: E402  # likewise

if _UNUSED:
    del sys.modules["ssl"]

__all__ = ["Client", "NodeAddress", "at"]
