"""Write the pictures of pages: docs/images/<page>-<scheme>.png, of an observatory with two months behind it.

python docs/screenshots.py            write them all
python docs/screenshots.py NAME ...   write those of some pages
"""
# ruff: noqa: INP001, T201 -- a script, no package

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from small_png import small_png

from browsing import CHROMIUM, chromium, is_still, signed_in
from observatory import HOSTED, observatory
from observatory.pages import path_of
from support import commit

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from observatory import Observatory

IMAGES = Path(__file__).with_name("images")
DESK, PHONE = (1200, 900), (390, 844)
LARGEST, LARGEST_TOGETHER = 150_000, 3_000_000
"""Bytes."""


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Args:
        page: of `observatory.pages`.
        before: what is done on the page first.
        size: of the window.
    """

    page: str
    before: Callable[[Page], None] | None = None
    size: tuple[int, int] = DESK


def show_faults(page: Page) -> None:
    """Have a definition refused."""
    page.get_by_label("Address of the git repository").fill(f"{HOSTED}noise-levels.git")
    page.get_by_role("button", name="Register").click()
    page.get_by_role("alert").get_by_role("listitem").first.wait_for()


def show_form(page: Page) -> None:
    """Open the form of a command."""
    page.locator("summary").filter(has_text="Collect").click()
    page.get_by_label("Hours").fill("48")
    page.get_by_text("harbour 48").first.wait_for()


def show_preview(page: Page) -> None:
    """Have a rule previewed."""
    page.get_by_label("Rule").fill("30 2 * * MON-FRI")
    page.get_by_text("02:30:00").first.wait_for()


def show_chart(page: Page) -> None:
    """Wait until the remote was asked, and scroll to what is drawn of the newest file."""
    page.get_by_text("The remote was asked just now.").wait_for()
    page.evaluate("document.getElementById('growth').scrollIntoView()")


PICTURES = {
    "overview": Picture("overview"),
    "tools": Picture("tools"),
    "tool": Picture("tool", show_form),
    "register": Picture("register", show_faults),
    "update": Picture("update"),
    "runs": Picture("runs"),
    "run": Picture("run-failed"),
    "schedules": Picture("schedules"),
    "schedule": Picture("schedule"),
    "new-schedule": Picture("new-schedule", show_preview),
    "datasets": Picture("datasets"),
    "dataset": Picture("dataset-with-chart", show_chart),
    "nodes": Picture("nodes"),
    "overview-phone": Picture("overview", size=PHONE),
    "run-phone": Picture("run", size=PHONE),
}


def main(names: list[str]) -> int:
    """Write the pictures called `names`; the exit status."""
    if CHROMIUM is None:
        print("chromium is not installed (Debian: apt install chromium): no picture was made", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="observatory-") as directory:
        place = Path(directory)
        commit(place / "remotes" / "noise-levels.git", {"mao.yaml": FAULTY, "measure.py": ""})
        with observatory(place) as found, chromium() as browser:
            token = found.node.token("admin", name="ada")
            for scheme in ("light", "dark"):
                context, _ = signed_in(
                    browser,
                    found.node,
                    token=token,
                    color_scheme=scheme,
                    timezone_id="Europe/Madrid",
                    reduced_motion="reduce",
                )
                for name in names or PICTURES:
                    path = IMAGES / f"{name}-{scheme}.png"
                    path.write_bytes(taken(context.new_page(), found, PICTURES[name]))
                context.close()
    return check()


def taken(page: Page, found: Observatory, picture: Picture) -> bytes:
    """A picture of a page, as PNG."""
    width, height = picture.size
    page.set_viewport_size({"width": width, "height": height})
    page.goto(path_of(found, picture.page))
    is_still(page)
    if picture.before:
        picture.before(page)
    shot = page.screenshot()
    page.goto("about:blank")
    small = small_png(page, shot)
    page.close()
    return small


def check() -> int:
    """Whether the pictures are small enough for a repository; the exit status."""
    sizes = {path.name: path.stat().st_size for path in sorted(IMAGES.glob("*.png"))}
    large = [name for name, size in sizes.items() if size > LARGEST]
    print(f"{len(sizes)} pictures, {sum(sizes.values()):,} bytes", *large)
    return 1 if large or sum(sizes.values()) > LARGEST_TOGETHER else 0


FAULTY = """\
Version: 1
Name: noise-levels
Description: The noise of streets, by night and by day.
Data:
  Fresh: true
  Repo:
    Name: noise levels
    Remote: https://git.example.org/observatory/noise-levels-data.git
Commands:
  - Name: Measure
    Comand: python3
    Script: measure.py
    Timeout: ten minutes
    Arguments:
      - Name: Street
        Type: word
"""
"""A definition with faults."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
