from __future__ import annotations

import json
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from serving import Serving, follow, serving
from support import PATIENCE, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mao.registry import Entry

PATH = "/api/v1/datasets"
BODY = b'{"name": "d", "url": "/nowhere"}'


@dataclass(frozen=True)
class AtPort:
    """A node as it is at its port for somebody who may do everything."""

    node: Serving
    token: str

    @property
    def port(self) -> int:
        return self.node.port

    def count(self) -> tuple[int, list[Entry]]:
        return self.node.count()

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        return self.node.over_tcp(method, path, body, headers, token=self.token)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtPort]:
    """One node for all: `untouched` sees to it that they leave it as it was."""
    with serving(tmp_path_factory.mktemp("guard") / "home") as node:
        yield AtPort(node, node.token("admin"))


@pytest.fixture
def untouched(served: AtPort) -> Iterator[AtPort]:
    """A node in which nothing may have changed after the test."""
    before = served.count()
    yield served
    assert served.count() == before


def raw(node: AtPort, request: bytes) -> Reply:
    """What the server answers to these bytes."""
    with closing(socket.create_connection(("127.0.0.1", node.port), timeout=PATIENCE)) as connection:
        connection.sendall(request)
        answer = connection.makefile("rb")
        status = int(answer.readline().split()[1])
        headers: dict[str, str] = {}
        while line := answer.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return Reply(status, headers, answer.read(int(headers["content-length"])))


def assert_problem(reply: Reply, status: int, code: str) -> None:
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json"), reply.body
    problem = reply.json
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}", "", "a b"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", "/regtools"), ("GET", "/healthz")])
def test_a_host_that_is_not_this_one_is_refused_so_a_rebound_name_is_no_use(
    untouched: AtPort, host: str, method: str, path: str
) -> None:
    body = BODY if method == "POST" else None
    reply = untouched.request(method, path, body, {"Host": host.format(port=untouched.port)})

    assert_problem(reply, 403, "foreign-host")


def test_a_request_without_a_host_is_refused(untouched: AtPort) -> None:
    assert_problem(raw(untouched, b"GET /regtools HTTP/1.1\r\n\r\n"), 403, "foreign-host")


def test_a_request_with_two_hosts_is_refused(untouched: AtPort) -> None:
    hosts = b"Host: 127.0.0.1\r\nHost: evil.example\r\n"
    assert_problem(raw(untouched, b"GET /regtools HTTP/1.1\r\n" + hosts + b"\r\n"), 403, "foreign-host")


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_loopback_names_are_served(served: AtPort, host: str) -> None:
    assert served.request("GET", "/regtools", headers={"Host": host.format(port=served.port)}).json == []


def test_a_tunnel_with_another_port_at_its_end_is_served(served: AtPort) -> None:
    headers = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert served.request("GET", "/regtools", headers=headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "file://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:{port}.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("body", [BODY, b""])
def test_a_page_of_another_origin_is_refused(untouched: AtPort, headers: Mapping[str, str], body: bytes) -> None:
    sent = {name: value.format(port=untouched.port) for name, value in headers.items()}

    assert_problem(untouched.request("POST", PATH, body, sent), 403, "foreign-origin")
    assert_problem(untouched.request("GET", "/regtools", headers=sent), 403, "foreign-origin")
    assert_problem(untouched.request("DELETE", "/api/v1/tools/x", headers=sent), 403, "foreign-origin")


def test_no_page_is_given_leave_to_send_json_from_elsewhere(untouched: AtPort) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    reply = untouched.request("OPTIONS", PATH, headers=headers)

    assert_problem(reply, 403, "foreign-origin")
    assert not any(name.startswith("access-control") for name in reply.headers)


def test_a_page_of_this_node_itself_is_served(served: AtPort) -> None:
    headers = {"Origin": f"http://127.0.0.1:{served.port}", "Sec-Fetch-Site": "same-origin"}
    assert served.request("GET", "/regtools", headers=headers).status == 200
    assert served.request("GET", "/regtools", headers={"Sec-Fetch-Site": "none"}).status == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_refused_as_a_form_of_any_page_could_send_it(
    untouched: AtPort, media_type: str
) -> None:
    reply = untouched.request("POST", PATH, BODY, {"Content-Type": media_type})

    assert_problem(reply, 422, "bad-body")


@pytest.mark.parametrize(
    "body",
    [
        b"name=d&url=x",
        b"{",
        b'{"name": "d", "url": NaN}',
        b'{"name": "d", "url": -Infinity}',
        b'{"name": "d", "url": "\xff\xfe"}',
        b'{"name": "d", "url": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        bytes(range(256)) * 4096,
        b"\x00" * 1_000_000,
        b"1" * 10_000,
    ],
    ids=[
        "form",
        "half",
        "nan",
        "infinity",
        "no utf-8",
        "half a character",
        "lists",
        "deep",
        "garbage",
        "nul",
        "digits",
    ],
)
def test_a_body_that_is_not_json_is_refused(untouched: AtPort, body: bytes) -> None:
    assert_problem(untouched.request("POST", PATH, body), 422, "bad-body")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'"x"', b'{"name": 1, "url": []}', b'{"name": {"a": 1}}'])
def test_json_that_is_not_what_the_path_takes_is_refused(untouched: AtPort, body: bytes) -> None:
    reply = untouched.request("POST", PATH, body)

    assert_problem(reply, 422, "bad-body")
    assert reply.json["errors"]


def test_json_as_deep_as_can_be_read_starts_nothing(untouched: AtPort) -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    reply = untouched.request("POST", "/api/v1/runs", {"tool": "t", "command": "c", "arguments": deep})

    assert reply.status in {404, 422}


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(untouched: AtPort) -> None:
    body = b'{"name": "%s"}' % (b"x" * 2_000_000)
    known = f"Host: localhost\r\nAuthorization: Bearer {untouched.token}\r\nContent-Type: application/json\r\n"
    head = f"POST {PATH} HTTP/1.1\r\n{known}".encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:1_000_000], body[1_000_000:]))

    assert_problem(untouched.request("POST", PATH, body), 422, "bad-body")
    assert_problem(
        raw(untouched, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"), 422, "bad-body"
    )


def test_a_request_that_breaks_off_in_its_body_does_nothing(untouched: AtPort) -> None:
    with closing(socket.create_connection(("127.0.0.1", untouched.port))) as connection:
        known = f"Host: localhost\r\nAuthorization: Bearer {untouched.token}\r\nContent-Type: application/json\r\n"
        head = f"POST {PATH} HTTP/1.1\r\n{known}Content-Length: 99\r\n\r\n"
        connection.sendall(head.encode() + BODY)

    assert untouched.request("GET", "/healthz").status == 200


def test_every_answer_has_an_id_of_its_own(served: AtPort) -> None:
    ids = {served.request("GET", path).headers["x-request-id"] for path in ("/healthz", "/healthz", "/nothing")}

    assert len(ids) == 3


def test_head_gives_the_headers_of_get(served: AtPort) -> None:
    get, head = (served.request(method, "/api/v1/tools") for method in ("GET", "HEAD"))

    varying = {"x-request-id", "date"}
    assert (head.status, head.body) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


def test_head_of_a_stream_ends(served: AtPort) -> None:
    reply = served.request("HEAD", "/api/v1/events")

    assert (reply.status, reply.body) == (200, b"")
    assert next(follow(served.node, "/events")).event == "hello"
