"""A dataset in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from support import ServedNode

    Visit = Callable[..., BrowserContext]

MEASURE = r"""printf 'time,ms\n2026-11-01,3\n2026-11-02,5\n' > "$MAO_DATA_DIR/a.csv" """


def test_what_a_run_has_published_is_drawn_and_can_be_cloned(
    serve: Callable[..., ServedNode], visit: Visit, tmp_path: Path, remote: Path
) -> None:
    commit(tmp_path / "probe", tool_files(remote, scripts={"Measure": MEASURE}))
    node = serve()
    node.install(tmp_path / "probe")
    page = visit(node).new_page()
    page.goto("/view/datasets/probe-data")
    page.get_by_text("live", exact=True).wait_for()

    node.ended(node.run("Measure"))

    page.get_by_role("cell", name="2026-11-02").first.wait_for()
    page.locator("#look-plot canvas").wait_for()
    page.get_by_text("The remote was asked just now.").wait_for()

    page.get_by_role("button", name="Clone it here").click()

    page.get_by_role("region", name="On this node").get_by_text("ready").wait_for()
    page.get_by_role("button", name="Refresh the clone").wait_for()
