"""Who may ask this node over the network: tokens, the sessions of browsers, and links that open one once.

Of each secret only a digest is kept, so what is stored lets nobody in. What requests are checked against is in memory,
too: no request waits for the disk. This process is the only one that writes the file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from mao.caller import OWNER, Caller, Right
from mao.errors import NotSignedIn, TokenNotFound, TokenTaken
from mao.sqlite import SqliteFile
from mao.values import Moment, Value, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LINK = timedelta(minutes=15)
"""How long a link to sign in is good for."""
SESSION = timedelta(hours=12)
"""How long a browser stays signed in."""
COARSE = timedelta(hours=1)
"""How often it is written down that a token is in use."""
_NOBODY = bytes(32)
"""What the digest of a token that does not exist is compared to."""

_MIGRATIONS = (
    """
    CREATE TABLE tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, body TEXT NOT NULL);
    -- `token` is the id of the one that it was made with; null: the owner
    CREATE TABLE links (digest BLOB PRIMARY KEY, token TEXT, ends TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (digest BLOB PRIMARY KEY, token TEXT, ends TEXT NOT NULL) WITHOUT ROWID;
    """,
)


class Token(Value):
    """What is known of a token; its text is not."""

    id: str
    name: str
    scope: Literal["read", "run", "admin"]
    tools: tuple[str, ...] | None = None
    """The only tools that it may start, or change anything about; None: any."""
    created_at: Moment
    expires_at: Moment | None = None
    last_used_at: Moment | None = None
    """To the hour."""
    revoked_at: Moment | None = None

    def caller(self, origin: str) -> Caller:
        """Who asks with it."""
        tools = None if self.tools is None else frozenset(tool.lower() for tool in self.tools)
        return Caller(f"token:{self.name}", origin, Right[self.scope.upper()], tools)

    def fault(self, at: datetime) -> str | None:
        """Why it is good for nothing any more, as a sentence; None if it is good."""
        if self.revoked_at is not None:
            return f"The token '{self.name}' was revoked at {rfc3339(self.revoked_at)}."
        if self.expires_at is not None and self.expires_at <= at:
            return f"The token '{self.name}' was good until {rfc3339(self.expires_at)}."
        return None


class _Session(NamedTuple):
    token: str | None
    ends: datetime


class Tokens:
    """The tokens, sessions and links of a node, in a file of their own."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, _MIGRATIONS)
        self._tokens: dict[str, tuple[bytes, Token]] = {}
        for digest, body in self._file.rows("SELECT digest, body FROM tokens ORDER BY id"):
            token = Token.model_validate_json(str(body))
            self._tokens[token.id] = bytes(digest), token  # type: ignore[arg-type]  # a BLOB
        self._sessions: dict[bytes, _Session] = {
            bytes(digest): _Session(None if token is None else str(token), datetime.fromisoformat(str(ends)))  # type: ignore[arg-type]  # a BLOB
            for digest, token, ends in self._file.rows("SELECT digest, token, ends FROM sessions")
        }

    def close(self) -> None:
        self._file.close()

    def make(self, name: str, scope: str, tools: Iterable[str] | None, at: datetime, until: datetime | None) -> str:
        """Make a token; its text, which nobody can be told again.

        Raises:
            TokenTaken: the name was given before, also to one that is revoked: records name tokens by it.
        """
        with self._file.transaction():
            if (known := self._by_name(name)) is not None:
                raise TokenTaken(
                    f"There is a token '{known.name}'{'' if known.revoked_at is None else ', which is revoked'}, and"
                    " records of what was done name tokens by their name. Take another one. Nothing was made."
                )
            token = Token.model_validate(
                {
                    "id": secrets.token_hex(6),
                    "name": name,
                    "scope": scope,
                    "tools": None if tools is None else tuple(tools),
                    "created_at": at,
                    "expires_at": until,
                }
            )
            text = f"mao_{token.id}_{secrets.token_urlsafe(32)}"
            self._file.rows(
                "INSERT INTO tokens VALUES (?, ?, ?, ?)", token.id, name.lower(), _digest(text), token.model_dump_json()
            )
        self._tokens[token.id] = _digest(text), token
        return text

    def listed(self) -> list[Token]:
        """All tokens there ever were, by their names."""
        return sorted((token for _, token in tuple(self._tokens.values())), key=lambda token: token.name.lower())

    def named(self, name: str) -> Token:
        """The token called `name`.

        Raises:
            TokenNotFound
        """
        token = self._by_name(name)
        if token is None:
            raise TokenNotFound(f"There is no token '{name}'. 'mao token list' shows those there are.")
        return token

    def _by_name(self, name: str) -> Token | None:
        return next((token for token in self.listed() if token.name.lower() == name.lower()), None)

    def revoke(self, name: str, at: datetime) -> Token:
        """End what a token is good for, with the sessions and links that came from it.

        Raises:
            TokenNotFound
        """
        token = self.named(name)
        if token.revoked_at is None:
            with self._file.transaction():
                token = self._change(token.id, revoked_at=at)
                for table in ("links", "sessions"):
                    self._file.rows(f"DELETE FROM {table} WHERE token = ?", token.id)  # noqa: S608  # two words above
        return token

    def _change(self, token_id: str, **changes: datetime) -> Token:
        digest, token = self._tokens[token_id]
        token = token.model_copy(update=changes)
        self._file.rows("UPDATE tokens SET body = ? WHERE id = ?", token.model_dump_json(), token_id)
        self._tokens[token_id] = digest, token
        return token

    def of_text(self, text: str, at: datetime) -> Token:
        """The token whose text this is.

        Raises:
            NotSignedIn: none, or it is good for nothing any more.
        """
        kind, _, rest = text.partition("_")
        digest, token = self._tokens.get(rest.partition("_")[0], (_NOBODY, None)) if kind == "mao" else (_NOBODY, None)
        if not hmac.compare_digest(digest, _digest(text)) or token is None:
            raise NotSignedIn("That is no token of this node. 'mao token create' makes one, on the node's own machine.")
        if fault := token.fault(at):
            raise NotSignedIn(f"{fault} Its owner can make another one, with 'mao token create'.")
        return token

    def note_use(self, token: Token, at: datetime) -> None:
        """Write down that a token is in use."""
        with self._file.transaction(flush=False):
            self._change(token.id, last_used_at=at)

    def link(self, at: datetime, name: str | None = None) -> str:
        """A code that opens one session, once: of the token called `name`, or of the owner."""
        code = secrets.token_urlsafe(32)
        token = None if name is None else self.named(name).id
        with self._file.transaction():
            self._file.rows("DELETE FROM links WHERE ends <= ?", rfc3339(at))
            self._file.rows("INSERT INTO links VALUES (?, ?, ?)", _digest(code), token, rfc3339(at + LINK))
        return code

    def sign_in_by_code(self, code: str, at: datetime) -> str:
        """Open a session with the code of a link, which is good for nothing then; the session's secret.

        Raises:
            NotSignedIn
        """
        with self._file.transaction():
            found = self._file.rows("DELETE FROM links WHERE digest = ? RETURNING token, ends", _digest(code))
            if not found or str(found[0][1]) <= rfc3339(at):
                raise NotSignedIn(
                    f"This link was used, or it is older than {LINK.seconds // 60} minutes. 'mao token link' prints"
                    " another one."
                )
            token = found[0][0]
            return self._open(None if token is None else str(token), at)

    def sign_in(self, text: str, at: datetime) -> str:
        """Open a session with the text of a token; the session's secret.

        Raises:
            NotSignedIn
        """
        token = self.of_text(text, at)
        with self._file.transaction():
            return self._open(token.id, at)

    def _open(self, token: str | None, at: datetime) -> str:
        for digest in [known for known, session in tuple(self._sessions.items()) if session.ends <= at]:
            self._close(digest)
        secret = secrets.token_urlsafe(32)
        session = _Session(token, at + SESSION)
        self._file.rows("INSERT INTO sessions VALUES (?, ?, ?)", _digest(secret), token, rfc3339(session.ends))
        self._sessions[_digest(secret)] = session
        return secret

    def _close(self, digest: bytes) -> None:
        self._sessions.pop(digest, None)
        self._file.rows("DELETE FROM sessions WHERE digest = ?", digest)

    def of_session(self, secret: str, at: datetime, origin: str) -> Caller | None:
        """Who has signed in; None if that is over."""
        session = self._sessions.get(_digest(secret))
        if session is None or session.ends <= at:
            return None
        if session.token is None:
            return Caller(OWNER, origin, Right.ADMIN)
        token = self._tokens[session.token][1]
        return token.caller(origin) if token.fault(at) is None else None

    def sign_out(self, secret: str) -> None:
        """End a session."""
        with self._file.transaction():
            self._close(_digest(secret))


def _digest(text: str) -> bytes:
    # The secrets are 256 random bits: there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
