"""Every operation of the API, by its own description, with what the description lets in and what it does not.

Few examples each, the same every time; `make fuzz` takes many, and others each time.
"""

from __future__ import annotations

import contextlib
import copy
import re
import socket
from typing import TYPE_CHECKING, Any

import apsw
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from schemathesis import Case
    from schemathesis.core.transport import Response
    from schemathesis.schemas import APIOperation

    from support import ServedNode

    Operation = APIOperation[Any, Any, Any, Any]
    Asked = Case[Any]

CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = settings().max_examples // 50
AWAY = {502, 503}
"""What is said of remotes and registries that do not answer; any other status from 500 on is a fault of the node."""
ENDLESS = "/api/v1/events"
OPEN = {"/healthz", "/readyz", "/login", "/logout"}
OF_RUNS = re.compile(r"/api/v1/(runs|schedules)\b|/run$|/api/v1/nodes/\{name\}/api/")
"""What somebody may change who may start runs; what another node is asked for, is so by what it is."""
ORDER = ["get", "post", "put", "patch", "delete"]
"""What is needed by others is deleted last."""


@pytest.fixture
def node(serve: Callable[..., ServedNode], tool: Path) -> ServedNode:
    """A node with a tool; what it would ask of hosts does not leave this machine."""
    served = serve(GIT_SSH_COMMAND="false", HTTPS_PROXY="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1")
    served.install(tool)
    return served


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
    run = node.api("POST", "/runs", {"tool": "probe", "command": "Write", "arguments": ["a"]})
    node.ended(run)
    schedule = node.api("POST", "/schedules", {"tool": "probe", "command": "Write", "cron": "monthly"})["id"]
    return {
        "name": ["probe", "probe-data", "alpha"],
        "tool": ["probe"],
        "dataset": ["probe-data"],
        "command": ["Write"],
        "run_id": [run["id"]],
        "schedule_id": [schedule],
    }


def operations(node: ServedNode, described: dict[str, Any]) -> list[Operation]:
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=f"http://127.0.0.1:{node.port}")
    found = []
    for each in schema.get_all_operations():
        assert isinstance(each, Ok), each
        found.append(each.ok())
    return sorted(found, key=lambda operation: ORDER.index(operation.method.lower()))


def each_case(
    operation: Operation, check: Callable[[Asked], None], mode: GenerationMode = GenerationMode.POSITIVE
) -> None:
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


def everything(node: ServedNode) -> dict[str, list[Any]]:
    """All that the node keeps, but for what it says of itself: each row of each table."""
    rows: dict[str, list[Any]] = {}
    for name in ("store", "registry", "access"):
        file = apsw.Connection(str(node.home / f"{name}.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        for (table,) in list(file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")):
            found = list(file.execute(f"SELECT * FROM {table}"))  # noqa: S608  # names from the file itself
            rows[f"{name} {table}"] = [row for row in found if not str(row[0]).startswith("/mao/v1/nodes/")]
        file.close()
    return rows


def test_nothing_is_done_without_the_right_to_it(node: ServedNode, subtests: pytest.Subtests) -> None:
    texts = {"read": node.token("read"), "of another tool": node.token("run", "other"), "run": node.token("run")}
    asked = operations(node, acquainted(node.api("GET", "/openapi.json"), things(node)))
    for text in texts.values():
        assert node.over_tcp("GET", "/api/v1/runs", token=text).status == 200  # and that it is in use, is written down
    before = everything(node)

    def check(case: Asked) -> None:
        changes = case.method.lower() != "get" and case.path not in {"/help", *OPEN}
        answer = case.call(timeout=30)
        assert answer.status_code == 401 or case.path in OPEN, answer.status_code
        for who, text in texts.items():
            if case.path == ENDLESS or (who == "run" and OF_RUNS.match(case.path)):
                continue
            answer = case.call(timeout=30, headers={"Authorization": f"Bearer {text}"})
            assert answer.status_code < 500 or answer.status_code in AWAY, answer.text
            if changes:
                refused = {403, 404, 422} if who == "of another tool" else {403}
                assert answer.status_code in refused, who

    for operation in asked:
        with subtests.test(operation.label):
            each_case(operation, check)
            assert everything(node) == before


def test_every_operation_answers_as_the_description_says(node: ServedNode, subtests: pytest.Subtests) -> None:
    headers = {"Authorization": f"Bearer {node.token('admin')}"}
    document = node.api("GET", "/openapi.json")
    known = operations(node, acquainted(document, things(node)))

    def check(case: Asked) -> None:
        answer: Response = case.call(timeout=30, headers=headers)
        assert answer.status_code < 500 or answer.status_code in AWAY, answer.text
        case.validate_response(answer, checks=CHECKS)

    for taught, operation in zip(known, operations(node, document), strict=True):
        if operation.path == ENDLESS:
            continue
        with subtests.test(operation.label):
            each_case(taught, check)
            if operation.body or operation.path_parameters:
                each_case(operation, check)
            if operation.body or operation.query:
                each_case(operation, check, GenerationMode.NEGATIVE)
    assert not node.dead()


REQUEST_PARTS = [
    *(b"GET ", b"POST ", b"HEAD ", b"\xff ", b"/api/v1/runs", b"/healthz", b"*", b"/%00", b"/..%2f", b"?a=%ff", b"//"),
    *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b" \r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"    "),
    *(b"Host: 127.0.0.1\r\n", b"Host: x\r\n", b"Host\r\n", b": x\r\n", b"Origin: \xff\r\n", b"X: y"),
    *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"),
    *(b"Content-Type: application/json\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"),
    *(b'{"tool": ', b"[", b'"\\ud800"', b"NaN", b"1e999"),
]


@given(st.lists(st.tuples(st.sampled_from(REQUEST_PARTS) | st.binary(max_size=9), st.sampled_from([1, 1, 9_000]))))
@settings(max_examples=50 * EXAMPLES, derandomize=EXAMPLES < 10, suppress_health_check=list(HealthCheck))
def test_no_bytes_that_are_sent_upset_the_server(node: ServedNode, parts: list[tuple[bytes, int]]) -> None:
    sent = b"".join(part * times for part, times in parts)
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        with contextlib.suppress(OSError):  # it may hang up before it has heard all
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        answered = b""
        with contextlib.suppress(ConnectionError):
            while got := connection.recv(65536):
                answered += got
    assert not answered or re.match(rb"HTTP/1\.[01] [1-4]\d\d ", answered), answered
    assert node.request("GET", "/healthz").status == 200
