from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from serving import Serving, serving
from web.page.reading import HTML, look, words

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("refusals") / "home") as node:
        yield node


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "%2F"),
        ("/docs", "%2Fdocs"),
        ("/view/runs?state=failed&tool=a%20b", "%2Fview%2Fruns%3Fstate%3Dfailed%26tool%3Da%2520b"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_browser_without_a_session_is_sent_to_sign_in_and_back(
    served: Serving, method: str, path: str, wanted: str
) -> None:
    reply = served.over_tcp(method, path, headers=HTML)
    assert (reply.status, reply.headers["location"]) == (303, f"/login?next={wanted}")
    assert (reply.body, len(reply.headers["x-request-id"])) == (b"", 36)


def test_programs_are_told_of_problems_as_everywhere(served: Serving) -> None:
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        reply = served.over_tcp("GET", "/view/runs", headers=headers)
        assert (reply.status, reply.headers["content-type"]) == (401, "application/problem+json")
        assert reply.json["code"] == "not-signed-in"
    for path in ("/api/v1/tools", "/metrics"):
        assert served.over_tcp("GET", path, headers=HTML).json["code"] == "not-signed-in"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_there_is_a_page(served: Serving, method: str) -> None:
    reply = served.request(method, "/view/nothing", headers=HTML)
    assert (reply.status, reply.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-request-id"] in reply.body.decode() or method == "HEAD"
    assert ("Back to the overview" in words(reply.body)) is (method == "GET")


def test_a_page_that_is_there_can_be_asked_for_by_head(served: Serving) -> None:
    shown, asked = look(served, "/"), served.request("HEAD", "/", headers=HTML)
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["content-security-policy"] == shown.headers["content-security-policy"]


def test_what_one_may_not_see_is_said_on_a_page_that_keeps_the_way_back(served: Serving) -> None:
    page = served.over_tcp("GET", "/view/nothing", headers=HTML, token=served.token("read"))
    assert page.status == 403
    assert "needs the right 'admin'" in words(page.body)
    assert "Back to the overview" in words(page.body)


def test_a_foreign_host_is_refused_in_words_and_signs_nobody_in(served: Serving) -> None:
    for path in ("/", "/view/runs"):
        reply = served.over_tcp("GET", path, headers=HTML | {"Host": "evil.example"}, token=served.token("read"))
        assert (reply.status, reply.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "This node does not serve 'evil.example'" in words(reply.body)
        assert "token:" not in words(reply.body)


def test_hostile_paths_and_queries_stay_text(served: Serving) -> None:
    for path in ("/view/%3Cscript%3Ealert(1)%3C/script%3E", '/view/x"onload=alert(1)', "/view/%E2%80%AEgnp"):
        reply = look(served, path)
        assert reply.status == 404
        assert b"<script>alert" not in reply.body
        assert b'"onload' not in reply.body
    sent = served.over_tcp("GET", "/view/a?x=%0d%0aSet-Cookie:%20a=b", headers=HTML)
    assert sent.status == 303
    assert "set-cookie" not in sent.headers
