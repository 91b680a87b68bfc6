"""What runs and installers print, in parts that a browser can show, whatever is in it."""

from __future__ import annotations

from mao.web.routing import root

router = root()
