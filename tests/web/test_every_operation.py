"""Every operation of the API, by its own description, with what the description lets in and what it does not.

Few examples each, the same every time; `make fuzz` takes many, and others each time.
"""

from __future__ import annotations

import contextlib
import copy
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support import ServedNode, bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis import Case
    from schemathesis.core.transport import Response
    from schemathesis.schemas import APIOperation

    Operation = APIOperation[Any, Any, Any, Any]
    Asked = Case[Any]

CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = settings().max_examples // 25
AWAY = {502, 503}
"""What is said of remotes and registries that do not answer; any other status from 500 on is a fault of the node."""
ENDLESS = "/api/v1/events"
ORDER = ["get", "post", "patch", "delete"]
"""What is needed by others is deleted last."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """A node with a tool; what it would ask of hosts does not leave this machine."""
    home = tmp_path_factory.mktemp("every-operation")
    repository = home / "probe"
    commit(repository, tool_files(bare(home / "data.git")))
    settings = {"GIT_SSH_COMMAND": "false", "HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    served = ServedNode(home / "node", settings=settings).start()
    served.install(repository)
    yield served
    served.stop()


def acquainted(document: dict[str, Any], known: dict[str, list[str]]) -> dict[str, Any]:
    """The description of the API, with the names of what there is in place of those that could be asked for."""
    taught = copy.deepcopy(document)
    for operation in (each for path in taught["paths"].values() for each in path.values()):
        for place in operation.get("parameters", []):
            if place["in"] == "path" and place["name"] in known:
                place["schema"] = {"enum": known[place["name"]]}
        reference = str(operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema"))
        sent: dict[str, Any] = next(
            (part for name, part in taught["components"]["schemas"].items() if f"/{name}'" in reference), {}
        )
        fields = sent.get("properties", {})
        fields |= {name: {"enum": known[name]} for name in fields if name in known}
    return taught


def things(node: ServedNode) -> dict[str, list[str]]:
    """What there is on the node, by the names that the API has for such things."""
    run = node.api("POST", "/runs", {"tool": "probe", "command": "Write", "arguments": ["a"]})["id"]
    schedule = node.api("POST", "/schedules", {"tool": "probe", "command": "Write", "cron": "daily"})["id"]
    return {
        "name": ["probe", "probe-data", "alpha"],
        "tool": ["probe"],
        "dataset": ["probe-data"],
        "command": ["Write"],
        "run_id": [run],
        "schedule_id": [schedule],
    }


def operations(node: ServedNode) -> list[tuple[Operation, GenerationMode]]:
    """Each operation, asked about what there is, about anything, and in ways that the description does not let in."""
    document = node.api("GET", "/openapi.json")
    found: list[tuple[Operation, GenerationMode]] = []
    for described in (document, acquainted(document, things(node))):
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=f"http://127.0.0.1:{node.port}")
        for each in schema.get_all_operations():
            assert isinstance(each, Ok), each
            operation = each.ok()
            if operation.path == ENDLESS:
                continue
            found.append((operation, GenerationMode.POSITIVE))
            if described is document and (operation.body or operation.query):
                found.append((operation, GenerationMode.NEGATIVE))
    return sorted(found, key=lambda one: ORDER.index(one[0].method.lower()))


def each_case(operation: Operation, mode: GenerationMode, check: Callable[[Asked], None]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES < 10,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def with_case(case: Asked) -> None:
        check(case)

    with_case()


def test_every_operation_answers_as_the_description_says(node: ServedNode, subtests: pytest.Subtests) -> None:
    def check(case: Asked) -> None:
        answer: Response = case.call(timeout=30)
        assert answer.status_code < 500 or answer.status_code in AWAY, answer.text
        case.validate_response(answer, checks=CHECKS)

    for operation, mode in operations(node):
        with subtests.test(operation.label):
            each_case(operation, mode, check)
    assert not node.dead()


REQUEST_PARTS = [
    *(b"GET ", b"POST ", b"HEAD ", b"\xff ", b"/api/v1/runs", b"/healthz", b"*", b"/%00", b"/..%2f", b"?a=%ff", b"//"),
    *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b" \r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\0", b" " * 9_000),
    *(b"Host: 127.0.0.1\r\n", b"Host: x\r\n", b"Host\r\n", b": x\r\n", b"Origin: \xff\r\n", b"X: " + b"y" * 70_000),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"),
    *(b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"),
    *(b'{"tool": ', b"[" * 3_000, b'"\\ud800"', b"NaN", b"1e999"),
]


@given(st.lists(st.sampled_from(REQUEST_PARTS) | st.binary(max_size=9), max_size=12).map(b"".join))
@settings(max_examples=max(60, settings().max_examples), suppress_health_check=list(HealthCheck))
def test_no_bytes_that_are_sent_upset_the_server(node: ServedNode, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):  # it may hang up before it has heard all
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        answered = b""
        with contextlib.suppress(ConnectionError):
            while got := connection.recv(65536):
                answered += got
    assert not answered or re.match(rb"HTTP/1\.[01] [1-4]\d\d ", answered), answered
    assert node.request("GET", "/healthz").status == 200
