"""A browser, as people have it: Debian's chromium, without a window."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext

    from support import ServedNode

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium: what pages do in a browser is NOT tested here")
    with sync_playwright() as playwright:
        # Root has no sandbox of chromium's; it sees nothing here but what the tests serve.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Gives a browser in which somebody has signed in at a node; what a page complains of fails the test at its end."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visited(node: ServedNode, scope: str = "admin", **settings: object) -> BrowserContext:
        context = browser.new_context(base_url=f"http://127.0.0.1:{node.port}", **settings)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page = context.new_page()
        page.goto("/login")
        page.get_by_label("Token").fill(node.token(scope))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
        page.close()
        return context

    yield visited
    for context in contexts:
        context.close()
    assert complaints == []
