"""kill -9 at each named step of install, run, commit and push: what was measured is there once, whatever died."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import pytest

from crashing import STEPS
from sandboxes import need_sandbox
from support import ServedNode, bare, commit, eventually, git, processes_of, published, tool_files, trailers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENDS = {"succeeded", "failed", "cancelled", "timed-out", "lost", "unpublished"}

# Each execution leaves one more byte behind, outside of the data directory.
COUNTED = 'set -eu\nprintf x >> "$1"\nsleep 0.3\nprintf measured > "$MAO_DATA_DIR/$MAO_RUN_ID.txt"\n'


def _repository(tmp_path: Path, remote: Path, *, fresh: bool) -> Path:
    scripts = {"Count": COUNTED}
    files = tool_files(remote, fresh=fresh, scripts=scripts, arguments={"Count": 1}, installer="sleep 0.2; echo ready")
    commit(tmp_path / "remotes" / "probe", files)
    return tmp_path / "remotes" / "probe"


def _ask(node: ServedNode, path: str, body: Any, key: str) -> None:
    """Ask once; the node may die over it."""
    try:
        node.request("POST", f"/api/v1{path}", body, {"Idempotency-Key": key})
    except (OSError, http.client.HTTPException):
        assert eventually(node.dead, "the node has died") or True


def _assert_tidy(node: ServedNode, remote: Path) -> None:
    node.stop()
    assert [lock for lock in (*node.home.rglob("*.lock"), *remote.rglob("*.lock")) if lock != node.home / "lock"] == []
    eventually(lambda: not processes_of(node.home), f"no process is left: {processes_of(node.home)}")
    git("fsck", "--strict", cwd=remote)


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "shared"])
@pytest.mark.parametrize("step", [s for s in STEPS if not s.startswith(("install", "clone"))])
def test_a_server_killed_at_any_step_of_a_run_publishes_its_data_once(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, step: str, *, fresh: bool
) -> None:
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=fresh))
    node.stop()
    node.start(crash_at=step)
    wish = {"tool": "probe", "command": "Count", "arguments": [str(tmp_path / "count")]}
    _ask(node, "/runs", wish, "one")
    eventually(node.dead, f"the node dies at '{step}'")

    node.start()
    run = node.api("POST", "/runs", wish, Idempotency_Key="one")
    run = node.ended(run)

    assert (run["state"], run["publication"]["state"]) == ("succeeded", "published"), run
    assert (tmp_path / "count").read_text() == "x"
    assert published(remote) == {f"{run['id']}.txt": "measured"}
    assert trailers(remote, "MAO-Run") == [run["id"]]
    assert git("rev-parse", "main", cwd=remote) == run["publication"]["commit"]
    assert len(node.api("GET", "/runs")["items"]) == 1
    _assert_tidy(node, remote)


@pytest.mark.parametrize("step", [s for s in STEPS if s.startswith("install")])
def test_a_server_killed_at_any_step_of_an_installation_finishes_it_by_itself(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, step: str
) -> None:
    repository = _repository(tmp_path, remote, fresh=True)
    node = serve(start=False).start(crash_at=step)
    node.api("POST", "/tools", {"url": str(repository)})
    _ask(node, "/installations", {"tool": "probe"}, "one")
    eventually(node.dead, f"the node dies at '{step}'")

    node.start()
    node.api("POST", "/installations", {"tool": "probe"})
    installation = node.installed()

    assert installation["state"] == "installed", installation
    attempts = list((node.home / "tools" / "probe").iterdir())
    assert [attempt.name for attempt in attempts] == [installation["tree"]]
    run = node.ended(node.run("Count", str(tmp_path / "count")))
    assert run["state"] == "succeeded", run
    _assert_tidy(node, remote)


@pytest.mark.parametrize("folders", [["a"], []], ids=["folder", "all"])
@pytest.mark.parametrize("step", [s for s in STEPS if s.startswith("clone")])
def test_a_server_killed_at_any_step_of_a_clone_or_refresh_finishes_it_by_itself(
    serve: Callable[..., ServedNode], tmp_path: Path, step: str, folders: list[str]
) -> None:
    work, remote = tmp_path / "work", bare(tmp_path / "numbers.git")
    node = serve()
    node.api("POST", "/datasets", {"name": "numbers", "url": str(remote)})
    for number, asked in enumerate((folders, folders and ["b"])):
        commit(work, {f"{name}/{n}.txt": f"{number} {n}" for name in "abc" for n in range(number + 1)})
        git("push", "--quiet", remote, "HEAD:main", cwd=work)
        node.stop()
        node.start(crash_at=step)
        _ask(node, "/clones", {"dataset": "numbers", "folders": asked}, str(number))
        eventually(lambda: node.dead() or _is_ready(node), f"the node dies at '{step}' or never comes there")
        if node.dead():
            node.start()
            assert node.api("GET", "/clones/numbers", Prefer="wait=60")["state"] == "ready"

    directory = node.home / "clones" / "numbers"
    here = {path.parent.name for path in directory.glob("*/*.txt")}
    assert here == ({"a", "b"} if folders else {"a", "b", "c"})
    assert all((directory / name / "0.txt").read_text() == "1 0" for name in here)
    assert git("status", "--porcelain", cwd=directory) == ""
    assert git("rev-parse", "HEAD", cwd=directory) == git("rev-parse", "main", cwd=remote)
    node.api("POST", "/clones", {"dataset": "numbers"})
    assert node.api("GET", "/clones/numbers", Prefer="wait=60")["state"] == "ready"


def _is_ready(node: ServedNode) -> bool:
    try:
        return bool(node.api("GET", "/clones/numbers", Prefer="wait=1")["state"] == "ready")
    except (OSError, AssertionError):
        return False


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "shared"])
@pytest.mark.parametrize("step", ["+run: handed over", "+run: start recorded"])
def test_a_run_whose_supervisor_dies_with_the_server_is_lost_or_begun_again_but_never_doubled(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, step: str, *, fresh: bool
) -> None:
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=fresh))
    node.stop()
    node.start(crash_at=step)
    wish = {"tool": "probe", "command": "Count", "arguments": [str(tmp_path / "count")]}
    _ask(node, "/runs", wish, "one")
    eventually(node.dead, f"the node dies at '{step}'")

    node.start()
    run = node.ended(node.api("POST", "/runs", wish, Idempotency_Key="one"))

    executed = (tmp_path / "count").read_text() if (tmp_path / "count").exists() else ""
    assert len(executed) <= 1
    if run["state"] == "succeeded":
        assert executed == "x"
        assert trailers(remote, "MAO-Run") == [run["id"]]
    else:
        assert run["state"] == "lost", run
        assert published(remote) == {}
    again = node.ended(node.run("Count", str(tmp_path / "count")))
    assert again["state"] == "succeeded", again
    _assert_tidy(node, remote)


@pytest.mark.parametrize("executor", ["process", "sandbox"])
def test_server_and_supervisor_killed_in_the_middle_of_a_run_leave_no_process_and_one_honest_state(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path, executor: str
) -> None:
    if executor == "sandbox":
        need_sandbox()
    script = 'setsid sleep 1000 &\nprintf part > "$MAO_DATA_DIR/part.txt"\nsleep 1000\n'
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Hang": script}))
    node = serve(MAO_RUNS__EXECUTOR=executor)
    node.install(tmp_path / "remotes" / "probe")
    run = node.run("Hang")
    part = node.home / "runs" / run["id"] / "data" / "part.txt"
    eventually(part.exists, "the tool is in the middle")

    node.kill_all()
    node.start()
    run = node.ended(run)

    assert run["state"] == "lost"
    assert str(part.parent) in run["reason"]
    assert part.read_text() == "part"
    assert published(remote) == {}
    _assert_tidy(node, remote)


def test_a_run_goes_on_while_the_server_is_dead_and_is_adopted_with_its_log(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    script = (
        'echo first\nwhile ! test -e "$1"; do sleep 0.05; done\necho second\nprintf late > "$MAO_DATA_DIR/late.txt"\n'
    )
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Wait": script}, arguments={"Wait": 1}))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")
    run = node.run("Wait", str(tmp_path / "go"))
    log = node.home / "runs" / run["id"] / "log"
    eventually(lambda: log.exists() and b"first" in log.read_bytes(), "the tool is running")

    node.kill()
    (tmp_path / "go").touch()
    eventually(lambda: b"second" in log.read_bytes(), "the tool goes on without the server")
    node.start()
    run = node.ended(run)

    assert run["state"] == "succeeded"
    assert node.request("GET", f"/api/v1/runs/{run['id']}/log").body == b"first\nsecond\n"
    assert published(remote) == {"late.txt": "late"}
    _assert_tidy(node, remote)


def test_a_server_killed_while_git_pushes_publishes_once(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/pushing\nwhile ! test -e {tmp_path}/go; do sleep 0.05; done\n")
    hook.chmod(0o755)
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=True))
    run = node.run("Count", str(tmp_path / "count"))
    eventually((tmp_path / "pushing").exists, "the push has reached the remote")

    node.kill()
    (tmp_path / "go").touch()
    node.start()
    run = node.ended(run)
    run = node.finished(run, "succeeded")

    assert trailers(remote, "MAO-Run") == [run["id"]]
    assert published(remote) == {f"{run['id']}.txt": "measured"}
    _assert_tidy(node, remote)


def test_a_push_that_arrived_without_an_answer_is_found_under_what_others_pushed_since(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=True))
    node.stop()
    node.start(crash_at="push: arrived")
    wish = {"tool": "probe", "command": "Count", "arguments": [str(tmp_path / "count")]}
    _ask(node, "/runs", wish, "one")
    eventually(node.dead, "the node dies")
    other = tmp_path / "other"
    git("clone", "--quiet", remote, other, cwd=tmp_path)
    commit(other, {"theirs.txt": "theirs"})
    git("push", "--quiet", "origin", "main", cwd=other)

    node.start()
    run = node.ended(node.api("POST", "/runs", wish, Idempotency_Key="one"))

    assert (run["state"], run["publication"]["state"]) == ("succeeded", "published"), run
    assert trailers(remote, "MAO-Run") == [run["id"]]
    assert published(remote) == {f"{run['id']}.txt": "measured", "theirs.txt": "theirs"}
    _assert_tidy(node, remote)


def test_an_installer_killed_with_server_and_supervisor_blocks_no_later_installation(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    installer = f"setsid sleep 1000 &\ntest -e {tmp_path}/go && exit 0\ntouch {tmp_path}/begun\nsleep 1000\n"
    commit(tmp_path / "remotes" / "probe", tool_files(remote, installer=installer))
    node = serve()
    node.api("POST", "/tools", {"url": str(tmp_path / "remotes" / "probe")})
    node.api("POST", "/installations", {"tool": "probe"})
    eventually((tmp_path / "begun").exists, "the installer is in the middle")

    node.kill_all()
    (tmp_path / "go").touch()
    node.start()

    failed = node.installed()
    assert (failed["state"], failed["attempt"]["error"]) == ("failed", "installer-failed")
    assert not (node.home / "tools" / "probe" / failed["attempt"]["id"] / "tree").exists()
    node.api("POST", "/installations", {"tool": "probe"})
    assert node.installed()["state"] == "installed"
    _assert_tidy(node, remote)


def test_what_waits_for_its_remote_is_published_after_a_restart(
    serve: Callable[..., ServedNode], tmp_path: Path, remote: Path
) -> None:
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=False))
    away = remote.rename(remote.with_name("away.git"))
    run = node.ended(node.run("Count", str(tmp_path / "count")))
    assert (run["state"], run["publication"]["cause"]) == ("unpublished", "no-such-repository"), run
    assert "does not appear to be a git repository" in run["publication"]["message"]

    node.kill()
    away.rename(remote)
    node.start()

    assert node.finished(run, "succeeded")["publication"]["state"] == "published"
    assert trailers(remote, "MAO-Run") == [run["id"]]
    _assert_tidy(node, remote)


def test_a_remote_that_was_made_anew_under_a_new_home_gets_what_waits(
    serve: Callable[..., ServedNode], tmp_path: Path
) -> None:
    remote = bare(tmp_path / "remotes" / "data.git")
    node = serve()
    node.install(_repository(tmp_path, remote, fresh=True))
    remote.rename(tmp_path / "gone.git")
    run = node.ended(node.run("Count", str(tmp_path / "count")))
    assert run["state"] == "unpublished"

    bare(remote)

    assert node.finished(run, "succeeded")["publication"]["state"] == "published"
    assert trailers(remote, "MAO-Run") == [run["id"]]
