from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support import bare, commit, git, published, tool_files, trailers

if TYPE_CHECKING:
    from pathlib import Path

    from cli.place import Place


def filled(place: Place, directory: Path, name: str) -> Path:
    """The remote of a dataset of this name, with three files."""
    remote = bare(directory / f"{name}.git")
    commit(directory / f"{name}.work", {"a/1.csv": "1", "a/2.csv": "2", "b.csv": "3"})
    git("push", "--quiet", remote, "main", cwd=directory / f"{name}.work")
    place.mao.ok("dataset", "register", name, str(remote))
    return remote


def test_files_are_deleted_and_moved_and_it_is_told_what_was_changed(place: Place, tmp_path: Path) -> None:
    remote = filled(place, tmp_path, "changed")

    done = place.mao.ok("dataset", "delete", "changed", "b.csv", "a/1.csv", "--reason", "a fault", "--by", "Ada")
    assert done.stdout == git("rev-parse", "main", cwd=remote) + "\n"
    assert "Deleted a/1.csv, b.csv in 'changed'. The history keeps what was there." in done.stderr
    moved = place.mao.json("dataset", "move", "changed", "a", "x/y", "--reason", "the new order")

    assert published(remote) == {"x/y/2.csv": "2"}
    assert (moved["action"], moved["paths"], moved["to"]) == ("move", ["a"], "x/y")
    assert trailers(remote, "MAO-Reason") == ["the new order", "a fault"]
    assert place.mao.json("dataset", "changes", "changed")[0] == moved
    listed = place.mao.ok("dataset", "changes", "changed").stdout.splitlines()
    assert [line.split()[0] for line in listed[:1]] == ["WHEN"]
    assert "moved a to x/y" in listed[1]
    assert f"Ada on {place.node.name}" in listed[2]
    assert "deleted a/1.csv, b.csv" in listed[2]


def test_what_cannot_be_changed_ends_with_the_status_of_its_kind(place: Place, tmp_path: Path) -> None:
    remote = filled(place, tmp_path, "unchanged")
    before = git("rev-parse", "main", cwd=remote)
    done = place.mao("dataset", "delete", "unchanged", "b.csv")
    assert (done.returncode, "Missing option '--reason'" in done.stderr) == (2, True)
    for args, status, words in (
        (("delete", "unchanged", "b.csv", "--reason", " "), 2, "reason"),
        (("delete", "unchanged", "/b.csv", "--reason", "x"), 2, "no path in a dataset"),
        (("delete", "unchanged", "b.csv", "c.csv", "--reason", "x"), 3, "did you mean 'b.csv'?"),
        (("move", "unchanged", "b.csv", "a", "--reason", "x"), 4, "has 'a' already"),
        (("delete", "unchanjed", "b.csv", "--reason", "x"), 3, "did you mean 'unchanged'?"),
        (("delet", "unchanged"), 2, "did you mean 'delete'?"),
    ):
        done = place.mao("dataset", *args)
        assert (done.returncode, words in done.stderr) == (status, True), done.stderr
    assert git("rev-parse", "main", cwd=remote) == before
    assert "Nothing was deleted" in place.mao.ok("dataset", "changes", "unchanged").stderr


def test_conflicts_are_those_of_this_nodes_runs_if_the_remote_is_away(place: Place, tmp_path: Path) -> None:
    remote = filled(place, tmp_path, "met")
    script = 'printf 4 > "$MAO_DATA_DIR/b.csv"\n'
    commit(tmp_path / "met", tool_files(remote, name="met", scripts={"Write": script}, arguments={"Write": 0}))
    place.mao.ok("tool", "register", str(tmp_path / "met"))
    place.mao.ok("tool", "install", "met")
    run = place.mao.json("tool", "run", "met", "Write", "--wait")
    found = place.mao.json("dataset", "conflicts", "met-data")
    assert [(one["run"], one["node"], one["path"]) for one in found] == [(run["id"], place.node.name, "b.csv")]

    remote.rename(tmp_path / "away.git")
    done = place.mao.ok("dataset", "conflicts", "met-data", "-o", "json")
    assert "of this node's runs alone" in done.stderr
    assert [one["published_as"] for one in json.loads(done.stdout)] == [found[0]["published_as"]]
    (tmp_path / "away.git").rename(remote)
    place.mao.ok("dataset", "delete", "met-data", found[0]["published_as"], "--reason", "settled")
    assert place.mao.json("dataset", "conflicts", "met-data") == []
