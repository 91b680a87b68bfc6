"""What git-lfs says and does, with the real one."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from lfs_host import LfsHost, needs_git_lfs, without_git_lfs
from mao import lfs
from mao.data_directory import DataFile, publishable
from mao.errors import DiskFull, MaoError, OutsideFailed
from mao.git import Git
from remotes import http_remotes, silent
from support import bare, commit, git

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CONTENT = b"large" * 1000
OID = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def caller(tmp_path: Path) -> Git:
    return Git(tmp_path / "home", 60, allow_http=True)


@pytest.fixture
def files(tmp_path: Path) -> list[DataFile]:
    (tmp_path / "run").mkdir()
    for name in ("big", "same"):
        (tmp_path / "run" / name).write_bytes(CONTENT)
    return publishable(tmp_path / "run")[0]


def upload(caller: Git, tmp_path: Path, url: str, files: list[DataFile]) -> list[str]:
    aside = tmp_path / f"aside-{len(list(tmp_path.glob('aside-*')))}"
    aside.mkdir()
    return lfs.upload(caller, aside, url, files)


def refused(caller: Git, tmp_path: Path, url: str, files: list[DataFile]) -> MaoError:
    with pytest.raises(MaoError) as caught:
        upload(caller, tmp_path, url, files)
    assert "hunter2" not in caught.value.detail
    return caught.value


def test_a_pointer_has_the_bytes_that_git_lfs_writes() -> None:
    assert lfs.pointer(OID, 5000) == (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 5000\n".encode()
    )


@needs_git_lfs
def test_contents_are_uploaded_once_each_and_again_without_harm(
    caller: Git, tmp_path: Path, files: list[DataFile]
) -> None:
    host = LfsHost()
    with http_remotes(tmp_path, host) as url:
        for _ in range(2):
            assert upload(caller, tmp_path, f"{url}/data.git", files) == [OID, OID]
    assert host.objects == {OID: CONTENT}


@needs_git_lfs
def test_a_remote_on_this_machine_gets_contents_of_its_own(
    caller: Git, tmp_path: Path, remote: Path, files: list[DataFile]
) -> None:
    upload(caller, tmp_path, f"file://{remote}", files)
    there = remote / "lfs" / "objects" / OID[:2] / OID[2:4] / OID
    assert there.read_bytes() == CONTENT
    assert there.stat().st_ino not in {file.source.stat().st_ino for file in files}, (
        "writing to the run's would spoil it"
    )


@needs_git_lfs
def test_a_file_on_another_disk_is_copied(
    caller: Git, tmp_path: Path, small_disk: Callable[[Path, int], None], files: list[DataFile]
) -> None:
    host = LfsHost()
    small_disk(tmp_path / "aside-0", 1)
    with http_remotes(tmp_path, host) as url:
        assert lfs.upload(caller, tmp_path / "aside-0", f"{url}/data.git", files) == [OID, OID]
        (tmp_path / "run" / "big").write_bytes(bytes(2_000_000))
        small_disk(tmp_path / "aside-1", 1)
        with pytest.raises(DiskFull):
            lfs.upload(caller, tmp_path / "aside-1", f"{url}/data.git", publishable(tmp_path / "run")[0])
    assert host.objects == {OID: CONTENT}


@needs_git_lfs
@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        (404, "Not Found", "large-file"),
        (404, "Repository not found.", "large-file"),
        (501, "Git LFS is not enabled on this GitLab server, contact your admin.", "large-file"),
        (422, "Size must be less than or equal to 2147483648", "large-file"),
        (403, "This repository is over its data quota. Purchase more data packs.", "lfs-refused"),
        (403, "You must have push access to upload", "lfs-refused"),
        (507, "", "lfs-refused"),
        (429, "", "lfs-refused"),
        (413, "", "lfs-refused"),
        (500, "", "lfs-unreachable"),
        (503, "", "lfs-unreachable"),
        (405, "", "large-file"),
    ],
)
def test_what_a_host_answers_is_told_apart(  # a table of cases
    caller: Git, tmp_path: Path, files: list[DataFile], status: int, words: str, cause: str
) -> None:
    host = LfsHost(refusal=(status, words))
    with http_remotes(tmp_path, host) as url:
        error = refused(caller, tmp_path, f"{url}/data.git", files)
    assert isinstance(error, OutsideFailed)
    assert error.cause == cause
    assert words in error.detail


@needs_git_lfs
def test_a_host_without_lfs_is_known(caller: Git, tmp_path: Path, files: list[DataFile]) -> None:
    bare(tmp_path / "data.git")
    with http_remotes(tmp_path) as url:
        error = refused(caller, tmp_path, f"{url}/data.git", files)
    assert error.cause == "large-file"
    assert not lfs.is_absent(error)


@needs_git_lfs
def test_a_host_that_is_away_or_silent_is_tried_again(caller: Git, tmp_path: Path, files: list[DataFile]) -> None:
    assert refused(caller, tmp_path, "http://127.0.0.1:9/data.git", files).cause == "lfs-unreachable"
    caller.time_limit = 0.5
    with silent() as port:
        assert refused(caller, tmp_path, f"http://127.0.0.1:{port}/data.git", files).cause == "lfs-unreachable"


@needs_git_lfs
def test_a_host_that_cannot_be_reached_by_ssh_is_tried_again(
    caller: Git, tmp_path: Path, files: list[DataFile]
) -> None:
    assert refused(caller, tmp_path, "ssh://nobody@127.0.0.1:9/data.git", files).cause == "lfs-unreachable"


class Bare(Git):
    """git where git-lfs is not installed."""

    path = ""

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return super().environment(more) | {"PATH": self.path}


@pytest.fixture
def without(tmp_path: Path) -> Git:
    caller = Bare(tmp_path / "home", 60)
    caller.path = without_git_lfs(tmp_path / "programs")
    return caller


def test_that_git_lfs_is_not_installed_is_known(without: Git, tmp_path: Path, files: list[DataFile]) -> None:
    error = refused(without, tmp_path, "https://localhost/data.git", files)
    assert error.cause == "large-file"
    assert lfs.is_absent(error)


def pointer_in(repository: Path) -> str:
    """Commit a pointer as MAO does; the file's content is not in the repository."""
    lines = "/big filter=lfs diff=lfs merge=lfs -text\n"
    return commit(repository, {"f/big": lfs.pointer(OID, 5000), "f/.gitattributes": lines, "f/small": "s"})


