"""A browser, as people have it: Debian's chromium, without a window."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from support import ServedNode

CHROMIUM = shutil.which("chromium")
SEE_OTHER = 303


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root has no sandbox of chromium's; it sees nothing here but what the tests serve.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def signed_in(
    browser: Browser, node: ServedNode, scope: str = "admin", token: str | None = None, **settings: Any
) -> tuple[BrowserContext, list[str]]:
    """A browser in which somebody has signed in at a node, and the list of what its pages will complain of.

    Args:
        browser: in which it is.
        node: at which.
        scope: of the new token that is signed in with.
        token: that is signed in with instead.
        settings: of the browser, as Playwright takes them.
    """
    context = browser.new_context(base_url=f"http://127.0.0.1:{node.port}", **settings)
    complaints: list[str] = []
    context.set_default_timeout(20_000)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    # Not by the form, which takes a second: one test does that.
    answer = context.request.post("/login", form={"token": token or node.token(scope)}, max_redirects=0)
    assert answer.status == SEE_OTHER
    return context, complaints


def is_still(page: Page) -> None:
    """Wait until the live connection of a page stands, if it has one, and all has been drawn."""
    page.wait_for_function(
        """() => {
          const main = document.getElementById("main"), live = document.getElementById("live");
          return !main.dataset.live || live.textContent === "live";
        }"""
    )
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
