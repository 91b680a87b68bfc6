from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from cli.place import opened
from support import PATIENCE, processes_of, published

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from cli.place import Place


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_runs_are_listed_newest_first_filtered_and_limited(place: Place) -> None:
    ended = [place.mao.json("tool", "run", "probe", "Write", "--wait", "--", str(i))["id"] for i in range(3)]
    place.mao("tool", "run", "probe", "Fail", "--wait")
    listed = place.mao.json("run", "list", "--tool", "PROBE", "--state", "succeeded", "--dataset", "probe-data")
    assert [run["id"] for run in listed][:3] == ended[::-1]
    limited = place.mao.ok("run", "list", "--limit", "2", "-o", "ndjson")
    assert len(limited.stdout.splitlines()) == 2
    assert "--limit 20" in limited.stderr
    assert len(place.mao.json("run", "list", "--limit", "0")) >= 4
    head, first, *_ = place.mao.ok("run", "list").stdout.splitlines()
    assert head.split() == ["RUN", "STATE", "TOOL", "COMMAND", "CREATED", "TOOK", "DATA"]
    assert first.endswith("the tool failed: exit status 3")
    assert place.mao("run", "list", "--state", "no-such").returncode == 2


def test_a_run_shows_all_that_is_known_of_it(place: Place) -> None:
    run = place.mao.json("tool", "run", "probe", "Write", "--wait", "--", "it's")
    shown = place.mao.ok("run", "show", run["id"]).stdout
    for label, text in {
        "state": "succeeded",
        "arguments": 'A1 = "it\'s"',
        "exit": "status 0",
        "publication": "published on main",
        "commit": f"{run['publication']['commit']} on main",
        "files": f"data-{run['id']}.txt (4 bytes)",
        "remote": str(place.remote),
    }.items():
        assert re.search(rf"^{label} +{re.escape(text)}$", shown, re.MULTILINE), shown


def test_times_are_local_in_tables_and_utc_in_json(place: Place) -> None:
    run = place.mao.json("tool", "run", "probe", "Write", "--wait")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", run["created_at"])
    day, time = run["created_at"][:19].split("T")
    hour = (int(time[:2]) + 5) % 24
    shown = place.mao.ok("run", "show", run["id"], TZ="XYZ-05").stdout
    assert re.search(rf"^created +\d{{4}}-\d\d-\d\d {hour:02}{time[2:]}$", shown, re.MULTILINE), (day, shown)


def test_a_run_that_is_not_known_ends_with_3(place: Place) -> None:
    for verb in ("show", "log", "cancel", "publish"):
        assert place.mao("run", verb, "no-such-run").returncode == 3


def test_the_log_is_printed_as_far_as_it_is(place: Place, gate: Path) -> None:
    run_id = place.mao.ok("tool", "run", "probe", "Gate", "--", str(gate)).stdout.strip()
    follower = place.mao.start("run", "log", "-f", run_id)
    assert line_of(follower) == "line 1\n"
    assert place.mao.ok("run", "log", run_id).stdout == "line 1\n"
    assert place.mao.json("run", "log", run_id) == {"run": run_id, "log": "line 1\n"}
    opened(gate, "1", "2", "3")
    out, err = follower.communicate(timeout=PATIENCE)
    assert out == "line 2\nline 3\nover\n"
    assert "has succeeded: it wrote no data: nothing to publish" in err


def test_ctrl_c_leaves_the_run_alone_and_ends_with_130(place: Place, gate: Path) -> None:
    waiting = place.mao.start("tool", "run", "probe", "Gate", "--wait", "--", str(gate))
    assert line_of(waiting) == "line 1\n"
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    run_id = re.search(r"mao run cancel (\S+)'", err)
    assert run_id
    assert place.mao.json("run", "show", run_id[1])["state"] == "running"
    place.mao.ok("run", "cancel", run_id[1])


def test_cancelling_returns_when_no_process_is_left(place: Place, gate: Path) -> None:
    waiting = place.mao.start("tool", "run", "probe", "Gate", "--wait", "--", str(gate))
    assert line_of(waiting) == "line 1\n"
    run_id = place.mao.json("run", "list", "--state", "running")[0]["id"]
    cancelled = place.mao.json("run", "cancel", run_id)
    assert cancelled["state"] == "cancelled"
    left = [line for line in processes_of(place.node.home) if str(gate) in line and "mao tool run" not in line]
    assert left == []
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 8
    assert "was cancelled." in err
    again = place.mao("run", "cancel", run_id)
    assert again.returncode == 4


def test_what_was_kept_back_is_published_when_asked_for(place: Place) -> None:
    run = place.mao.json("tool", "run", "probe", "Write", "--wait", "--no-publish", "--", "kept")
    assert (run["state"], run["publication"]["state"]) == ("succeeded", "kept")
    assert f"data-{run['id']}.txt" not in published(place.remote)
    done = place.mao.ok("run", "publish", run["id"])
    assert "published on main" in done.stderr
    assert published(place.remote)[f"data-{run['id']}.txt"] == "kept"
    assert place.mao("run", "publish", run["id"]).returncode == 4


def test_data_that_cannot_be_pushed_ends_with_8_and_gits_words(own_place: Place) -> None:
    place = own_place
    away = place.remote.with_name("away.git")
    place.remote.rename(away)
    done = place.mao("tool", "run", "probe", "Write", "--wait", "--", "later")
    assert done.returncode == 8
    assert "succeeded, but its data is not published" in done.stderr
    assert "does not appear to be a git repository" in done.stderr
    run_id = place.mao.json("run", "list")[0]["id"]
    assert f"mao run publish {run_id}" in done.stderr
    shown = place.mao.ok("run", "show", run_id).stdout
    assert re.search(r"^git says +.*does not appear to be a git repository", shown, re.MULTILINE)
    assert re.search(r"^cause +no-such-repository$", shown, re.MULTILINE)
    assert re.search(
        r"^which means +There is no repository at that address.* Make it, bring it back", shown, re.MULTILINE
    )
    away.rename(place.remote)
    assert place.mao("run", "publish", run_id).returncode in {0, 4}  # 4: it was tried again by itself just then
    assert place.node.finished({"id": run_id}, "succeeded")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_following_and_waiting_survive_a_restart_of_the_node(own_place: Place, gate: Path, end: str) -> None:
    place = own_place
    waiting = place.mao.start("tool", "run", "probe", "Gate", "--wait", "--", str(gate))
    assert line_of(waiting) == "line 1\n"
    run_id = place.mao.json("run", "list")[0]["id"]
    follower = place.mao.start("run", "log", "-f", run_id, "-o", "json")
    assert follower.stderr is not None
    assert follower.stderr.readline() == "line 1\n"  # it is known to have been there before the end of the node
    opened(gate, "1")
    assert line_of(waiting) == "line 2\n"
    getattr(place.node, end)()
    opened(gate, "2")
    assert place.mao("run", "list").returncode == 6
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == f"Run {run_id}\n"
    assert "is away; waiting up to 60 s" in waiting.stderr.readline()
    place.node.start()
    opened(gate, "3")
    out, err = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, out) == (0, "line 3\nover\n")
    assert "is away" not in err
    out, err = follower.communicate(timeout=PATIENCE)
    assert follower.returncode == 0
    assert json.loads(out)["state"] == "succeeded"
    assert [line for line in err.splitlines() if line.startswith(("line", "over"))] == [
        "line 2",
        "line 3",
        "over",
    ]