def clone(caller: Git, source: str, directory: Path) -> Path:
    settings = lfs.clone_settings(caller, directory.parent)
    caller.run("clone", "--quiet", *settings, source, str(directory), cwd=directory.parent)
    return directory


@needs_git_lfs
def test_a_clone_has_the_contents_and_nothing_to_be_committed(
    caller: Git, tmp_path: Path, remote: Path, files: list[DataFile]
) -> None:
    upload(caller, tmp_path, f"file://{remote}", files)
    pointer_in(tmp_path / "source")
    git("push", "--quiet", remote, "main", cwd=tmp_path / "source")
    got = clone(caller, f"file://{remote}", tmp_path / "clone")
    assert (got / "f" / "big").read_bytes() == CONTENT
    assert lfs.pointers_in(caller, got) == []
    os.utime(got / "f" / "big")
    assert caller.run("status", "--porcelain", cwd=got) == b""


def test_what_cannot_be_brought_is_a_pointer_and_the_clone_says_so(caller: Git, without: Git, tmp_path: Path) -> None:
    pointer_in(tmp_path / "source")
    for number, one in enumerate((caller, without)):
        got = clone(one, f"file://{tmp_path / 'source'}", tmp_path / f"clone-{number}")
        assert (got / "f" / "big").read_bytes() == lfs.pointer(OID, 5000)
        assert (got / "f" / "small").read_text() == "s"
        assert lfs.pointers_in(one, got) == ["f/big"]
        os.utime(got / "f" / "big")
        assert one.run("status", "--porcelain", cwd=got) == b""
