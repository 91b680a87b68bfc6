from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mao.values import now, rfc3339
from serving import Serving, serving
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("callers") / "home") as node:
        yield node


def test_who_is_not_known_is_told_what_to_do(served: Serving) -> None:
    reply = served.over_tcp("GET", "/api/v1/tools")

    assert (reply.status, reply.json["code"]) == (401, "not-signed-in")
    assert reply.headers["www-authenticate"] == 'Bearer realm="mao"'
    assert "'mao token create'" in reply.json["detail"]
    assert "/login" in reply.json["detail"]


def test_that_the_node_is_up_is_told_to_all(served: Serving) -> None:
    wrong = {"Authorization": "Bearer nothing"}
    assert [served.over_tcp("GET", path, headers=wrong).status for path in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic bWFvOm1hbw==", "Bearer mao_0_0", "mao_0_0", "é"]
)
def test_what_is_no_token_lets_nobody_in(served: Serving, authorization: str) -> None:
    headers = {"Authorization": authorization.encode().decode("latin-1")}
    assert served.over_tcp("GET", "/api/v1/tools", headers=headers).status == 401


def test_a_token_lets_in_until_it_expires(served: Serving) -> None:
    end = now() + timedelta(seconds=0.5)
    token = served.token("read", name="brief", expires_at=rfc3339(end))

    reply = eventually(lambda: (r := served.over_tcp("GET", "/regtools", token=token)).status == 401 and r)

    assert now() >= end
    assert f"'brief' was good until {rfc3339(end)}" in reply.json["detail"]


def test_who_fails_often_waits_and_who_has_a_token_does_not(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as node:
        token = node.token("read")
        for _ in range(6):
            assert node.over_tcp("GET", "/regtools", token=token + "x").status == 401
        failures = node.server._app.state.entrance.failures

        assert len(failures._by_origin["127.0.0.1"]) == 6
        assert node.over_tcp("GET", "/regtools", token=token).status == 200
        assert len(failures._by_origin["127.0.0.1"]) == 6


def test_what_a_proxy_says_is_believed_only_if_there_is_one(served: Serving, tmp_path: Path) -> None:
    said = {"X-Forwarded-For": "10.1.1.1, 10.2.2.2", "X-Forwarded-Proto": "https"}
    failing = served.server._app.state.entrance.failures
    served.over_tcp("GET", "/regtools", headers=said, token="wrong")  # noqa: S106  # it is
    assert set(failing._by_origin) == {"127.0.0.1"}

    more = {"server__behind_proxy": "true", "server__hosts": "mao.example.org"}
    with serving(tmp_path / "home", **more) as node:
        host = {"Host": "mao.example.org"}
        assert node.over_tcp("GET", "/regtools", headers={"Host": "mao.example.com"}).status == 403
        node.over_tcp("GET", "/regtools", headers=said | host, token="wrong")  # noqa: S106  # it is
        assert set(node.server._app.state.entrance.failures._by_origin) == {"10.2.2.2"}

        link = node.api("POST", "/links")["url"]
        assert link.startswith("https://mao.example.org/login?code=")
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://mao.example.org"}
        code = link.partition("?")[2].encode()
        signed_in = node.over_tcp("POST", "/login", code, said | host | form)
        assert "Secure" in signed_in.headers["set-cookie"]
