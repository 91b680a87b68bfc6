from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support import Reply


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("login") / "home") as node:
        yield node


def form(node: Serving, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> Reply:
    """What the node answers to a form of one of its pages."""
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{node.port}"}
    return node.over_tcp("POST", path, urlencode(fields).encode(), sent | dict(headers or {}))


def cookie_of(reply: Reply) -> dict[str, str]:
    name, _, value = reply.headers["set-cookie"].partition(";")[0].partition("=")
    return {"Cookie": f"a=b; {name}={value}"}


def test_the_page_has_no_scripts_and_lets_nothing_else_in(served: Serving) -> None:
    reply = served.over_tcp("GET", "/login")

    assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
    policy = reply.headers["content-security-policy"]
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "<script" not in reply.body.decode()
    hostile = served.over_tcp("GET", "/login?code=%22%3E%3Cscript%3E").body.decode()
    assert "<script" not in hostile


def test_a_browser_signs_in_with_a_token_and_out(served: Serving) -> None:
    done = form(served, "/login", token=served.token("read", name="ada"))
    assert (done.status, done.headers["location"]) == (303, "/")
    attributes = set(done.headers["set-cookie"].lower().split("; ")[1:])
    assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} == attributes
    cookie = cookie_of(done)

    assert served.over_tcp("GET", "/docs", headers=cookie).status == 200
    assert "token:ada" in served.over_tcp("GET", "/login", headers=cookie).body.decode()
    assert served.over_tcp("GET", "/api/v1/tokens", headers=cookie).json["code"] == "not-allowed"

    gone = form(served, "/logout", cookie)
    assert 'mao_session=""' in gone.headers["set-cookie"]
    refused = served.over_tcp("GET", "/docs", headers=cookie)
    assert (refused.status, "session is over" in refused.json["detail"]) == (401, True)


@pytest.mark.parametrize("wanted", ["/", "/docs", "/view/runs?state=failed&tool=a%20b", "/view/tools/x#commands"])
def test_who_signs_in_comes_to_the_page_that_was_wanted(served: Serving, wanted: str) -> None:
    asked = served.over_tcp("GET", f"/login?{urlencode({'next': wanted})}").body.decode()
    assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in asked
    done = form(served, "/login", token=served.token("read"), next=wanted)
    assert (done.status, done.headers["location"]) == (303, wanted)
    again = form(served, "/login", token="wrong", next=wanted)  # noqa: S106  # it is none
    assert f'name="next" value="{wanted.replace("&", "&amp;")}"' in again.body.decode()


@pytest.mark.parametrize(
    "wanted",
    [
        *("//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", ""),
        *("/api/v1/runs", "/login", "/logout", "view/runs", " /view/runs", "/viewer", "//view/runs", "/static/mao.js"),
        '"><script>alert(1)</script>',
    ],
)
def test_a_link_leads_nowhere_but_to_pages_of_the_node(served: Serving, wanted: str) -> None:
    asked = served.over_tcp("GET", f"/login?{urlencode({'next': wanted})}").body.decode()
    assert 'name="next" value="/"' in asked
    done = form(served, "/login", token=served.token("read"), next=wanted)
    assert (done.status, done.headers["location"]) == (303, "/")


def test_what_is_wanted_cannot_add_headers_or_leave_its_page(served: Serving) -> None:
    for wanted in ("/view/x\r\nSet-Cookie: a=b", "/view/..//evil.example", "/view/\\evil.example"):
        done = form(served, "/login", token=served.token("read"), next=wanted)
        assert done.headers["location"].startswith("/view/")
        assert done.headers["set-cookie"].startswith("mao_session=")
    assert served.over_tcp("GET", f"/login?next=/view/{'x' * 5000}").status == 200


def test_a_wrong_token_is_refused_on_the_page(served: Serving) -> None:
    for fields in ({"token": "mao_x_y"}, {"code": "x"}, {}):
        reply = form(served, "/login", None, **fields)
        assert (reply.status, reply.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "set-cookie" not in reply.headers


def test_a_session_ends_with_its_token(served: Serving) -> None:
    cookie = cookie_of(form(served, "/login", token=served.token("read", name="brief")))
    assert served.over_tcp("GET", "/docs", headers=cookie).status == 200

    served.api("DELETE", "/tokens/brief")

    assert served.over_tcp("GET", "/docs", headers=cookie).status == 401


def test_a_link_signs_in_once_and_is_not_used_up_by_what_merely_looks_at_it(served: Serving) -> None:
    url = served.api("POST", "/links")["url"]
    assert url.startswith(f"http://127.0.0.1:{served.port}/login?code=")
    code = url.partition("=")[2]
    for _ in range(2):
        assert code in served.over_tcp("GET", f"/login?code={code}").body.decode()

    done = form(served, "/login", code=code)

    assert served.over_tcp("GET", "/api/v1/tokens", headers=cookie_of(done)).status == 200
    assert form(served, "/login", code=code).status == 401


def test_a_link_of_an_administrator_with_a_token_is_for_that_token(served: Serving) -> None:
    reply = served.over_tcp("POST", "/api/v1/links", token=served.token("admin", name="boss"))
    cookie = cookie_of(form(served, "/login", code=reply.json["url"].partition("=")[2]))
    assert "token:boss" in served.over_tcp("GET", "/login", headers=cookie).body.decode()

    served.api("DELETE", "/tokens/boss")

    assert served.over_tcp("GET", "/api/v1/tools", headers=cookie).status == 401


def test_no_other_page_can_use_a_session(served: Serving) -> None:
    cookie = cookie_of(form(served, "/login", code=served.api("POST", "/links")["url"].partition("=")[2]))
    own = {"Origin": f"http://127.0.0.1:{served.port}"}
    body = {"name": "by-cookie", "scope": "read"}
    foreign: list[dict[str, str]] = [
        {},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-site"},
        own | {"Sec-Fetch-Site": "cross-site"},
    ]
    for headers in foreign:
        refused = served.over_tcp("POST", "/api/v1/tokens", body, cookie | headers)
        assert (refused.status, refused.json["code"]) == (403, "foreign-origin"), headers
    assert form(served, "/logout", cookie | {"Origin": "null"}).status == 403
    as_form = own | {"Content-Type": "application/x-www-form-urlencoded"}
    assert served.over_tcp("POST", "/api/v1/tokens", b"name=x", cookie | as_form).json["code"] == "bad-body"
    assert all(token["name"] != "by-cookie" for token in served.api("GET", "/tokens")["items"])

    assert served.over_tcp("POST", "/api/v1/tokens", body, cookie | own).status == 201
    fetched = {"Sec-Fetch-Site": "same-origin"}
    assert served.over_tcp("DELETE", "/api/v1/tokens/by-cookie", headers=cookie | fetched).status == 200
