from __future__ import annotations

import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from support import EVERY_SECOND, commit, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.place import Place


def found(place: Place, status: int, **environment: str) -> dict[str, Any]:
    done = place.mao("doctor", "-o", "json", **environment)
    assert done.returncode == status, done.stdout + done.stderr
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


def test_a_machine_that_has_all_is_well(place: Place) -> None:
    findings = found(place, 0, MAO_RUNS__EXECUTOR="auto")
    assert [*findings][:7] == ["python", "git", "git-lfs", "sqlite", "configuration", "home", "executor"]
    assert [*findings][7:] == ["node", "alarms", "decisions", "schedules", "announced", "cluster"]
    git_lfs = findings.pop("git-lfs")
    assert re.match("sandbox by |no sandbox; ", findings.pop("executor")["found"])
    assert git_lfs["result"] == ("ok" if shutil.which("git-lfs") else "warn")
    assert {finding["result"] for finding in findings.values()} == {"ok"}
    assert str(place.node.home) in findings["home"]["found"]
    assert place.node.url in findings["node"]["found"]


def test_a_node_that_does_not_serve_is_only_a_warning(place: Place) -> None:
    findings = found(place, 0, MAO_URL="http://127.0.0.1:1")
    assert findings["node"]["result"] == "warn"
    assert "mao serve" in findings["node"]["advice"]
    assert list(findings)[-1] == "node", "what only a node knows is left out"


@pytest.fixture
def earlier() -> Iterator[str]:
    """The address of a node of an earlier version, as far as it is asked here."""

    class Earlier(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/healthz"
            problem = {"code": "route-not-found", "detail": "There is no such route."}
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"version": "0.0.1", "node": "alpha"} if known else problem).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Earlier) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_node_of_an_earlier_version_is_told_of_and_not_known(place: Place, earlier: str) -> None:
    findings = found(place, 0, MAO_URL=earlier)
    assert findings["node"]["found"] == f"{earlier}, version 0.0.1"
    assert (findings["health"]["result"], findings["health"]["found"]) == ("warn", "not known")
    assert findings["health"]["advice"].startswith("Start the node again")
    assert "alarms" not in findings


def test_runs_that_wait_for_a_decision_are_counted(own_place: Place, tmp_path: Path) -> None:
    own_place.node.ended(own_place.node.run("Write", "1"))
    commit(tmp_path / "other", {"x": "another history"})
    git("push", "--quiet", "--force", own_place.remote, "main", cwd=tmp_path / "other")
    blocked = own_place.node.ended(own_place.node.run("Write", "2"))
    assert blocked["publication"]["state"] == "blocked"

    finding = found(own_place, 0)["decisions"]

    assert (finding["result"], finding["found"]) == ("warn", "the data of 1 run waits for one")
    assert "mao run list --state unpublished" in finding["advice"]


def test_slots_that_were_troubled_of_late_are_told_with_what_to_do(own_place: Place) -> None:
    add = ("schedule", "add", "probe", "Write", "--cron")
    assert found(own_place, 0)["schedules"]["found"] == "0 schedules"
    own_place.mao.ok("schedule", "pause", own_place.mao.ok(*add, "monthly").stdout.strip())
    schedule = own_place.mao.ok(*add, EVERY_SECOND).stdout.strip()
    own_place.mao.ok("schedule", "pause", schedule)
    for run in own_place.node.api("GET", "/runs")["items"]:
        own_place.node.ended(run)
    own_place.mao.ok("tool", "remove", "probe")
    own_place.mao.ok("schedule", "resume", schedule)
    own_place.node.slots(schedule, "tool-missing")
    own_place.mao.ok("schedule", "pause", schedule)

    finding = found(own_place, 0)["schedules"]

    assert finding["result"] == "warn"
    assert re.fullmatch(r"2 schedules, 2 of them paused; slots of the last day: \d+ tool-missing", finding["found"])
    assert finding["advice"].startswith("Install the tool again")
    assert f"mao schedule slots {schedule}" in finding["advice"]


def test_git_that_is_missing_fails(place: Place, tmp_path: Path) -> None:
    findings = found(place, 1, PATH=str(tmp_path))
    assert findings["git"]["result"] == "fail"
    assert (findings["git-lfs"]["result"], "large_file" in findings["git-lfs"]["advice"]) == ("warn", True)
    assert findings["executor"]["result"] == "warn"


def test_git_that_is_too_old_fails(place: Place, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    (tmp_path / "git").write_text(f"#!{bash}\necho git version 2.17.1\n")
    (tmp_path / "git").chmod(0o755)
    findings = found(place, 1, PATH=str(tmp_path))
    assert findings["git"]["found"] == "2.17.1"
    assert findings["git"]["advice"].startswith("2.30 or later is needed.")

    (tmp_path / "git").write_text(f"#!{bash}\necho git version 2.39.5\n")
    finding = found(place, 0, PATH=str(tmp_path))["git"]
    assert (finding["result"], finding["found"]) == ("warn", "2.39.5, and no prlimit")


def test_a_home_that_cannot_be_made_fails(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    findings = found(place, 1, MAO_NODE__HOME=str(tmp_path / "file" / "home"))
    assert findings["home"]["result"] == "fail"
    assert "MAO_NODE__HOME" in findings["home"]["advice"]


def test_a_configuration_that_is_wrong_fails_with_the_place(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "mao.toml"
    file.write_text("[node]\nnaem = 'x'\n")
    findings = found(place, 1, MAO_CONFIG=str(file))
    assert findings["configuration"]["result"] == "fail"
    assert "did you mean 'node.name'?" in findings["configuration"]["found"]
    assert findings["python"]["result"] == "ok"


def test_a_home_in_which_something_else_is_fails(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tools" / "mine").mkdir(parents=True)
    finding = found(place, 1, MAO_NODE__HOME=str(tmp_path))["home"]
    assert finding["result"] == "fail"
    assert "'tools'" in finding["found"]


def test_what_is_not_taken_of_a_founding_configuration_is_named(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "config.ini"
    file.write_text("[WORKING_ENVIRONMENT]\nauditdir = /audit\n[POSTGRES]\nuser = scheduler\n")
    finding = found(place, 0, MAO_CONFIG=str(file))["configuration"]
    assert finding["found"] == f"{file}, without [WORKING_ENVIRONMENT] auditdir, [POSTGRES]"


def test_the_file_in_use_is_named(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.touch()
    assert found(place, 0, MAO_CONFIG=str(file))["configuration"]["found"] == str(file)
