"""The HTTP API of a node as Python: what the command line is built on, and scripts may be.

An error is raised as the very class of `mao.errors` that the node raised. It needs nothing but the standard library,
as every command pays for what is imported here.
"""

from __future__ import annotations

import contextlib
import json
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

from mao.errors import (
    BadName,
    Conflict,
    Denied,
    InvalidRequest,
    MaoError,
    NodeNotFound,
    NodeUnreachable,
    NotFound,
    OutsideFailed,
    Unavailable,
    by_code,
)
from mao.node_address import DEFAULT_URL, NodeAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPResponse

T = TypeVar("T")

_API = "/api/v1"
_CONNECT = 5.0
"""Seconds until a node that does not even take a connection counts as away."""
_LONG_WORK = 900.0
"""Seconds that a change may take: the node asks git remotes before it answers."""
_LOOK = 0.2
"""Seconds between two attempts to reach a node that was there before."""
_WAIT = 20
"""Seconds that one `Prefer: wait=N` asks for; the node gives no more than a minute."""

_KINDS: tuple[type[MaoError], ...] = (InvalidRequest, NotFound, Conflict, OutsideFailed, Unavailable, Denied)
_BY_STATUS = {kind.status: kind for kind in _KINDS} | dict.fromkeys((401, 429), Denied)


class Answer(NamedTuple):
    """What the node answered."""

    status: int
    etag: str | None
    location: str | None
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


class Event(NamedTuple):
    """One server-sent event; `id` goes on from here when it is given as `Last-Event-ID`."""

    name: str
    data: str
    id: str | None


