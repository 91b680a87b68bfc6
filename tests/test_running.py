"""Starting, queueing, limiting and ending runs, through the API of a node that serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mao.run import Run, RunState
from mao.running import startable
from mao.values import new_id, now
from support import ServedNode, bare, commit, eventually, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., ServedNode]

GATE = """\
set -eu
touch "$1.begun"
while ! test -e "$1.go"; do sleep 0.02; done
printf x > "$MAO_DATA_DIR/$(basename "$1")"
"""
"""A script that says that it has begun, and waits until it may go on."""


@pytest.fixture
def gated(tmp_path: Path, remote: Path) -> Callable[..., Path]:
    def repository(name: str = "probe", *, fresh: bool = True) -> Path:
        files = tool_files(remote, name=name, fresh=fresh, scripts={"Gate": GATE}, arguments={"Gate": 1})
        commit(tmp_path / "remotes" / name, files)
        return tmp_path / "remotes" / name

    return repository


def _echo(tmp_path: Path, remote: Path) -> Path:
    """A tool that writes down its arguments and environment, each ended by a NUL."""
    script = 'cd "$MAO_DATA_DIR"\nprintf "%s\\0" "$@" > arguments\nexec env -0 > environment\n'
    files = tool_files(remote, scripts={"Echo": script}, arguments={"Echo": 60}, more="Environment: {COLOUR: 'a b $x'}")
    commit(tmp_path / "remotes" / "probe", files)
    return tmp_path / "remotes" / "probe"


def test_arguments_arrive_exactly_as_they_were_given(serve: Serve, tmp_path: Path, remote: Path) -> None:
    node = serve()
    node.install(_echo(tmp_path, remote))
    given = [
        "",
        " ",
        "a b",
        "'",
        '"',
        "$(touch /tmp/pwned)",
        "`id`",
        "a\nb\n",
        "\\",
        "*",
        "-x",
        "--",
        "ä€😀",
        "; rm -rf x",
    ]
    given += ["x" * 131071, "y" * 70000]

    run = node.ended(node.run("Echo", *given))

    assert run["state"] == "succeeded", run
    seen = (node.home / "runs" / run["id"] / "data" / "arguments").read_bytes()
    assert seen.decode().split("\0")[:-1] == given


def test_an_argument_longer_than_the_system_can_pass_is_refused(serve: Serve, tmp_path: Path, remote: Path) -> None:
    node = serve()
    node.install(_echo(tmp_path, remote))

    refused = node.request("POST", "/api/v1/runs", {"tool": "probe", "command": "Echo", "arguments": ["x" * 131072]})

    assert (refused.status, refused.json["code"]) == (422, "bad-arguments")
    assert node.api("GET", "/runs")["items"] == []


def test_a_run_gets_its_own_variables_the_allowed_ones_and_nothing_else(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    node = serve(OF_THE_NODE_ALONE="1", MAO_RUNS__PASS_ENVIRONMENT="PATH")  # noqa: S106  # not a password
    installation = node.install(_echo(tmp_path, remote))

    run = node.ended(node.run("Echo"))

    data = node.home / "runs" / run["id"] / "data"
    seen = (data / "environment").read_text().split("\0")[:-1]
    environment = dict(variable.split("=", 1) for variable in seen)
    for name in ("PWD", "SHLVL", "_", "OLDPWD", "MAO_JOB"):  # of bash, and of the executor
        environment.pop(name, None)
    assert environment == {
        "PATH": os.environ["PATH"],
        "COLOUR": "a b $x",
        "MAO_RUN_ID": run["id"],
        "MAO_NODE": "alpha",
        "MAO_TOOL": "probe",
        "MAO_TOOL_COMMIT": installation["commit"],
        "MAO_DATA_DIR": str(data),
    }


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"tool": "prob", "command": "Echo"}, 404, "not-installed"),
        ({"tool": "probe", "command": "Ecco"}, 404, "command-not-found"),
        ({"tool": "probe", "command": "Echo", "arguments": ["x"] * 61}, 422, "bad-arguments"),
        ({"tool": "probe", "command": "Echo", "arguments": {"B1": "x"}}, 422, "bad-arguments"),
        ({"tool": "probe", "command": "Echo", "arguments": ["a\0b"]}, 422, "bad-arguments"),
        ({"tool": "../probe", "command": "Echo"}, 404, "not-installed"),
    ],
)
def test_what_cannot_be_run_is_refused_and_nothing_starts(
    serve: Serve, tmp_path: Path, remote: Path, wish: object, status: int, code: str
) -> None:
    node = serve()
    node.install(_echo(tmp_path, remote))

    refused = node.request("POST", "/api/v1/runs", wish)

    assert (refused.status, refused.json["code"]) == (status, code)
    assert node.api("GET", "/runs")["items"] == []
    assert list((node.home / "runs").iterdir()) == []


def test_a_missing_argument_is_named(serve: Serve, tmp_path: Path, remote: Path) -> None:
    files = tool_files(remote, scripts={"Echo": "true\n"})
    files["mao.yaml"] += "    Arguments: [{Name: Place}]\n"
    commit(tmp_path / "remotes" / "probe", files)
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    refused = node.request("POST", "/api/v1/runs", {"tool": "probe", "command": "Echo"})

    assert refused.status == 422
    assert "Place" in refused.json["detail"]


def test_runs_that_share_a_data_directory_go_one_behind_the_other(
    serve: Serve, tmp_path: Path, gated: Callable[..., Path]
) -> None:
    node = serve()
    node.install(gated(fresh=False))
    first, second = (node.run("Gate", str(tmp_path / name)) for name in ("1", "2"))
    eventually((tmp_path / "1.begun").exists)

    (tmp_path / "2.go").touch()
    assert node.api("GET", f"/runs/{second['id']}", Prefer="wait=1")["state"] == "queued"
    assert not (tmp_path / "2.begun").exists()
    (tmp_path / "1.go").touch()

    first, second = node.ended(first), node.ended(second)
    assert [file["path"] for file in first["publication"]["files"]] == ["1"]
    assert [file["path"] for file in second["publication"]["files"]] == ["2"]
    assert second["started_at"] >= first["ended_at"]


def test_fresh_runs_overlap_up_to_the_limit_of_the_node(
    serve: Serve, tmp_path: Path, gated: Callable[..., Path], remote: Path
) -> None:
    node = serve(MAO_RUNS__LIMIT="2")
    node.install(gated())
    runs = [node.run("Gate", str(tmp_path / str(i))) for i in range(4)]
    eventually((tmp_path / "0.begun").exists)
    eventually((tmp_path / "1.begun").exists)

    states = [node.api("GET", f"/runs/{run['id']}")["state"] for run in runs]
    assert states == ["running", "running", "queued", "queued"]
    for i in range(4):
        (tmp_path / f"{i}.go").touch()

    assert {node.ended(run)["state"] for run in runs} == {"succeeded"}
    assert published(remote) == {str(i): "x" for i in range(4)}


def test_cancelling_ends_the_whole_process_tree_before_it_is_reported(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    script = (
        "trap '' TERM\n"
        f"setsid bash -c \"trap '' TERM; echo \\$\\$ > {tmp_path}/daemon; while :; do sleep 0.1; done\" &\n"
        f"echo $$ > {tmp_path}/main\nwhile :; do sleep 0.1; done\n"
    )
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Stay": script}))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")
    run = node.run("Stay")
    eventually(lambda: _text(tmp_path / "main") and _text(tmp_path / "daemon"), "both are running")
    pids = [int(_text(tmp_path / name)) for name in ("main", "daemon")]

    node.api("POST", f"/runs/{run['id']}/cancel")
    run = node.ended(run)

    assert run["state"] == "cancelled"
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert published(remote) == {}
    again = node.request("POST", f"/api/v1/runs/{run['id']}/cancel")
    assert (again.status, again.json["code"]) == (409, "run-ended")


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def test_a_queued_run_can_be_cancelled_and_never_starts(
    serve: Serve, tmp_path: Path, gated: Callable[..., Path]
) -> None:
    node = serve(MAO_RUNS__LIMIT="1")
    node.install(gated())
    first, second = (node.run("Gate", str(tmp_path / name)) for name in ("1", "2"))
    eventually((tmp_path / "1.begun").exists)

    node.api("POST", f"/runs/{second['id']}/cancel")

    assert node.ended(second)["state"] == "cancelled"
    (tmp_path / "1.go").touch()
    assert node.ended(first)["state"] == "succeeded"
    assert not (tmp_path / "2.begun").exists()


def test_a_run_that_takes_too_long_is_ended_and_publishes_nothing(serve: Serve, tmp_path: Path, remote: Path) -> None:
    script = 'printf x > "$MAO_DATA_DIR/x"\nsleep 1000\n'
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Slow": script}, more="Timeout: 0.5"))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    run = node.ended(node.run("Slow"))

    assert run["state"] == "timed-out"
    assert published(remote) == {}


def test_a_log_over_the_limit_is_cut_and_says_so(serve: Serve, tmp_path: Path, remote: Path) -> None:
    script = "head -c 50000 /dev/zero | tr '\\0' x\n"
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Talk": script}))
    node = serve(MAO_RUNS__LOG_LIMIT="10 kB")
    node.install(tmp_path / "remotes" / "probe")

    run = node.ended(node.run("Talk"))
    log = node.request("GET", f"/api/v1/runs/{run['id']}/log").body

    assert (run["state"], run["log_dropped"]) == ("succeeded", 40000)
    assert log.startswith(b"x" * 10000)
    assert b"limit" in log[10000:]


def test_a_program_that_is_not_there_is_told_by_its_name(serve: Serve, tmp_path: Path, remote: Path) -> None:
    files = tool_files(remote)
    files["mao.yaml"] = files["mao.yaml"].replace("Command: bash", "Command: no-such-program")
    commit(tmp_path / "remotes" / "probe", files)
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    run = node.ended(node.run())

    assert run["state"] == "failed"
    assert "no-such-program" in run["reason"]


def test_a_data_directory_that_became_a_link_out_of_the_tool_is_not_followed(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    script = f'printf x > "$MAO_DATA_DIR/x"\ncd ..\nrm -rf data tree/data\nln -s {tmp_path}/elsewhere tree/data\n'
    commit(tmp_path / "remotes" / "probe", tool_files(remote, fresh=False, scripts={"Link": script}))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    node.ended(node.run("Link"))
    second = node.ended(node.run("Link"))

    assert second["state"] == "failed"
    assert "link" in second["reason"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert published(remote) == {}


def test_a_tool_of_the_oldest_format_runs_and_publishes(serve: Serve, tmp_path: Path) -> None:
    remote = bare(tmp_path / "remotes" / "hello-data")
    example = Path(__file__).parents[1] / "examples" / "hello-world"
    files = {path.name: path.read_text() for path in example.iterdir() if path.is_file()}
    files["mao.yaml"] = files["mao.yaml"].replace("https://example.org/hello-data", str(remote))
    commit(tmp_path / "remotes" / "hello", files)
    node = serve()
    node.install(tmp_path / "remotes" / "hello", "Hello")

    run = node.ended(node.run("Run", "it's\n$(me)", tool="hello"))

    assert run["state"] == "succeeded", run
    assert "it's\n$(me)" in "".join(published(remote).values())


def _run(tool: str, state: RunState, *, fresh: bool) -> Run:
    return Run(
        id=new_id(),
        tool=tool,
        tool_commit="0" * 40,
        command="c",
        arguments={},
        dataset="d",
        node="n",
        publish=True,
        fresh=fresh,
        state=state,
        created_at=now(),
    )


def test_the_oldest_run_of_a_tool_goes_first_and_others_do_not_wait_for_it() -> None:
    runs = [
        _run("a", RunState.RUNNING, fresh=False),
        _run("a", RunState.QUEUED, fresh=False),
        _run("b", RunState.QUEUED, fresh=False),
        _run("b", RunState.QUEUED, fresh=False),
        _run("c", RunState.QUEUED, fresh=True),
    ]

    assert startable(runs, 8, frozenset()) == [runs[2], runs[4]]
    assert startable(runs, 2, frozenset()) == [runs[2]]
    assert startable(runs, 1, frozenset()) == []
    assert startable(runs, 8, frozenset({"b"})) == [runs[4]]
