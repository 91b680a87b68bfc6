"""Looking at pages as people do who have no scripts: their text, their links, their forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support import ServedNode

_VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})

_APART = frozenset({"td", "th", "dt", "dd", "li", "p", "option", "button", "summary", "h1", "h2", "h3"})
"""What stands apart from what follows, though no space is between."""


@dataclass
class Element:
    """An element of a page, and all text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    sends: bool = False
    """Whether it is in a form that is sent to the API."""


@dataclass
class Seen(HTMLParser):
    """A page that was looked at."""

    status: int
    source: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        element.sends = any("data-send" in each.attributes for each in self._open)
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop().tag != tag:
            pass
        if tag in _APART:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements with a tag and attributes (`data_send` is `data-send`)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [each for each in self.elements if each.tag == tag and wanted.items() <= each.attributes.items()]

    @property
    def words(self) -> str:
        """What its main part says, on one line."""
        return " ".join(" ".join(each.text for each in self.all("main")).split())

    @property
    def buttons(self) -> list[str]:
        """The words of those that ask the API for something."""
        return [each.text for each in self.all("button") if each.sends and each.attributes.get("type") != "button"]

    @property
    def links(self) -> dict[str, str]:
        return {" ".join(each.text.split()): each.attributes["href"] for each in self.all("a")}


def look(node: ServedNode, path: str, *, token: str | None = None) -> Seen:
    """The page at `path`, as its owner sees it, or who has the token."""
    headers = {"Accept": "text/html"}
    reply = (
        node.over_tcp("GET", path, headers=headers, token=token) if token else node.request("GET", path, None, headers)
    )
    assert reply.headers["content-type"] == "text/html; charset=utf-8", reply.body
    return Seen(reply.status, reply.body.decode())