def at(*parts: str) -> str:
    """The path of `parts` below the API, whatever characters are in them: `at("tools", "my tool")`.

    Raises:
        BadName: a part is empty.
    """
    if not all(parts):
        raise BadName("A name must not be empty.")
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Client:
    """A node's HTTP API, below `/api/v1`.

    Args:
        address: of the node; as text, where no token is needed.
        timeout: seconds that an answer may take that needs no work.
        patience: seconds that a node may be away that was there before: while it is restarted, nothing is lost.
        tell: is told in words when the node is waited for.
        node: another node of the cluster, which this one is to ask.
    """

    def __init__(
        self,
        address: NodeAddress | str = DEFAULT_URL,
        *,
        timeout: float = 60.0,
        patience: float = 60.0,
        tell: Callable[[str], object] | None = None,
        node: str | None = None,
    ) -> None:
        self._address = address if isinstance(address, NodeAddress) else NodeAddress(address)
        self.url = self._address.url
        self._timeout = timeout
        self._patience = patience
        self._tell = tell
        self._node, self._name = node, f"Node '{node}'" if node is not None else f"The node at {self.url}"
        self._base = _API + (at("nodes", node, "api") if node is not None else "")
        self._known = False
        self.registry_age = 0
        """Seconds for which the registry had been away from the node, at most, when it answered from what it knew."""

    def get(self, path: str, *, wait: int = 0, timeout: float | None = None, **query: object) -> Any:
        """The JSON at `path`; with `wait`, when what it shows has ended, or after so many seconds."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        return self.ask("GET", _with(path, query), headers=headers, timeout=(timeout or self._timeout) + wait).json

    def post(self, path: str, body: Any = None, *, if_match: str | None = None, **query: object) -> Any:
        """Send `body`; the JSON of the answer. However often it has to be sent, the node does it once."""
        from uuid import uuid4  # noqa: PLC0415  # what only looks need not pay for it

        headers = {"Idempotency-Key": str(uuid4())} | ({"If-Match": if_match} if if_match else {})
        return self.ask("POST", _with(path, query), body, headers=headers, timeout=_LONG_WORK).json

    def delete(self, path: str, **query: object) -> Any:
        """Delete what is at `path`; the JSON of what is left of it, if anything."""
        return self.ask("DELETE", _with(path, query), timeout=_LONG_WORK).json

    def ready(self) -> dict[str, str]:
        """What the node says of itself: its `version`, and that it is up."""
        answer: dict[str, str] = self._exchange("GET", "/healthz", None, {}, self._timeout, _read).json
        return answer

    def pages(self, path: str, *, timeout: float | None = None, **filters: object) -> Iterator[Any]:
        """Every item of a list, page after page; `timeout` is for each of them."""
        token = None
        while True:
            query = {"page_size": 500, **filters, "page_token": token}
            page = self.ask("GET", _with(path, query), timeout=timeout).json
            yield from page["items"]
            token = page["next_page_token"]
            if token is None:
                return

    def wait(self, path: str, is_ended: Callable[[Any], bool], *, step: int = _WAIT) -> Any:
        """What is at `path`, once it `is_ended`; looked at whenever the node says so, and every `step` seconds."""
        while True:
            asked = time.monotonic()
            value = self.get(path, wait=step)
            if is_ended(value):
                return value
            if time.monotonic() - asked < _LOOK:  # a node that stops answers at once
                time.sleep(_LOOK)

    def follow(self, path: str, last_event_id: str | None = None) -> Iterator[Event]:
        """The events at `path` as they come, up to one called `end`; a stream that breaks is taken up where it broke.

        Raises:
            NodeUnreachable: the node was away for longer than the client's patience.
        """
        alive = time.monotonic()
        while True:
            resumed = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
            headers = {"Accept": "text/event-stream", **resumed}
            response = self._exchange("GET", self._base + path, None, headers, self._timeout, lambda opened: opened)
            opened = time.monotonic()
            with contextlib.closing(response), contextlib.suppress(OSError, HTTPException):
                for event in _events(response):
                    alive = time.monotonic()
                    last_event_id = event.id or last_event_id
                    yield event
                    if event.name == "end":
                        return
            if time.monotonic() - opened > _LOOK:
                alive = time.monotonic()  # silent, but not broken off at once
            elif time.monotonic() - alive > self._patience:
                raise NodeUnreachable(f"The node at {self.url} breaks every stream off. Its log may say why.")
            time.sleep(_LOOK)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """The answer to a request below `/api/v1`.

        Raises:
            MaoError: what the node raised.
            NodeUnreachable: it gave no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        given = ({"Content-Type": "application/json"} if data else {}) | dict(headers or {})
        return self._exchange(method, self._base + path, data, given, timeout or self._timeout, _read)

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
        read: Callable[[HTTPResponse], T],
    ) -> T:
        """What `read` makes of the answer; a node that was there before is waited for, if that can do no harm."""
        gives_up = time.monotonic() + self._patience
        told = False
        while True:
            connection = self._address.connection(_CONNECT)
            sent = False
            try:
                connection.connect()
                sent, self._known = True, self._known or self._node is None
                connection.sock.settimeout(timeout)
                connection.request(method, path, body, {"Connection": "close", **self._address.headers, **headers})
                answer = read(self._checked(connection.getresponse()))
            except (OSError, HTTPException, NodeUnreachable, NodeNotFound) as error:
                connection.close()
                repeatable = not sent or method == "GET" or "Idempotency-Key" in headers
                if not self._known or not repeatable or self._is_final(error, sent=sent) or time.monotonic() > gives_up:
                    raise self._unreachable(error, sent=sent, repeatable=repeatable) from error
            else:
                self._known = True
                return answer
            if self._tell and not told:
                self._tell(f"{self._name} is away; waiting up to {self._patience:g} s for it to come back.")
                told = True
            time.sleep(_LOOK)

    def _is_final(self, error: Exception, *, sent: bool) -> bool:
        """Whether asking again is of no use: of the errors of a node, only that the one behind it is away can pass."""
        return self._node is None if isinstance(error, MaoError) else sent and isinstance(error, TimeoutError)

    def _checked(self, response: HTTPResponse) -> HTTPResponse:
        if response.status < 300:  # noqa: PLR2004  # HTTP's own
            self.registry_age = max(self.registry_age, int(response.headers.get("X-MAO-Registry-Age", 0)))
            return response
        try:
            problem = json.loads(response.read())
            code, detail, faults = str(problem["code"]), str(problem["detail"]), list(problem.get("errors", ()))
        except (ValueError, KeyError, TypeError):
            raise NodeUnreachable(
                f"What answers at {self.url} is no MAO node: it says {response.status} {response.reason}."
                " Is --node-url (MAO_URL) right?"
            ) from None
        raise (by_code().get(code) or _BY_STATUS.get(response.status, MaoError))(detail, faults)

    def _unreachable(self, error: Exception, *, sent: bool, repeatable: bool) -> MaoError:
        if isinstance(error, MaoError):
            return error
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if not sent:
            return self._address.nobody(words)
        if isinstance(error, TimeoutError):
            return NodeUnreachable(f"The node at {self.url} took the request, but gave no answer in time.")
        doubt = "" if repeatable else " Whether it did what was asked is unknown: look before you ask again."
        return NodeUnreachable(f"The node at {self.url} went away before it answered ({words}).{doubt}")


def _read(response: HTTPResponse) -> Answer:
    with response:
        return Answer(response.status, response.headers["ETag"], response.headers["Location"], response.read())


def _with(path: str, query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _events(lines: HTTPResponse) -> Iterator[Event]:
    """The events of a stream (HTML Standard, 9.2.6); one that is not complete is dropped."""
    name, event_id = "message", None
    data: list[str] = []
    for line in lines:
        key, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if key == "data":
            data.append(value)
        elif key == "event":
            name = value
        elif key == "id":
            event_id = value
        elif not key and line.strip() == b"" and data:
            yield Event(name, "\n".join(data), event_id)
            name, event_id, data = "message", None, []
