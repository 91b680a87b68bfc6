"""What holds for every page, each looked at once in an observatory as in life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe

from browsing import is_still, signed_in
from mao.web.page.frame import SECTIONS
from observatory.pages import PAGES, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from observatory import Observatory

RULES: dict[str, object] = {
    "resultTypes": ["violations"],
    "rules": {"target-size": {"enabled": True}},
    "preload": False,
}
"""Those of axe that are on by themselves, and the size of what is to be hit, which WCAG 2.2 AA asks for."""
OF_COLOURS: dict[str, object] = {
    "resultTypes": ["violations"],
    "runOnly": ["color-contrast", "link-in-text-block"],
    "preload": False,
}
"""Those that may find something else in the other scheme."""
MOST_BYTES = 100_000
MOST_REQUESTS = 10
MOST_SHIFT = 0.01
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1200, "height": 900}

WATCH_SHIFTS = """
    window.shifted = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        shifted.push([entry.value, ...entry.sources.map((source) => source.node?.outerHTML?.slice(0, 80) ?? "?")]);
    }).observe({ type: "layout-shift", buffered: true });
"""
FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    (window.reached ??= new Set()).add(at);
    return {
      what: `${at.tagName} ${at.id || at.name || at.textContent.trim().slice(0, 40)}`,
      visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 && box.width > 0
        && box.bottom > 0 && box.right > 0 && box.left < innerWidth && box.top < innerHeight,
    };
}"""
"""What has the focus, and whether that is seen."""
NOT_REACHED = """() => [...document.querySelectorAll("main :is(a[href], button, input, select, textarea, summary)")]
    .filter((one) => one.checkVisibility() && !one.disabled && one.type !== "radio" && !reached.has(one))
    .map((one) => one.outerHTML.slice(0, 120))"""
MOST_STOPS = 150


class Traffic:
    """What a page has loaded, as the network has it: compressed, with headers; without what never ends."""

    def __init__(self, page: Page) -> None:
        self._endless: set[str] = set()
        self._bytes: dict[str, float] = {}
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.dataReceived", self._received)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def begin(self) -> None:
        """Count from here on."""
        self._endless.clear()
        self._bytes.clear()

    def _sent(self, event: dict[str, Any]) -> None:
        if event.get("type") == "EventSource":
            self._endless.add(event["requestId"])
        self._bytes.setdefault(event["requestId"], 0)

    def _received(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = self._bytes.get(event["requestId"], 0) + event["encodedDataLength"]

    def _finished(self, event: dict[str, Any]) -> None:
        self._bytes[event["requestId"]] = event["encodedDataLength"]

    @property
    def requests(self) -> int:
        return len(self._bytes.keys() - self._endless)

    @property
    def bytes(self) -> float:
        return sum(size for request, size in self._bytes.items() if request not in self._endless)


class Desk(NamedTuple):
    """A page at a desk, what it has loaded, and what it has complained of: one for all tests, as it would take long."""

    page: Page
    traffic: Traffic
    complaints: list[str]

    def visit(self, path: str) -> None:
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(DESK)  # type: ignore[arg-type]  # a dict of its own type
        self.complaints.clear()
        self.traffic.begin()
        answer = self.page.goto(path)
        assert answer is not None
        assert answer.status == 200
        is_still(self.page)


@pytest.fixture(scope="module")
def desk(browser: Browser, observed: Observatory) -> Iterator[Desk]:
    context, complaints = signed_in(browser, observed.node)
    context.add_init_script(WATCH_SHIFTS)
    page = context.new_page()
    yield Desk(page, Traffic(page), complaints)
    context.close()


@pytest.fixture(scope="module")
def plain(browser: Browser, observed: Observatory) -> Iterator[Page]:
    """A page of a browser without scripts."""
    context, _ = signed_in(browser, observed.node, java_script_enabled=False)
    yield context.new_page()
    context.close()


def violations(page: Page, rules: dict[str, object]) -> list[str]:
    """What axe finds on a page that it is on; not all that it says, which would take a second to bring here."""
    found: list[str] = page.evaluate(
        """async (rules) => (await axe.run(rules)).violations.flatMap(
          (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))""",
        rules,
    )
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_light_and_still_and_for_everybody(desk: Desk, observed: Observatory, name: str) -> None:
    desk.visit(path_of(observed, name))
    page = desk.page

    assert desk.traffic.requests <= MOST_REQUESTS
    assert desk.traffic.bytes < MOST_BYTES
    shifts = page.evaluate("shifted")
    assert sum(shift[0] for shift in shifts) < MOST_SHIFT, shifts
    assert page.evaluate("document.scrollingElement.scrollWidth") <= DESK["width"]
    page.evaluate(Axe().axe_script)
    assert violations(page, RULES) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page, OF_COLOURS) == []
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # as above
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert desk.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_without_scripts(plain: Page, observed: Observatory, name: str) -> None:
    plain.goto(path_of(observed, name))

    assert plain.get_by_role("heading", level=1).inner_text()
    assert SAID[name] in plain.locator("main").inner_text()


@pytest.mark.parametrize("name", ["overview", "tool", "run", "new-schedule"])
def test_a_page_can_be_used_with_the_keyboard(desk: Desk, observed: Observatory, name: str) -> None:
    desk.visit(path_of(observed, name))
    page = desk.page

    stops = list(walked(page))

    assert stops[0] == "A Skip to the content"
    assert [f"A {section}" for section, _ in SECTIONS] == stops[2 : 2 + len(SECTIONS)]
    assert len(stops) == MOST_STOPS or page.evaluate(NOT_REACHED) == []
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def walked(page: Page) -> Iterator[str]:
    """Where Tab leads from the beginning of a page to its end; that it can be seen is checked at every stop."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop["what"].startswith("BODY"):
            return
        assert stop["visible"], stop
        yield stop["what"]


SAID = {
    "overview": "Last failures",
    "tools": "package-census",
    "register": "Register",
    "tool": "nitrogen dioxide",
    "tool-with-alarm": "v1.4",
    "update": "over TLS 1.3",
    "runs": "Calibrate",
    "run": "168 readings written",
    "run-going-on": "reference",
    "run-failed": "exit status 4",
    "run-unpublished": "file-too-large",
    "schedules": "dns-latency",
    "schedule": "missed",
    "new-schedule": "Collect",
    "datasets": "weather-stations-data",
    "dataset-with-chart": "pm25",
    "dataset-with-picture": "maps/",
    "nodes": "north",
    "health": "executor",
    "cluster": "north",
}
"""What is to be read on each page."""
