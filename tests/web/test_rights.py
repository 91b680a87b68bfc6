from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from mao.caller import Right
from mao.web.rights import needed
from serving import Serving, serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What is told apart here is told by a rule, not by a list, so that a route that is new is seen.
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/login"), ("POST", "/login"), ("POST", "/logout")}
OF_ADMINISTRATORS = {
    ("GET", "/api/v1/tokens"),
    ("GET", "/api/v1/audit"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/secrets/nothing"),
}
FOR_NODES = {"/api/v1/cluster/grants", "/api/v1/cluster/members"}
READING = {("POST", "/help")}
UNLISTED = [
    ("GET", "/docs"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("GET", "/api/v1/openapi.json"),
]
UNLISTED += [("GET", "/metrics"), ("GET", "/nothing"), ("POST", "/nothing"), ("OPTIONS", "/api/v1/tools")]
UNLISTED += [
    ("GET", f"/view/tools{rest}") for rest in ("", "/register", "/nothing", "/nothing/lines", "/nothing/update")
]
UNLISTED += [("GET", f"/view/{rest}") for rest in ("runs", "runs/nothing", "runs/nothing/output")]
UNLISTED += [("GET", "/view/installations/nothing/output")]
NOWHERE = {("GET", "/nothing"), ("OPTIONS", "/api/v1/tools")}
_STARTING = re.compile(r"POST (/run|/api/v1/runs.*|/api/v1/schedules.*)|(PATCH|DELETE) /api/v1/schedules/[^/]+")


def expected(method: str, path: str) -> Right:
    if (method, path) in OPEN:
        return Right.NONE
    if (method, path) in OF_ADMINISTRATORS | NOWHERE:
        return Right.ADMIN
    if method == "GET" or (method, path) in READING:
        return Right.READ
    return Right.RUN if _STARTING.fullmatch(f"{method} {path}") else Right.ADMIN


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("rights") / "home") as node:
        yield node


def routes(node: Serving) -> list[tuple[str, str]]:
    """Every route, with something in the place of what its path leaves open; those that pass on are asked for below."""
    described: dict[str, dict[str, Any]] = node.request("GET", "/api/v1/openapi.json").json["paths"]
    found = [(method.upper(), path) for path, methods in described.items() for method in methods]
    filled = [(method, re.sub(r"\{\w+\}", "nothing", path)) for method, path in found if "{path}" not in path]
    return list(dict.fromkeys(filled + UNLISTED))


def test_nobody_does_anything_without_the_right(served: Serving) -> None:
    tokens = {Right.NONE: None} | {right: served.token(right.scope) for right in Right if right}
    before = served.count()
    every = routes(served)
    assert len(every) > 70

    for method, path in every:
        for right, token in tokens.items():
            asked = "HEAD" if method == "GET" else method  # a stream would go on
            body: Any = (
                {} if method in {"POST", "PATCH"} and path not in {"/login", "/logout", "/api/v1/links"} else None
            )
            reply = served.over_tcp(asked, path, body, token=token)
            refused = {401} if token is None else {403}
            if path in FOR_NODES and right is Right.ADMIN:
                assert (reply.status, reply.json["code"]) == (403, "denied"), "who asks there shows a certificate"
            elif path == "/login" and method == "POST":
                assert reply.status == 401, "the form is empty"
            elif right < expected(method, path):
                assert reply.status in refused, (method, path, right, reply.body)
                assert asked == "HEAD" or reply.json["code"] == ("not-signed-in" if token is None else "not-allowed")
            else:
                assert reply.status not in {401, 403}, (method, path, right, reply.body)
    assert served.count() == before


def test_the_owner_needs_no_token_at_the_socket_and_there_none_is_looked_at(served: Serving) -> None:
    reply = served.request(
        "GET", "/api/v1/tokens", headers={"Authorization": "Bearer nothing", "Cookie": "mao_session=x"}
    )
    assert reply.status == 200


def test_what_is_passed_on_needs_what_it_would_need_here(served: Serving) -> None:
    of_api = [(method, path) for method, path in routes(served) if path.startswith("/api/v1/")]
    for method, path in of_api:
        assert needed(method, path.replace("/api/v1/", "/api/v1/nodes/beta/api/")) is needed(method, path), path

    own = "/api/v1/nodes/alpha/api"
    reader = served.token("read")
    assert served.over_tcp("GET", f"{own}/tools", token=reader).status == 200
    assert served.over_tcp("GET", f"{own}/tokens", token=reader).json["code"] == "not-allowed"
    assert served.over_tcp("POST", f"{own}/runs", {}, token=reader).json["code"] == "not-allowed"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/tokens\n",
        "/api/v1/tokens/",
        "//api/v1/tools",
        "/api/v1/runs/../tokens",
        "/api/v1/nodes//api/tools",
        "/api/v1/nodes/a/b/api/tools",
        "/api/v1/nodes/a/api/nodes/b/api/tools",
        "/api/v1/audit",
        "/API/v1/tools",
        "",
    ],
)
def test_whatever_is_not_in_the_table_is_for_administrators(path: str) -> None:
    assert needed("GET", path) is Right.ADMIN


def test_a_token_that_is_limited_to_tools_changes_nothing_about_others(tmp_path: Path) -> None:
    for name in ("probe", "other"):
        commit(tmp_path / name, tool_files(bare(tmp_path / f"{name}.git"), name=name))
    with serving(tmp_path / "home") as node:
        for name in ("probe", "other"):
            node.install(tmp_path / name, name)
        run = node.ended(node.run("Write", "x", publish=False))
        plan = {"command": "Write", "cron": "monthly"}
        schedule = f"/api/v1/schedules/{node.api('POST', '/schedules', {'tool': 'probe', **plan})['id']}"
        mine, others = node.token("run", "Probe"), node.token("run", "other", "third")
        changes: list[tuple[str, str, Any]] = [
            ("POST", "/run", {"name": "PROBE", "command": "Write"}),
            ("POST", "/api/v1/runs", {"tool": "probe", "command": "Write"}),
            ("POST", "/api/v1/schedules", {"tool": "probe", **plan}),
            ("POST", f"/api/v1/runs/{run['id']}/publish", None),
            ("PATCH", schedule, {"cron": "daily"}),
            ("POST", f"{schedule}/pause", {}),
            ("POST", f"{schedule}/resume", None),
            ("DELETE", schedule, None),
        ]
        before = node.count()
        for method, path, body in [*changes, ("POST", f"/api/v1/runs/{run['id']}/cancel", None)]:
            refused = node.over_tcp(method, path, body, token=others)
            assert (refused.status, refused.json["code"]) == (403, "not-allowed"), (path, refused.body)
            assert "limited to 'other', 'third'" in refused.json["detail"]
        sly: list[Any] = [{}, [], {"tool": ["other"]}, {"Tool": "other"}]
        for tricky in sly:
            assert node.over_tcp("POST", "/api/v1/runs", tricky, token=others).status == 403
        # What another node has is not known here.
        assert node.over_tcp("POST", "/api/v1/nodes/beta/api/runs/x/cancel", token=others).status == 403
        assert node.over_tcp("POST", "/api/v1/runs/nothing/cancel", token=others).json["code"] == "run-not-found"
        assert node.count() == before

        assert node.over_tcp("GET", f"/api/v1/runs/{run['id']}", token=others).status == 200
        assert node.over_tcp("POST", "/help", {"name": "probe"}, token=others).status == 200
        for method, path, body in changes:
            done = node.over_tcp(method, path, body, token=mine)
            assert done.status in {200, 201, 202, 204}, (path, done.body)
