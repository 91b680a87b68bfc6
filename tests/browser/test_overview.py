"""The first page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from support import ServedNode

    Visit = Callable[..., BrowserContext]


def test_what_was_run_appears_by_itself(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote, scripts={"Fail": "exit 3"}))
    node = serve()
    node.install(tmp_path / "probe")
    page = visit(node).new_page()
    page.goto("/")
    page.get_by_text("No run of this node has failed.").wait_for()
    page.get_by_text("live", exact=True).wait_for()

    node.run("Fail")

    page.get_by_role("region", name="Last failures").get_by_text("failed", exact=True).wait_for()
