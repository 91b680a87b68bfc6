"""What a commit holds is read folder by folder, and nothing else is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao.dataset_cache import DatasetCache
from mao.git import Git
from mao.tree import Tree
from support import commit, git

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a/1.csv": "1", "a/deep/er/2.csv": "2", "b/3.csv": "3", "top.csv": "4", "ä/ö\n.csv": "5"}


@pytest.fixture
def cache(tmp_path: Path, remote: Path) -> DatasetCache:
    commit(tmp_path / "work", FILES)
    git("push", "--quiet", remote, "main", cwd=tmp_path / "work")
    found = DatasetCache(Git(tmp_path / "home", 60), tmp_path / "cache.git", str(remote))
    found.fill()
    return found


def trees(cache: DatasetCache) -> int:
    """How many folders the cache has the lists of; files it never has."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", cwd=cache.path).split()
    assert "blob" not in listed
    return listed.count("tree")


def test_only_the_folders_on_the_way_to_a_path_are_fetched(cache: DatasetCache, remote: Path) -> None:
    tip = cache.tip()
    assert tip is not None
    tree = Tree(cache, tip.commit)
    before = trees(cache)

    for path in ("top.csv", "a/1.csv", "ä/ö\n.csv"):
        entry = tree.at(path.encode())
        assert entry is not None
        assert (entry.oid, entry.is_folder) == (git("rev-parse", f"main:{path}", cwd=remote), False)
    deep = tree.at(b"a/deep")
    assert deep is not None
    assert (deep.oid, deep.is_folder) == (git("rev-parse", "main:a/deep", cwd=remote), True)
    assert trees(cache) - before <= 3, "the root, a and ä"
    assert tree.at(b"a/deep/er/2.csv") == Tree(cache, tip.commit).at(b"a/deep/er/2.csv") is not None


def test_where_nothing_is_it_tells_what_is_near(cache: DatasetCache) -> None:
    tip = cache.tip()
    assert tip is not None
    tree = Tree(cache, tip.commit)

    for path in (b"c", b"a/2.csv", b"top.csv/x", b"a/deep/er/2.csv/x/y", b"x/y", b"A/1.csv"):
        assert tree.at(path) is None
    assert tree.near(b"a/1.cvs") == b"a/1.csv"
    assert tree.near(b"a/deap/er/2.csv") == b"a/deep"
    assert tree.near(b"nothing/like/it") is None
    assert tree.near(b"top.csv/x") is None


def test_nothing_has_nothing_in_it(cache: DatasetCache) -> None:
    assert Tree(cache, None).at(b"a") is None
    assert Tree(cache, None).near(b"a") is None
