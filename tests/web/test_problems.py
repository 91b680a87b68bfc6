from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.errors import MaoError, by_code

if TYPE_CHECKING:
    from fastapi import FastAPI

    from serving import Serving

CODES = sorted(by_code())


@pytest.fixture
def raising(served: Serving) -> Serving:
    """A node with a path for every error, that raises it, and one for a bug."""
    app: FastAPI = served.server.config.app  # type: ignore[assignment]  # uvicorn takes others, too

    @app.get("/raise/{code}")
    def raise_error(code: str) -> None:
        raise by_code()[code]("What was wrong.", [{"path": "here", "message": "is wrong"}])

    @app.get("/bug")
    def raise_bug() -> None:
        raise ZeroDivisionError("the secret of the bug")

    return served


def test_every_error_has_its_status_and_its_code(raising: Serving) -> None:
    for code in CODES:
        kind = by_code()[code]
        reply = raising.request("GET", f"/raise/{code}")

        assert reply.status == kind.status, code
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json == {
            "type": f"https://mao-orchestrator.org/errors#{code}",
            "title": kind.title(),
            "status": kind.status,
            "detail": "What was wrong.",
            "code": code,
            "errors": [{"path": "here", "message": "is wrong"}],
            "request_id": reply.headers["x-request-id"],
        }


def test_no_error_but_the_root_is_a_bug() -> None:
    assert [code for code in CODES if by_code()[code].status == 500] == [MaoError.code()]


def test_a_bug_is_a_500_that_tells_its_id_and_nothing_else(raising: Serving, caplog: pytest.LogCaptureFixture) -> None:
    reply = raising.request("GET", "/bug")

    assert (reply.status, reply.json["code"]) == (500, "mao-error")
    request_id = reply.headers["x-request-id"]
    assert reply.json["request_id"] == request_id
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    (record,) = [record for record in caplog.records if record.name == "mao.web"]
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v2/tools", "/api/v1/tools/a/b", "/%ff", "/.."])
def test_a_path_that_is_not_there_is_a_problem(served: Serving, path: str) -> None:
    reply = served.request("GET", path)

    assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.json["code"] == "route-not-found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/tools", "GET, HEAD, POST"),
        ("PATCH", "/api/v1/tools/x", "DELETE, GET, HEAD"),
        ("OPTIONS", "/api/v1/runs", "GET, HEAD, POST"),
        ("GET", "/api/v1/runs/x/cancel", "POST"),
        ("HEAD", "/register", "POST"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/api/v1/schedules/preview", "GET, HEAD"),  # not those of /schedules/{schedule_id}
    ],
)
def test_a_method_that_a_path_does_not_have_is_a_problem_with_those_it_has(
    served: Serving, method: str, path: str, allowed: str
) -> None:
    reply = served.request(method, path)

    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert reply.headers["content-type"] == "application/problem+json"


def test_every_fault_of_a_request_is_listed(served: Serving) -> None:
    reply = served.request("POST", "/api/v1/tools", {"ref": 1, "nmae": "x", "name": ["y"]})

    assert (reply.status, reply.json["code"]) == (422, "bad-body")
    assert {fault["path"] for fault in reply.json["errors"]} == {"url", "ref", "nmae", "name"}
    assert all(fault["path"] in reply.json["detail"] for fault in reply.json["errors"])
