"""What a run wrote reaches its dataset once, whole, and never over another's file; whatever the remote does."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from support import ServedNode, bare, commit, eventually, fill, free_port, git, published, tool_files, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., ServedNode]


def _waiting(node: ServedNode, run: dict, cause: str) -> dict:  # type: ignore[type-arg]
    run = node.ended(run)
    assert (run["state"], run["publication"]["state"], run["publication"]["cause"]) == (
        "unpublished",
        "waiting",
        cause,
    ), run
    return run


def test_a_run_becomes_one_commit_with_its_origin_in_trailers(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    installation = node.install(tool)

    run = node.ended(node.run("Write", "42", "a/b.txt"))

    assert run["state"] == "succeeded"
    assert run["publication"]["files"] == [{"path": "a/b.txt", "size": 2, "published_as": None, "lfs": None}]
    assert published(remote) == {"a/b.txt": "42"}
    day = run["started_at"][:10]
    dataset = eventually(lambda: (d := node.api("GET", "/datasets/probe-data"))["head"] and d)
    assert dataset["head"] == run["publication"]["commit"] == git("rev-parse", "main", cwd=remote)
    assert git("log", "--format=%s", "main", cwd=remote) == f"sync {day}: probe Write"
    written = dict(
        line.split(": ", 1)
        for line in git("log", "-1", "--format=%(trailers)", "main", cwd=remote).splitlines()
        if line
    )
    assert json.loads(written.pop("MAO-Arguments")) == {"A1": "42", "A2": "a/b.txt"}
    assert written.pop("MAO-Version")
    assert written == {
        "MAO-Run": run["id"],
        "MAO-Tool": "probe",
        "MAO-Tool-Commit": installation["commit"],
        "MAO-Command": "Write",
        "MAO-Files": "1",
        "MAO-Bytes": "2",
        "MAO-Node": "alpha",
        "MAO-Started": run["started_at"],
        "MAO-Ended": run["ended_at"],
    }


def test_only_what_the_run_added_or_changed_is_published(serve: Serve, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(remote, fresh=False))
    node = serve()
    installation = node.install(tmp_path / "remotes" / "probe")
    data = node.home / "tools" / "probe" / installation["tree"] / "tree" / "data"
    data.joinpath("by-hand.txt").write_text("not of a run")

    node.ended(node.run("Write", "1", "first.txt"))
    node.ended(node.run("Write", "2", "second.txt"))
    last = node.ended(node.run("Write", "3", "first.txt"))

    assert published(remote) == {"first.txt": "3", "second.txt": "2"}
    assert [file["path"] for file in last["publication"]["files"]] == ["first.txt"]
    assert len(trailers(remote, "MAO-Run")) == 3


def test_a_run_that_fails_publishes_nothing_and_keeps_its_files(serve: Serve, tmp_path: Path, remote: Path) -> None:
    script = 'printf half > "$MAO_DATA_DIR/half.txt"\nexit 3\n'
    for name, fresh in (("own", True), ("common", False)):
        files = tool_files(remote, name=name, fresh=fresh, scripts={"Fail": script})
        commit(tmp_path / "remotes" / name, files)
    node = serve()
    for name in ("own", "common"):
        node.install(tmp_path / "remotes" / name, name)
        run = node.ended(node.run("Fail", tool=name))

        assert (run["state"], run["exit_code"], run["publication"]) == ("failed", 3, None)
        kept = node.home / "runs" / run["id"] / "data"
        assert str(kept) in run["reason"]
        assert (kept / "half.txt").read_text() == "half"
    assert published(remote) == {}


def test_a_run_that_changes_nothing_makes_no_commit_and_says_so(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    node.install(tool)
    node.ended(node.run("Write", "same", "same.txt"))
    head = git("rev-parse", "main", cwd=remote)

    again = node.ended(node.run("Write", "same", "same.txt"))

    assert (again["state"], again["publication"]["state"]) == ("succeeded", "unchanged")
    assert "no commit" in again["reason"]
    assert git("rev-parse", "main", cwd=remote) == head


def test_a_run_that_writes_nothing_makes_no_commit_and_says_so(serve: Serve, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Idle": "echo nothing to do\n"}))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    run = node.ended(node.run("Idle"))

    assert (run["state"], run["publication"]["state"]) == ("succeeded", "unchanged")
    assert "wrote no data" in run["reason"]
    assert published(remote) == {}


def test_what_is_kept_back_is_committed_here_and_pushed_when_asked_for(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    node.install(tool)

    run = node.ended(node.run("Write", "1", "kept.txt", publish=False))
    assert (run["state"], run["publication"]["state"]) == ("succeeded", "kept")
    assert published(remote) == {}
    cache = node.home / "datasets" / "probe-data.git"
    assert git("show", f"{run['publication']['commit']}:kept.txt", cwd=cache) == "1"
    node.ended(node.run("Write", "2", "pushed.txt"))
    node.api("POST", f"/runs/{run['id']}/publish")
    node.ended(run)

    assert published(remote) == {"kept.txt": "1", "pushed.txt": "2"}
    assert node.request("POST", f"/api/v1/runs/{run['id']}/publish").json["code"] == "nothing-to-publish"


def test_two_nodes_publishing_to_one_dataset_at_the_same_time_lose_and_double_nothing(
    serve: Serve, tool: Path, remote: Path
) -> None:
    nodes = [serve("alpha"), serve("beta")]
    for node in nodes:
        node.install(tool)
    runs = {
        node.name: [node.run("Write", f"{node.name} {i}", f"{node.name}/{i}.txt") for i in range(50)] for node in nodes
    }

    for node in nodes:
        for run in runs[node.name]:
            assert node.finished(run, "succeeded")["publication"]["state"] == "published"

    assert published(remote) == {f"{n}/{i}.txt": f"{n} {i}" for n in runs for i in range(50)}
    assert sorted(trailers(remote, "MAO-Run")) == sorted(run["id"] for made in runs.values() for run in made)
    assert git("rev-list", "--count", "main", cwd=remote) == "100"
    assert git("rev-list", "--min-parents=2", "--count", "main", cwd=remote) == "0"


def test_two_nodes_writing_one_path_keep_both_versions_and_the_run_says_where(
    serve: Serve, tool: Path, remote: Path
) -> None:
    alpha, beta = serve("alpha"), serve("beta")
    alpha.install(tool)
    beta.install(tool)
    alpha.ended(alpha.run("Write", "alpha's", "latest.txt"))

    run = beta.ended(beta.run("Write", "beta's", "latest.txt"))
    beside = f"latest.conflict-beta-{run['id']}.txt"
    alpha.ended(alpha.run("Write", "alpha's next", "latest.txt"))

    assert run["publication"]["files"] == [{"path": "latest.txt", "size": 6, "published_as": beside, "lfs": None}]
    assert beside in run["reason"]
    assert published(remote) == {"latest.txt": "alpha's next", beside: "beta's"}


def test_a_file_where_the_dataset_has_a_folder_is_refused_and_kept(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    node.install(tool)
    node.ended(node.run("Write", "1", "day/1.txt"))

    run = node.ended(node.run("Write", "2", "day"))

    assert (run["state"], run["publication"]["state"], run["publication"]["cause"]) == (
        "unpublished",
        "blocked",
        "path-clash",
    )
    assert (node.home / "runs" / run["id"] / "data" / "day").read_text() == "2"
    assert published(remote) == {"day/1.txt": "1"}


def test_odd_names_are_published_and_what_cannot_be_is_named(serve: Serve, tmp_path: Path, remote: Path) -> None:
    script = (
        'cd "$MAO_DATA_DIR"\nprintf 1 > "a \\"b\\"\n\\\\c"\nprintf 2 > "$(printf "\\377")"\nln -s /etc/passwd out\n'
        "printf 3 > -dash\nln -s -- -dash in\nmkfifo pipe\nmkdir .git\nprintf x > .git/config\nchmod +x -- -dash\n"
    )
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Odd": script}))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")

    run = node.ended(node.run("Odd"))

    assert run["state"] == "succeeded", run
    listed = subprocess.run(["git", "ls-tree", "-z", "main"], cwd=remote, capture_output=True, check=True).stdout
    entries = {name: mode.split()[0] for mode, name in (line.split(b"\t") for line in listed.split(b"\0") if line)}
    assert entries == {b'a "b"\n\\c': b"100644", b"\xff": b"100644", b"-dash": b"100755", b"in": b"120000"}
    assert [left.split(":")[0] for left in run["publication"]["left_out"]] == [".git/config", "out", "pipe"]


def test_a_hook_that_refuses_is_quoted_and_asked_again(serve: Serve, tool: Path, remote: Path) -> None:
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no data on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    node = serve()
    node.install(tool)

    run = _waiting(node, node.run("Write", "1", "x.txt"), "hook-declined")
    assert "no data on Mondays" in run["publication"]["message"]
    hook.unlink()

    run = node.finished(run, "succeeded")
    assert run["publication"]["attempts"] >= 1
    assert trailers(remote, "MAO-Run") == [run["id"]]


def test_a_remote_that_vanishes_and_comes_back_gets_all_that_waited(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    node.install(tool)
    away = remote.rename(remote.with_name("away.git"))
    runs = [node.run("Write", str(i), f"{i}.txt") for i in range(5)]
    for run in runs:
        _waiting(node, run, "no-such-repository")

    away.rename(remote)

    for run in runs:
        node.finished(run, "succeeded")
    assert published(remote) == {f"{i}.txt": str(i) for i in range(5)}
    assert len(trailers(remote, "MAO-Run")) == 5


@contextmanager
def _http(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/data.git"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _redirected(node: ServedNode, cache: Path, remote: Path, url: str) -> None:
    """Let git find the remote elsewhere, as if a host had changed."""
    config = node.home.parent / "gitconfig"
    config.write_text(f'[url "{url}"]\n\tinsteadOf = file://{remote}\n[user]\n\tname = x\n')
    node.settings["GIT_CONFIG_GLOBAL"] = str(config)
    node.settings["MAO_GIT__ALLOW_HTTP"] = "true"
    assert cache.exists()


@pytest.mark.parametrize(
    ("status", "cause"), [(403, "not-allowed"), (401, "not-allowed"), (404, "no-such-repository"), (503, "unreachable")]
)
def test_an_http_remote_that_refuses_is_told_by_its_cause(
    serve: Serve, tool: Path, remote: Path, status: int, cause: str
) -> None:
    node = serve()
    node.install(tool)
    node.stop()
    with _http(lambda request: request.send_error(status)) as url:
        _redirected(node, node.home / "datasets" / "probe-data.git", remote, url)
        node.start()
        run = _waiting(node, node.run("Write", "1", "x.txt"), cause)
        assert url.removesuffix("/data.git").removeprefix("http://") in run["publication"]["message"]
        node.stop()

    node.settings["GIT_CONFIG_GLOBAL"] = "/dev/null"
    node.start()
    node.finished(run, "succeeded")
    assert published(remote) == {"x.txt": "1"}


def test_a_remote_that_never_answers_is_given_up_after_the_time_limit_and_asked_again(
    serve: Serve, tool: Path, remote: Path
) -> None:
    node = serve(MAO_GIT__TIME_LIMIT="2")
    node.install(tool)
    node.stop()
    over = threading.Event()

    def hang(_: object) -> None:
        over.wait()

    with _http(hang) as url:
        _redirected(node, node.home / "datasets" / "probe-data.git", remote, url)
        node.start()
        run = node.run("Write", "1", "x.txt")
        assert node.request("GET", "/api/v1/tools").status == 200
        _waiting(node, run, "timed-out")
        node.stop()
        over.set()

    node.settings["GIT_CONFIG_GLOBAL"] = "/dev/null"
    node.start()
    node.finished(run, "succeeded")
    assert published(remote) == {"x.txt": "1"}


def test_a_history_that_was_rewritten_stops_publishing_until_somebody_decides(
    serve: Serve, tool: Path, remote: Path
) -> None:
    node = serve()
    node.install(tool)
    node.ended(node.run("Write", "1", "1.txt"))
    other = node.home.parent / "other"
    commit(other, {"new.txt": "a new beginning"})
    git("push", "--quiet", "--force", remote, "main", cwd=other)

    run = node.ended(node.run("Write", "2", "2.txt"))
    assert (run["publication"]["state"], run["publication"]["cause"]) == ("blocked", "remote-rewritten"), run
    assert published(remote) == {"new.txt": "a new beginning"}
    node.api("POST", f"/runs/{run['id']}/publish")

    assert node.finished(run, "succeeded")["publication"]["state"] == "published"
    assert published(remote) == {"new.txt": "a new beginning", "2.txt": "2"}


def test_a_branch_that_was_set_back_is_not_brought_forward_again(serve: Serve, tool: Path, remote: Path) -> None:
    node = serve()
    node.install(tool)
    node.ended(node.run("Write", "1", "1.txt"))
    node.ended(node.run("Write", "2", "2.txt"))
    git("update-ref", "refs/heads/main", "main~1", cwd=remote)

    run = node.ended(node.run("Write", "3", "3.txt"))
    assert (run["publication"]["state"], run["publication"]["cause"]) == ("blocked", "remote-rewritten"), run
    assert published(remote) == {"1.txt": "1"}
    node.api("POST", f"/runs/{run['id']}/publish")

    node.finished(run, "succeeded")
    assert published(remote) == {"1.txt": "1", "3.txt": "3"}


def test_a_full_disk_at_the_remote_is_told_and_survived(
    serve: Serve, tmp_path: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "disk", 3)
    remote = bare(tmp_path / "disk" / "data.git")
    commit(tmp_path / "remotes" / "probe", tool_files(remote))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")
    ballast = fill(tmp_path / "disk")

    run = node.ended(node.run("Write", "x" * 100_000, "x.txt"))
    assert run["state"] == "unpublished", run
    assert "No space left" in run["publication"]["message"], run
    ballast.unlink()

    node.finished(run, "succeeded")
    assert published(remote) == {"x.txt": "x" * 100_000}
    node.stop()


def test_a_full_disk_of_the_node_loses_no_run_and_no_file(
    serve: Serve, tmp_path: Path, remote: Path, small_disk: Callable[[Path, int], None]
) -> None:
    script = (
        'set -eu\nprintf data > "$MAO_DATA_DIR/$MAO_RUN_ID.txt"\ntouch "$1"\n'
        'while ! test -e "$2"; do sleep 0.05; done\nhead -c 100000 /dev/zero | tr "\\0" "x"\n'
    )
    commit(tmp_path / "remotes" / "probe", tool_files(remote, scripts={"Wait": script}, arguments={"Wait": 2}))
    small_disk(tmp_path / "home-alpha", 24)
    node = serve()
    node.install(tmp_path / "remotes" / "probe")
    run = node.run("Wait", str(tmp_path / "begun"), str(tmp_path / "go"))
    eventually((tmp_path / "begun").exists, "the tool has written its data")
    ballast = fill(tmp_path / "home-alpha")

    (tmp_path / "go").touch()
    refused = node.request("POST", "/api/v1/runs", {"tool": "probe", "command": "Wait", "arguments": ["a", "b"]})
    assert (refused.status, refused.json["code"]) == (503, "disk-full")
    assert node.request("GET", f"/api/v1/runs/{run['id']}").json["state"] in {
        "running",
        "publishing",
        "unpublished",
    }
    assert published(remote) == {}
    eventually((node.home / "runs" / run["id"] / "exit.json").exists, "the end is on record in spite of the full disk")
    ballast.unlink()

    run = node.finished(run, "succeeded")
    assert published(remote) == {f"{run['id']}.txt": "data"}
    assert run["log_dropped"] > 0
    assert len(node.api("GET", "/runs")["items"]) == 1
    node.stop()
