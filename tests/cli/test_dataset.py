from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from support import bare, commit, git, tool_files

if TYPE_CHECKING:
    from cli.place import Place


def filled(path: Path) -> Path:
    """A remote with one commit."""
    commit(path.with_suffix(".work"), {"a.csv": "1\n"})
    git("clone", "--quiet", "--bare", path.with_suffix(".work"), path, cwd=path.parent)
    return path


def test_a_dataset_is_registered_listed_shown_and_withdrawn(place: Place, tmp_path: Path) -> None:
    remote = bare(tmp_path / "d.git")
    done = place.mao.ok("dataset", "register", "river", str(remote), "--description", "Levels of the Areuse")
    assert done.stdout == "river\n"
    assert "river" in [dataset["name"] for dataset in place.mao.json("dataset", "list")]
    assert [d["name"] for d in place.mao.json("dataset", "list", "--search", "areuse")] == ["river"]
    assert re.search(
        r"^remote +" + re.escape(str(remote)) + "$", place.mao.ok("dataset", "show", "river").stdout, re.MULTILINE
    )
    assert place.mao("dataset", "register", "river", str(remote)).returncode == 4
    place.mao.ok("dataset", "withdraw", "river")
    assert place.mao("dataset", "show", "river").returncode == 3


def test_a_dataset_is_replaced(place: Place, tmp_path: Path) -> None:
    place.mao.ok("dataset", "register", "lake", str(bare(tmp_path / "a.git")))
    other = bare(tmp_path / "b.git")
    done = place.mao.ok("dataset", "register", "lake", str(other), "--replace", "--description", "Levels")
    assert "Replaced the dataset 'lake'" in done.stderr
    shown = place.mao.json("dataset", "show", "lake")
    assert (shown["url"], shown["description"]) == (str(other), "Levels")
    assert place.mao("dataset", "withdraw", "lake", "--as-administrator").returncode == 7
    place.mao.ok("dataset", "withdraw", "lake")


def test_a_dataset_that_tools_publish_to_is_not_withdrawn(place: Place) -> None:
    done = place.mao("dataset", "withdraw", "probe-data")
    assert done.returncode == 4
    assert "probe" in done.stderr


def test_cloning_prints_the_path_and_refreshing_brings_what_is_new(place: Place, tmp_path: Path) -> None:
    remote = filled(tmp_path / "levels.git")
    place.mao.ok("dataset", "register", "levels", str(remote))
    done = place.mao.ok("dataset", "clone", "levels")
    path = Path(done.stdout.removesuffix("\n"))
    assert (path / "a.csv").read_text() == "1\n"
    commit(remote.with_suffix(".work"), {"b.csv": "2\n"})
    git("push", "--quiet", remote, "main", cwd=remote.with_suffix(".work"))
    refreshed = place.mao.ok("dataset", "refresh", "levels", "--history")
    assert Path(refreshed.stdout.removesuffix("\n")) == path
    assert (path / "b.csv").read_text() == "2\n"
    assert git("rev-list", "--count", "HEAD", cwd=path) == "2"
    assert ("levels", "ready") in [(c["dataset"], c["state"]) for c in place.mao.json("dataset", "clones")]
    assert str(path) in place.mao.ok("dataset", "show", "levels").stdout
    (path / "mine.txt").write_text("kept")
    assert place.mao("dataset", "remove", "levels").returncode == 4
    (path / "mine.txt").unlink()
    place.mao.ok("dataset", "remove", "levels")
    assert not path.exists()


def test_a_folder_and_a_date_say_how_much_is_brought(place: Place, tmp_path: Path) -> None:
    work, remote = tmp_path / "work", bare(tmp_path / "dated.git")
    commit(work, {"a/1.csv": "1", "b/1.csv": "2", "c/1.csv": "3"})
    git("push", "--quiet", remote, "HEAD:main", cwd=work)
    place.mao.ok("dataset", "register", "dated", str(remote))
    path = Path(place.mao.ok("dataset", "clone", "dated", "--folder", "a", "--folder", "b").stdout.removesuffix("\n"))
    assert sorted(file.parent.name for file in path.glob("*/*.csv")) == ["a", "b"]
    assert "a, b" in place.mao.ok("dataset", "clones").stdout
    assert place.mao("dataset", "refresh", "dated", "--folder", "x").returncode == 3
    assert place.mao("dataset", "refresh", "dated", "--folder", "../x").returncode == 2
    assert place.mao("dataset", "refresh", "dated", "--since", "lately").returncode == 2
    git("commit", "--quiet", "--amend", "--message", "another", cwd=work)
    git("push", "--quiet", "--force", remote, "HEAD:main", cwd=work)
    done = place.mao.ok("dataset", "refresh", "dated", "--folder", "c", "--since", "2026-01-01")
    assert "rewritten at the remote" in done.stderr
    assert sorted(file.parent.name for file in path.glob("*/*.csv")) == ["a", "b", "c"]
    assert "a, b, c; commits since 2026-01-01" in place.mao.ok("dataset", "clones").stdout
    place.mao.ok("dataset", "remove", "dated")


