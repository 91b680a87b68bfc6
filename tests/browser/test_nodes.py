"""The page of the nodes in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext

    from support import ServedNode


def test_what_takes_long_comes_by_itself_and_stays_as_it_is_read(
    serve: Callable[..., ServedNode], visit: Callable[..., BrowserContext]
) -> None:
    page = visit(serve(), "read").new_page()
    page.goto("/view/nodes")
    health = page.get_by_role("region", name="Health of this node")
    health.get_by_text("found nothing wrong").click()
    health.get_by_role("row", name="sqlite").wait_for()
    page.get_by_role("region", name="Cluster").get_by_text("This node is alone").wait_for()

    page.evaluate("document.getElementById('waiting').textContent = 'old'; window.mao.renew()")
    page.get_by_role("heading", name="Waits for somebody").wait_for()

    assert health.get_by_role("row", name="sqlite").is_visible()


def test_the_page_can_be_read_without_scripts(
    serve: Callable[..., ServedNode], visit: Callable[..., BrowserContext]
) -> None:
    page = visit(serve(), "read", java_script_enabled=False).new_page()
    page.goto("/view/nodes")
    page.get_by_role("link", name="What it finds").click()
    page.get_by_role("heading", name="Health of node alpha").wait_for()
    page.get_by_role("row", name="executor").wait_for()
    page.get_by_role("link", name="Nodes").click()
    page.get_by_role("link", name="What they say").click()
    page.get_by_text("This node is alone").wait_for()
