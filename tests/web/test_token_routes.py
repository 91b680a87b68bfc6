from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from serving import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("tokens") / "home") as node:
        yield node


def test_a_token_is_shown_once_listed_without_its_text_and_revoked(served: Serving) -> None:
    made = served.request("POST", "/api/v1/tokens", {"name": "ci", "scope": "run", "tools": ["probe"]})
    text = made.json["token"]
    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    assert served.over_tcp("GET", "/api/v1/tools", token=text).status == 200

    listed = served.request("GET", "/api/v1/tokens")
    [shown] = [token for token in listed.json["items"] if token["name"] == "ci"]
    assert (shown["scope"], shown["tools"], shown["revoked_at"]) == ("run", ["probe"], None)
    assert shown["last_used_at"] is not None
    assert text.split("_", 2)[2] not in listed.body.decode()

    assert served.api("DELETE", "/tokens/CI")["revoked_at"] is not None
    refused = served.over_tcp("GET", "/api/v1/tools", token=text)
    assert (refused.status, refused.json["code"]) == (401, "not-signed-in")
    assert "'ci' was revoked" in refused.json["detail"]
    assert any(token["name"] == "ci" and token["revoked_at"] for token in served.api("GET", "/tokens")["items"])
    assert served.request("POST", "/api/v1/tokens", {"name": "ci", "scope": "run"}).json["code"] == "token-taken"
    assert served.request("DELETE", "/api/v1/tokens/nothing").json["code"] == "token-not-found"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x y", "scope": "read"}, "bad-name"),
        ({"name": "x", "scope": "all"}, "bad-body"),
        ({"name": "x"}, "bad-body"),
        ({"name": "x", "scope": "run", "tools": []}, "bad-body"),
        ({"name": "x", "scope": "run", "tools": ["../x"]}, "bad-name"),
        ({"name": "x", "scope": "admin", "tools": ["probe"]}, "bad-body"),
        ({"name": "x", "scope": "read", "expires_at": "2026-01-01"}, "bad-body"),
        ({"name": "x", "scope": "read", "expires_at": "tomorrow"}, "bad-body"),
    ],
)
def test_a_token_that_could_not_be_is_not_made(served: Serving, body: Any, code: str) -> None:
    refused = served.request("POST", "/api/v1/tokens", body)

    assert (refused.status, refused.json["code"]) == (422, code)
    assert all(token["name"] != body["name"] for token in served.api("GET", "/tokens")["items"])
