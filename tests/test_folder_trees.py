from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.errors import FolderNotFound, GitFailed
from mao.folder_trees import ALONE, WHOLE, Entry, FolderTrees, entries, scope_of
from mao.git import Git
from support import bare, commit, git

if TYPE_CHECKING:
    from pathlib import Path


class Bare:
    """A repository that has a commit of `remote` and none of its trees."""

    def __init__(self, path: Path, remote: Path) -> None:
        self.path = bare(path / "here.git")
        self.remote = remote
        self.asked: list[tuple[str, int]] = []
        self.trees = FolderTrees(Git(path / "home", 60), self.path, self.fetch)

    def fetch(self, option: str, ids: list[str]) -> None:
        self.asked.append((option, len(ids)))
        self._fetch(option, *ids)

    def commit(self) -> str:
        head = git("rev-parse", "HEAD", cwd=self.remote)
        self._fetch(ALONE, head)
        return head

    def _fetch(self, option: str, *ids: str) -> None:
        settings = (
            f"remote.origin.url=file://{self.remote}",
            "remote.origin.promisor=true",
            "remote.origin.partialclonefilter=tree:0",
            "fetch.negotiationAlgorithm=noop",
        )
        words = [word for setting in settings for word in ("-c", setting)]
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", option)
        git(*words, "fetch", *options, "origin", *ids, cwd=self.path)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    commit(
        work, {f"{year}/{month}/{n}.csv": f"{year} {month} {n}" for year in (1, 2) for month in (1, 2) for n in (1, 2)}
    )
    git("config", "uploadpack.allowFilter", "true", cwd=work)
    return work


@pytest.fixture
def here(tmp_path: Path, remote: Path) -> Bare:
    return Bare(tmp_path, remote)


def test_a_folder_of_which_nothing_is_here_comes_in_one_piece(here: Bare) -> None:
    here.trees.supply(here.commit(), ["1"])

    assert here.asked == [(ALONE, 1), (WHOLE, 1), (ALONE, 1)]  # the root, the folder, the list of the one beside it


def test_of_one_that_has_changed_only_what_is_new_comes(here: Bare, remote: Path) -> None:
    before = here.commit()
    here.trees.supply(before, ["1"])
    commit(remote, {"1/1/3.csv": "3", "1/3/1.csv": "4"})
    here.asked.clear()

    here.trees.supply(here.commit(), ["1"], before)

    # The root; the folder; in it one folder that has changed and one that is new; in the former one file.
    assert here.asked == [(ALONE, 1), (ALONE, 1), (WHOLE, 1), (ALONE, 1), (ALONE, 1)]
    assert (
        git("ls-tree", "-r", "--name-only", "HEAD:1", cwd=remote)
        == "1/1.csv\n1/2.csv\n1/3.csv\n2/1.csv\n2/2.csv\n3/1.csv"
    )


def test_what_is_here_is_not_asked_for_again(here: Bare) -> None:
    head = here.commit()
    here.trees.supply(head, ["1/2", "2"])
    here.asked.clear()

    here.trees.supply(head, ["1/2", "2"])

    assert here.asked == []


def test_without_folders_everything_comes(here: Bare) -> None:
    here.trees.supply(here.commit(), [])

    assert here.asked == [(WHOLE, 1)]


def test_a_folder_that_is_not_there_matters_if_it_must_be_there(here: Bare) -> None:
    head = here.commit()
    here.trees.supply(head, ["1/4"])

    with pytest.raises(FolderNotFound, match="'1/4'"):
        here.trees.supply(head, ["1/4"], strict=True)


def test_a_remote_that_brings_nothing_is_an_error(here: Bare) -> None:
    head = here.commit()

    with pytest.raises(GitFailed, match="did not bring"):
        FolderTrees(here.trees.git, here.path, lambda _option, _ids: None).supply(head, ["1"])


def test_a_folder_within_another_is_not_there_twice() -> None:
    assert scope_of(["a/b", "a", "c/d/e", "c/f"]) == {b"a": None, b"c": {b"d": {b"e": None}, b"f": None}}
    assert scope_of([]) is None


def test_trees_are_read_with_ids_of_either_length() -> None:
    for length in (20, 32):
        tree = b"40000 a b\0" + b"\1" * length + b"100644 c\0" + b" " * length
        assert entries(tree, length) == {b"a b": Entry(b"40000", "01" * length), b"c": Entry(b"100644", "20" * length)}
