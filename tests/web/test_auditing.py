from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mao.caller import Caller, Right
from mao.web.auditing import Audit
from support import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serving import Serving
    from support import ServedNode

HELD = 2
"""Entries of a page, so that there are several."""


def audited(node: ServedNode) -> list[dict[str, Any]]:
    """All entries, the oldest first."""
    found: list[dict[str, Any]] = []
    path = f"/audit?order=oldest&page_size={HELD}"
    while True:
        page = node.api("GET", path)
        found += page["items"]
        if page["next_page_token"] is None:
            return found
        path = f"/audit?order=oldest&page_size={HELD}&page_token={page['next_page_token']}"


def test_every_change_is_written_with_who_asked_what_was_named_and_what_came_of_it(served: Serving, tool: Path) -> None:
    served.install(tool)
    run = served.ended(served.run("Write", "hush"))
    served.request("POST", "/api/v1/runs", {"tool": "prob", "command": "Write"})
    served.request("DELETE", "/api/v1/tools/nothing")
    served.request("POST", "/regtools", {"name": "x"})
    removed = served.request("DELETE", "/api/v1/installations/probe")

    entries = audited(served)

    assert [(entry["method"], entry["path"], entry["outcome"], entry["code"]) for entry in entries] == [
        ("POST", "/api/v1/tools", "done", None),
        ("POST", "/api/v1/installations", "begun", None),
        ("POST", "/api/v1/runs", "begun", None),
        ("POST", "/api/v1/runs", "refused", "not-installed"),
        ("DELETE", "/api/v1/tools/nothing", "refused", "tool-not-found"),
        ("POST", "/regtools", "refused", "route-not-found"),
        ("DELETE", "/api/v1/installations/probe", "done", None),
    ]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0]["about"] == {"url": str(tool)}
    assert entries[2]["location"] == f"/api/v1/runs/{run['id']}"
    assert entries[2]["about"] == {"tool": "probe", "command": "Write"}
    assert "hush" not in str(entries)
    assert entries[-1]["request_id"] == removed.headers["x-request-id"]
    assert {entry["caller"] for entry in entries} == {"owner"}


def test_looking_is_not_written(served: Serving) -> None:
    for path in ("/api/v1/tools", "/api/v1/audit", "/regtools", "/healthz"):
        assert served.request("GET", path).status == 200
    assert audited(served) == []


def test_a_password_in_an_address_is_not_written(served: Serving) -> None:
    served.request("POST", "/api/v1/datasets", {"name": "d", "url": "https://me:hush@example.org/d.git"})
    (entry,) = audited(served)
    assert entry["about"] == {"name": "d", "url": "https://***@example.org/d.git"}


def test_what_the_guard_refuses_is_written_too(served: Serving) -> None:
    served.request("POST", "/api/v1/datasets", {"name": "d"}, headers={"Content-Type": "text/plain"})
    (entry,) = audited(served)
    assert (entry["path"], entry["outcome"], entry["code"]) == ("/api/v1/datasets", "refused", "bad-body")


def test_a_request_during_which_the_node_was_killed_has_an_unknown_outcome(
    serve: Callable[..., ServedNode], tool: Path
) -> None:
    node = serve()
    node.install(tool)
    node.kill()
    node.start(crash_at="run: asked for")
    with contextlib.suppress(OSError):
        node.run("Write", "1")
    node.process.wait()  # type: ignore[union-attr]  # it was started
    node.start()

    entry = audited(node)[-1]

    assert (entry["path"], entry["outcome"], entry["status"]) == ("/api/v1/runs", "unknown", None)


def test_what_cannot_be_written_is_not_done(
    serve: Callable[..., ServedNode], tmp_path: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "home-alpha", 8)
    node = serve()
    ballast = fill(tmp_path / "home-alpha")
    refused = node.request("POST", "/api/v1/datasets", {"name": "d", "url": str(tmp_path / "d.git")})
    ballast.unlink()

    assert (refused.status, refused.json["code"]) == (503, "disk-full")
    assert audited(node) == []
    assert node.api("GET", "/datasets")["items"] == []


def test_who_may_not_and_who_is_unknown_is_written(served: Serving) -> None:
    token = served.token("read", name="ci")
    before = len(audited(served))
    served.over_tcp("DELETE", "/api/v1/datasets/d", token=token)
    for _ in range(2):
        served.over_tcp("DELETE", "/api/v1/datasets/d")
    served.over_tcp("POST", "/help", {"name": "d"}, token=token)  # only looks
    may_not, *unknown = audited(served)[before:]

    assert (may_not["caller"], may_not["origin"], may_not["code"]) == ("token:ci", "127.0.0.1", "not-allowed")
    assert [(entry["caller"], entry["code"]) for entry in unknown] == [("nobody", "not-signed-in")] * 2


def test_refusals_of_strangers_are_written_only_so_often_in_an_hour(served: Serving) -> None:
    audit, moment = Audit(served.server._app), datetime(2026, 11, 28, 12, tzinfo=UTC)
    written = [audit._is_written(None, moment + timedelta(seconds=second)) for second in range(3600)]
    assert written.count(True) == 60
    assert audit._is_written(Caller("token:ci", "127.0.0.1", Right.READ), moment)
    assert audit._is_written(None, moment + timedelta(hours=1))


def test_who_signs_in_is_written(served: Serving) -> None:
    token = served.token("run", name="page")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    served.over_tcp("POST", "/login", f"token={token}".encode(), headers=form)
    served.over_tcp("POST", "/login", b"token=wrong", headers=form)
    entered, refused = audited(served)[-2:]

    assert (entered["path"], entered["caller"], entered["outcome"]) == ("/login", "token:page", "done")
    assert (refused["path"], refused["caller"], refused["outcome"]) == ("/login", "nobody", "refused")
    assert token not in str(audited(served))
