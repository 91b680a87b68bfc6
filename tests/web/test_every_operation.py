"""Every operation of the API, by its own description, with what the description lets in and what it does not.

Few examples each, the same every time; `make fuzz` takes many, and others each time.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support import ServedNode, bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from schemathesis.core.transport import Response
    from schemathesis.schemas import APIOperation

CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
EXAMPLES = settings.default.max_examples // 25 if settings.default else 0
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
    """The description of the API, which says by their names what there is, too: chance would never find it."""
    taught = copy.deepcopy(document)
    parameters = [
        (each["name"], each)
        for operations in taught["paths"].values()
        for operation in operations.values()
        for each in operation.get("parameters", [])
        if each["in"] == "path"
    ]
    fields = [
        (name, {"schema": part, "of": holder})
        for holder in taught["components"]["schemas"].values()
        for name, part in holder.get("properties", {}).items()
        if part.get("type") == "string"
    ]
    for name, place in parameters + fields:
        if name in known:
            schema = {"anyOf": [{"enum": known[name]}, place["schema"]]}
            if "of" in place:
                place["of"]["properties"][name] = schema
            else:
                place["schema"] = schema
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


def operations(node: ServedNode) -> list[APIOperation]:
    schema = schemathesis.openapi.from_dict(acquainted(node.api("GET", "/openapi.json"), things(node)))
    schema.config.update(base_url=f"http://127.0.0.1:{node.port}")
    found = [result.ok() for result in schema.get_all_operations()]
    return sorted(found, key=lambda operation: ORDER.index(operation.method.lower()))


def each_case(operation: APIOperation, check: Callable[[Case], None]) -> None:
    """Have `check` look at some requests that the description lets in, and at some that it does not."""
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and not operation.body and not operation.query:
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            derandomize=EXAMPLES < 10,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def with_case(case: Case) -> None:
            check(case)

        with_case()


def test_every_operation_answers_as_the_description_says(node: ServedNode, subtests: pytest.Subtests) -> None:
    def check(case: Case) -> None:
        answer: Response = case.call(timeout=30)
        assert answer.status_code < 500 or answer.status_code in AWAY, answer.text
        case.validate_response(answer, checks=CHECKS)

    for operation in operations(node):
        if operation.path != ENDLESS:
            with subtests.test(operation.label):
                each_case(operation, check)
    assert not node.dead()
