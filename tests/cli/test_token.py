from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.place import Place


def test_a_token_is_made_listed_and_revoked(place: Place) -> None:
    made = place.mao.ok("token", "create", "partner", "--scope", "run", "--tool", "probe", "--expires", "90d")
    text = made.stdout.strip()
    assert re.fullmatch(r"mao_[0-9a-f]{12}_[\w-]{43}", text)
    assert "nobody can be shown it again" in made.stderr
    assert place.node.over_tcp("GET", "/regtools", token=text).status == 200

    [row] = [line for line in place.mao.ok("token", "list").stdout.splitlines() if line.startswith("partner ")]
    assert re.fullmatch(r"partner +run +probe +valid +\d{4}.{15} +\d{4}.{15}", row.rstrip())
    ends = {token["name"]: token["expires_at"] for token in place.mao.json("token", "list")}["partner"]
    assert timedelta(days=89, hours=23) < datetime.fromisoformat(ends) - datetime.now(UTC) < timedelta(days=90)

    assert re.search(r"^state +revoked$", place.mao.ok("token", "revoke", "partner").stdout, re.MULTILINE)
    assert place.node.over_tcp("GET", "/regtools", token=text).status == 401
    assert place.mao("token", "create", "partner", "--scope", "read").returncode == 4
    assert place.mao("token", "revoke", "nothing").returncode == 3


def test_when_a_token_expires_has_to_be_a_time(place: Place) -> None:
    for when in ("soon", "90 parsecs"):
        assert place.mao("token", "create", "x", "--scope", "read", "--expires", when).returncode == 2
    assert place.mao("token", "create", "x", "--scope", "read", "--expires", "2001-01-01").returncode == 2
    assert place.mao("token", "create", "x").returncode == 2
    made = place.mao.json("token", "create", "--scope", "read", "--expires", "2999-01-01", "until-a-day")
    assert (made["expires_at"], made["token"][:4]) == ("2999-01-01T00:00:00.000Z", "mao_")


def test_a_link_for_a_browser_is_printed(place: Place) -> None:
    assert place.mao.ok("token", "link").stdout.startswith(f"http://127.0.0.1:{place.node.port}/login?code=")
    assert place.mao.json("token", "link")["url"].startswith("http://127.0.0.1:")