def test_an_empty_dataset_can_be_cloned(place: Place, tmp_path: Path) -> None:
    place.mao.ok("dataset", "register", "empty", str(bare(tmp_path / "e.git")))
    assert "no commit yet" in place.mao.ok("dataset", "clone", "empty").stderr
    place.mao.ok("dataset", "remove", "empty")


def test_a_clone_that_fails_ends_with_5_and_gits_words(place: Place, tmp_path: Path) -> None:
    remote = filled(tmp_path / "gone.git")
    place.mao.ok("dataset", "register", "gone", str(remote))
    remote.rename(tmp_path / "elsewhere.git")
    done = place.mao("dataset", "clone", "gone", "-o", "json")
    assert done.returncode == 5
    problem = json.loads(done.stderr[done.stderr.index("{") :])
    assert problem["status"] == 502
    assert "gone.git" in problem["detail"]


def test_what_is_not_cloned_or_not_registered_ends_with_3(place: Place) -> None:
    for verb in ("refresh", "remove"):
        done = place.mao("dataset", verb, "nothing")
        assert done.returncode == 3
        assert "mao dataset clone nothing" in done.stderr
    done = place.mao("dataset", "clone", "probe-dta")
    assert done.returncode == 3
    assert "did you mean 'probe-data'?" in done.stderr


def test_conflicts_lists_the_paths_where_other_content_was_already(place: Place, tmp_path: Path) -> None:
    remote = filled(tmp_path / "shared.git")
    script = 'printf 2 > "$MAO_DATA_DIR/a.csv"\n'
    commit(tmp_path / "clash", tool_files(remote, name="clash", scripts={"Write": script}, arguments={"Write": 0}))
    place.mao.ok("tool", "register", str(tmp_path / "clash"))
    place.mao.ok("tool", "install", "clash")
    assert place.mao.json("dataset", "conflicts", "clash-data") == []
    run = place.mao.json("tool", "run", "clash", "Write", "--wait")

    conflicts = place.mao.json("dataset", "conflicts", "clash-data")

    beside = f"a.conflict-{run['node']}-{run['id']}.csv"
    assert [(c["path"], c["published_as"], c["run"]) for c in conflicts] == [("a.csv", beside, run["id"])]
    assert beside in place.mao.ok("dataset", "conflicts", "clash-data").stdout


def test_show_tells_size_and_growth_and_what_it_could_not_find_out(own_place: Place, tmp_path: Path) -> None:
    own_place.mao.ok("tool", "run", "probe", "Write", "--wait", "--", "twelve bytes")

    shown = own_place.mao.ok("dataset", "show", "probe-data").stdout

    assert re.search("^name +probe-data$", shown, re.MULTILINE)
    assert re.search("^size +12 bytes in 1 file by 1 commit$", shown, re.MULTILINE)
    assert re.search("^growth +12 bytes and 1.0 files a day over the last 1 day$", shown, re.MULTILINE)
    assert re.search("^counted +from the history as it was at ", shown, re.MULTILINE)
    assert re.search(r"^limit +10\.0 GB: in [0-9,]+ days$", shown, re.MULTILINE)
    value = own_place.mao.json("dataset", "show", "probe-data")
    assert (value["name"], value["growth"]["size"], value["growth"]["problem"]) == ("probe-data", 12, None)

    own_place.remote.rename(tmp_path / "away.git")
    away = own_place.mao.ok("dataset", "show", "probe-data").stdout
    assert re.search("^size +12 bytes in 1 file by 1 commit$", away, re.MULTILINE)
    assert re.search("^counted +from the history as it was at .*data.git", away, re.MULTILINE)
