"""A browser for all tests, and what they look at with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from browsing import CHROMIUM, chromium, signed_in
from observatory import observatory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext

    from observatory import Observatory
    from support import ServedNode


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium: what pages do in a browser is NOT tested here")
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Gives a browser in which somebody has signed in at a node; what a page complains of fails the test at its end."""
    opened: list[tuple[BrowserContext, list[str]]] = []

    def visited(node: ServedNode, scope: str = "admin", **settings: Any) -> BrowserContext:
        opened.append(signed_in(browser, node, scope, **settings))
        return opened[-1][0]

    yield visited
    for context, _ in opened:
        context.close()
    assert [complaint for _, complaints in opened for complaint in complaints] == []


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    """An observatory with two months behind it, for tests that change nothing there."""
    with observatory(tmp_path_factory.mktemp("observatory")) as found:
        yield found
