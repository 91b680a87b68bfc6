from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mao.caller import Caller, Right
from mao.errors import NotSignedIn, TokenNotFound, TokenTaken
from mao.tokens import LINK, SESSION, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SOON = timedelta(seconds=1)


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Tokens]:
    opened = Tokens(tmp_path / "access.sqlite")
    yield opened
    opened.close()


def test_a_token_is_known_by_its_text_alone(tokens: Tokens) -> None:
    text = tokens.make("ci", "run", ["Probe"], NOW, None)

    assert tokens.of_text(text, NOW).name == "ci"
    assert tokens.of_text(text, NOW).caller("10.0.0.9") == Caller(
        "token:ci", "10.0.0.9", Right.RUN, frozenset({"probe"})
    )
    kind, token_id, secret = text.split("_", 2)
    assert (kind, len(secret)) == ("mao", 43)  # 256 bits
    for wrong in ("", "mao", "mao__", f"mao_{token_id}_", f"mao_{token_id}_{secret}x", text[:-1], f"x{text}", secret):
        with pytest.raises(NotSignedIn, match="no token of this node"):
            tokens.of_text(wrong, NOW)


def test_a_token_ends_when_it_expires_or_is_revoked_and_says_so_to_who_has_it(tokens: Tokens) -> None:
    brief, lasting = (
        tokens.make("brief", "read", None, NOW, NOW + SOON),
        tokens.make("lasting", "read", None, NOW, None),
    )
    assert tokens.of_text(brief, NOW).scope == "read"

    with pytest.raises(NotSignedIn, match=r"'brief' was good until 2026-11-28T12:00:01\.000Z"):
        tokens.of_text(brief, NOW + SOON)
    assert tokens.revoke("LASTING", NOW).revoked_at == NOW
    assert tokens.revoke("lasting", NOW + SOON).revoked_at == NOW
    with pytest.raises(NotSignedIn, match="'lasting' was revoked"):
        tokens.of_text(lasting, NOW)
    with pytest.raises(NotSignedIn, match="no token of this node"):
        tokens.of_text(lasting[:-1], NOW)
    with pytest.raises(TokenNotFound):
        tokens.revoke("nothing", NOW)


def test_a_name_is_given_once_as_records_name_tokens_by_it(tokens: Tokens) -> None:
    tokens.make("ci", "read", None, NOW, None)
    tokens.revoke("ci", NOW)

    with pytest.raises(TokenTaken, match="which is revoked"):
        tokens.make("CI", "admin", None, NOW, None)
    assert [token.scope for token in tokens.listed()] == ["read"]


def test_what_is_stored_lets_nobody_in_and_is_known_after_a_restart(tmp_path: Path) -> None:
    first = Tokens(tmp_path / "access.sqlite")
    text = first.make("ci", "read", None, NOW, None)
    first.note_use(first.named("ci"), NOW + SOON)
    code, session = first.link(NOW), first.sign_in(text, NOW)
    first.close()

    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(secret.encode() in kept for secret in (text.split("_", 2)[2], code, session))
    assert (tmp_path / "access.sqlite").stat().st_mode & 0o777 == 0o600
    again = Tokens(tmp_path / "access.sqlite")
    assert again.of_text(text, NOW).last_used_at == NOW + SOON
    assert again.of_session(session, NOW, "here") == Caller("token:ci", "here", Right.READ)
    assert again.of_session(again.sign_in_by_code(code, NOW), NOW, "here") == Caller("owner", "here", Right.ADMIN)
    again.close()


def test_a_link_is_good_once_and_for_a_while(tokens: Tokens) -> None:
    used, late = tokens.link(NOW), tokens.link(NOW)
    tokens.sign_in_by_code(used, NOW)

    for code, at in ((used, NOW), (late, NOW + LINK), ("", NOW)):
        with pytest.raises(NotSignedIn, match="'mao token link'"):
            tokens.sign_in_by_code(code, at)


def test_a_session_ends_with_its_time_its_token_or_when_it_is_signed_out(tokens: Tokens) -> None:
    text = tokens.make("ada", "admin", None, NOW, None)
    by_token, by_link = tokens.sign_in(text, NOW), tokens.sign_in_by_code(tokens.link(NOW, "ada"), NOW)
    owner = tokens.sign_in_by_code(tokens.link(NOW), NOW)
    unused = tokens.link(NOW, "ada")
    assert tokens.of_session(by_token, NOW + SESSION - SOON, "") == Caller("token:ada", "", Right.ADMIN)
    assert tokens.of_session(by_token, NOW + SESSION, "") is None
    assert tokens.of_session("", NOW, "") is None

    tokens.revoke("ada", NOW)

    assert [tokens.of_session(secret, NOW, "") for secret in (by_token, by_link)] == [None, None]
    with pytest.raises(NotSignedIn):
        tokens.sign_in_by_code(unused, NOW)
    assert tokens.of_session(owner, NOW, "") is not None
    tokens.sign_out(owner)
    assert tokens.of_session(owner, NOW, "") is None


def test_sessions_that_are_over_are_not_kept(tokens: Tokens) -> None:
    for day in range(5):
        tokens.sign_in_by_code(tokens.link(NOW + timedelta(days=day)), NOW + timedelta(days=day))
        tokens.link(NOW + timedelta(days=day))

    assert len(tokens._sessions) == 1
    assert tokens._file.rows("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM links)") == [(1, 1)]
