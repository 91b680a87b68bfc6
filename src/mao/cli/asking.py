"""The client of a node, imported without TLS: no node speaks it, and it takes as long as a third of all the rest."""

from __future__ import annotations

import sys

_UNUSED = "ssl" not in sys.modules
if _UNUSED:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # http.client does without it; so says the import system

from mao.client import Client, at  # noqa: E402  # this is what it is for

if _UNUSED:
    del sys.modules["ssl"]

__all__ = ["Client", "at"]
