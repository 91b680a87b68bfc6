from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mao.workspace import remove_tree
from support import bare, commit, eventually, git, published, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from cli.place import Place

SCRIPT = 'printf %s "$1" > "$MAO_DATA_DIR/$1"\n'


def test_verify_tells_what_a_dataset_has_lost_and_publishes_it_again(place: Place, tmp_path: Path) -> None:
    remote = bare(tmp_path / "lossy.git")
    commit(tmp_path / "lossy", tool_files(remote, name="lossy", scripts={"Write": SCRIPT}, arguments={"Write": 1}))
    place.mao.ok("tool", "register", str(tmp_path / "lossy"))
    place.mao.ok("tool", "install", "lossy")
    runs = [place.mao.json("tool", "run", "lossy", "Write", "--wait", "--", name) for name in ("1", "2", "3")]
    done = place.mao.ok("dataset", "verify", "lossy-data")
    assert (done.stdout, done.stderr) == ("", "3 runs published by this node to 'lossy-data', all there.\n")

    git("update-ref", "refs/heads/main", "main~2", cwd=remote)
    remove_tree(place.node.home / "runs" / runs[2]["id"] / "data")
    done = place.mao("dataset", "verify", "lossy-data")
    assert done.returncode == 4
    assert "3 runs published by this node to 'lossy-data', 2 of them missing." in done.stderr
    assert "Its history was replaced at the remote; 0 runs wait for a decision." in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["RUN", "TOOL", "ENDED", "PUBLISHED", "HERE", "FILES"]
    assert [(line.split()[0], line.split()[-2:]) for line in lines[1:]] == [
        (runs[1]["id"], ["yes", "2"]),
        (runs[2]["id"], ["no", "3"]),
    ]

    done = place.mao("dataset", "verify", "lossy-data", "--republish", "-o", "json")
    assert done.returncode == 4, "one of them is lost"
    assert [one["republished"] for one in json.loads(done.stdout)["missing"]] == [True, False]
    eventually(lambda: published(remote) == {"1": "1", "2": "2"})
    again = place.mao("dataset", "verify", "lossy-data", "--republish")
    assert again.returncode == 4
    assert "1 run lost from the dataset" in again.stderr


def test_verify_of_what_is_not_registered_ends_with_3_and_of_a_remote_that_is_away_with_5(
    place: Place, tmp_path: Path
) -> None:
    assert place.mao("dataset", "verify", "nothing").returncode == 3
    place.mao.ok("dataset", "register", "vanished", str(bare(tmp_path / "vanished.git")))
    (tmp_path / "vanished.git").rename(tmp_path / "elsewhere.git")
    for more in ((), ("--republish",)):
        assert place.mao("dataset", "verify", "vanished", *more).returncode == 5
