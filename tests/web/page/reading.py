"""What tests of pages share: how a browser asks for one, and what is in it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support import Reply, ServedNode

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def look(node: ServedNode, path: str, **headers: str) -> Reply:
    """What a browser gets that may do everything."""
    return node.request("GET", path, headers=HTML | {name.replace("_", "-"): text for name, text in headers.items()})


def signed_in(node: ServedNode, path: str, scope: str, *tools: str) -> str:
    """The page for somebody with a token."""
    reply = node.over_tcp("GET", path, headers=HTML, token=node.token(scope, *tools))
    assert reply.status == 200, reply.body
    return reply.body.decode()


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words(page: str | bytes) -> str:
    """What people read on a page, on one line."""
    texts = _Texts()
    texts.feed(page if isinstance(page, str) else page.decode())
    return " ".join(" ".join(texts.found).split())
