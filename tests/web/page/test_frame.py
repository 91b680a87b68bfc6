from __future__ import annotations

import gzip
import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from fastapi import Request

from mao.caller import Caller, Right
from mao.values import now
from mao.web.page.frame import SECTIONS, View, age, moment
from serving import Serving, serving
from web.page.reading import HTML, look

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("frame") / "home") as node:
        yield node


def of(node: Serving, caller: Caller) -> View:
    return View(
        Request({"type": "http", "state": {"caller": caller}, "headers": [], "path": "/", "method": "GET"}), node.node
    )


@pytest.mark.parametrize("path", ["/", "/docs", "/login", "/view/nodes", "/view/nothing"])
def test_every_page_lets_nothing_in_but_what_is_its_own_and_is_kept_nowhere(served: Serving, path: str) -> None:
    reply = look(served, path)

    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "same-origin"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    page = reply.body.decode()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert all('src="/static/' in attributes and not text for attributes, text in scripts)
    assert not re.search(r"<[^>]* (style|on\w+)=", page)


def test_a_page_is_compressed_for_who_takes_that_and_for_nobody_else(served: Serving) -> None:
    for wanted in ("gzip, deflate, br", "br;q=1.0, gzip;q=0.8"):
        packed = look(served, "/", Accept_Encoding=wanted)
        assert packed.headers["content-encoding"] == "gzip"
        assert b"<h1>Overview</h1>" in gzip.decompress(packed.body)
        assert packed.headers["vary"] == "Accept-Encoding"
    for wanted in ("identity", "br, gzip;q=0", "gzip;q=0.0, identity"):
        plain = look(served, "/", Accept_Encoding=wanted)
        assert "content-encoding" not in plain.headers
        assert b"<h1>Overview</h1>" in plain.body


def test_what_goes_on_by_itself_is_not_compressed_and_not_held_back(served: Serving) -> None:
    connection = served.connection(20)
    try:
        connection.request("GET", "/api/v1/events", headers=HTML | {"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert (answer.headers["Content-Encoding"], answer.headers["X-Accel-Buffering"]) == (None, "no")
        assert answer.readline() == b"event: hello\n", "it comes at once"
    finally:
        connection.close()


def test_what_the_owner_sees_at_the_socket_has_nothing_to_sign_out_of(served: Serving) -> None:
    page = look(served, "/").body.decode()
    assert "sign out" not in page
    assert "owner" in page
    assert "sign out" in served.over_tcp("GET", "/", headers=HTML, token=served.token("read")).body.decode()


@pytest.mark.parametrize("name", ['<script>alert("x")</script>', '"><img src=x onerror=alert(1)>', "\u202egnp.exe"])
def test_hostile_text_is_text(served: Serving, name: str) -> None:
    page = of(served, Caller(name, "127.0.0.1", Right.READ)).page(
        "problem.html", problem={"title": name, "detail": name, "code": name, "request_id": name}
    )
    text = bytes(page.body).decode()
    assert "<script>" not in text
    assert "<img" not in text


def test_where_one_is_the_navigation_says(served: Serving) -> None:
    assert [target for _, target in SECTIONS] == [
        *("/", "/view/tools", "/view/runs", "/view/schedules", "/view/datasets", "/view/nodes")
    ]
    here = re.compile(r'<a href="([^"]+)" aria-current="(\w+)">')
    assert here.findall(look(served, "/").body.decode()) == [("/", "page")]
    assert here.findall(look(served, "/view/nodes").body.decode()) == [("/view/nodes", "page")]
    assert here.findall(look(served, "/view/nodes/health").body.decode()) == [("/view/nodes", "true")]


def test_buttons_are_for_who_may_press_them(served: Serving) -> None:
    def may(right: Right, *tools: str) -> list[bool]:
        view = of(served, Caller("token:x", "127.0.0.1", right, frozenset(tools) if tools else None))
        asked = [(Right.READ, None), (Right.RUN, None), (Right.RUN, "Probe"), (Right.RUN, "other"), (Right.ADMIN, None)]
        return [view.may(wanted, tool) for wanted, tool in asked]

    assert may(Right.NONE) == [False, False, False, False, False]
    assert may(Right.READ) == [True, False, False, False, False]
    assert may(Right.RUN) == [True, True, True, True, False]
    assert may(Right.RUN, "probe") == [True, False, True, False, False]
    assert may(Right.ADMIN) == [True, True, True, True, True]


def test_times_are_in_utc_where_they_are_pointed_at_and_for_scripts_exact() -> None:
    when = datetime(2026, 11, 1, 6, 0, 0, 5000, timezone(timedelta(hours=2)))
    assert moment(when) == (
        '<time datetime="2026-11-01T04:00:00.005Z" title="2026-11-01 04:00:00 UTC">2026-11-01 04:00:00</time>'
    )
    assert 'datetime="2026-11-01T04:00:00.005Z" title="2026-11-01 04:00:00 UTC">' in age(when)
    assert (moment(None), age(None)) == ("", "")


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(seconds=-90), "in 1 min"),
        (timedelta(minutes=61), "1 h ago"),
        (timedelta(days=40, hours=1), "40 d ago"),
        (timedelta(hours=-25), "in 1 d"),
    ],
)
def test_an_age_has_one_unit(past: timedelta, said: str) -> None:
    assert f">{said}</time>" in age(now() - past).replace("in 59 s", "in 1 min")


def test_a_page_knows_from_where_on_it_is_told_of_changes(served: Serving) -> None:
    found = re.search(r'data-live="([^"]*)" data-position="(\d+)\.(\d+)"', look(served, "/").body.decode())
    assert found is not None
    assert "run" in found[1].split()
    assert int(found[2]) <= served.node.store.last_seq()
