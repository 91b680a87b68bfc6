"""Tools: which there are, what each can do, and what one may have done with it."""

from __future__ import annotations

from mao.web.routing import root

router = root()
