from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from keys import put
from mao.catalogue import Tool, tool_key
from mao.definition_file import load
from mao.values import now

if TYPE_CHECKING:
    from serving import Serving

DEFINITION = load(
    b"""Version: 1
Name: any
Description: Nothing
Data: {Fresh: true, Repo: {Name: d, Remote: 'https://example.org/d'}}
Commands: [{Name: Run, Command: bash, Script: run.sh}]
"""
)


def add(node: Serving, *names: str) -> None:
    for name in names:
        tool = Tool(
            name=name,
            url="https://example.org/tool",
            ref="refs/heads/main",
            commit="0" * 40,
            definition=DEFINITION.model_copy(update={"name": name}),
            dataset="d",
            registered_by="alpha",
            registered_at=now(),
        )
        value = tool.model_dump_json(by_alias=True).encode()
        node.node.mirror.catch_up(put(node.node.registry, tool_key(name), value, if_revision=0))


def names(page: dict) -> list[str]:  # type: ignore[type-arg]
    return [item["name"] for item in page["items"]]


def test_pages_give_every_item_once_and_in_order(served: Serving) -> None:
    wanted = [f"tool-{i:03}" for i in range(120)]
    add(served, *reversed(wanted))

    first = served.api("GET", "/tools?page_size=50")
    second = served.api("GET", f"/tools?page_size=50&page_token={first['next_page_token']}")
    third = served.api("GET", f"/tools?page_size=50&page_token={second['next_page_token']}")

    assert [len(page["items"]) for page in (first, second, third)] == [50, 50, 20]
    assert names(first) + names(second) + names(third) == wanted
    assert third["next_page_token"] is None


def test_what_is_registered_between_two_pages_moves_no_item_of_theirs(served: Serving) -> None:
    add(served, "b", "d", "f", "h")

    first = served.api("GET", "/tools?page_size=2")
    add(served, "a", "c", "e")
    served.api("DELETE", "/tools/d")
    second = served.api("GET", f"/tools?page_size=2&page_token={first['next_page_token']}")

    assert (names(first), names(second)) == (["b", "d"], ["e", "f"])


def test_a_last_page_that_is_full_is_known_to_be_the_last(served: Serving) -> None:
    add(served, "a", "b")

    assert served.api("GET", "/tools?page_size=2")["next_page_token"] is None


def test_pages_go_through_what_is_searched_for(served: Serving) -> None:
    add(served, *(f"{kind}-{i}" for kind in ("web", "dns") for i in range(3)))

    first = served.api("GET", "/tools?search=WEB&page_size=2")
    second = served.api("GET", f"/tools?search=WEB&page_size=2&page_token={first['next_page_token']}")

    assert (names(first), names(second)) == (["web-0", "web-1"], ["web-2"])


@pytest.mark.parametrize("path", ["tools", "datasets", "installations", "clones", "runs"])
def test_every_list_is_empty_at_first_and_has_no_next_page(served: Serving, path: str) -> None:
    for query in ("", "?page_size=1", "?page_size=500", "?page_token=", "?page_token=eg=="):
        assert served.api("GET", f"/{path}{query}") == {"items": [], "next_page_token": None}


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=-1",
        "page_size=501",
        "page_size=many",
        "page_size=" + "9" * 5000,
        "page_token=!!!!",
        "page_token=abc",
        "page_token=%00",
        "page_token=" + base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        "page_token=%E2%82%AC",
    ],
)
@pytest.mark.parametrize("path", ["tools", "runs"])
def test_a_page_that_cannot_be_is_refused(served: Serving, path: str, query: str) -> None:
    reply = served.request("GET", f"/api/v1/{path}?{query}")

    assert (reply.status, reply.json["code"]) == (422, "bad-page")
