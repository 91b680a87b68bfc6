"""The ways to publish that are compared. Each has a remote of its own, and writes the same files in turn."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import datasets
from publisher import publisher
from support import GIT_ENVIRONMENT, git

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mao.run import Run

PATIENCE = 1800.0
_BRANCH = "refs/heads/main"
_WITHOUT_A_REMOTE = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a way does its work.

    Args:
        work: an empty directory of its own.
        remote: the bare repository of its dataset.
        url: the same as git is given it.
    """

    work: Path
    remote: Path
    url: str


class Way:
    """One way. `prepare` is not timed; `publish` is, and returns when the remote has the files."""

    on_branch = True
    """Whether the branch has them, too."""

    def __init__(self, place: Place) -> None:
        """Set up what the way needs of the dataset: part of the first publication."""
        self.place = place

    def prepare(self, files: Mapping[str, bytes]) -> None:
        raise NotImplementedError

    def publish(self) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        """Return when the branch has them."""

    def kept(self) -> list[Path]:
        """What stays on this machine of the dataset."""
        return [self.place.work]

    def close(self) -> None:
        pass


class Mao(Way):
    """A node, from the end of the tool to what its store says of the run."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._closing = ExitStack()
        self._publisher = self._closing.enter_context(publisher(place.work / "home", "alpha", place.url))
        self._run: Run | None = None

    def prepare(self, files: Mapping[str, bytes]) -> None:
        self._run = self._publisher.ran(files)

    def publish(self) -> None:
        assert self._run is not None
        self._publisher.publish(self._run)
        self._wait(self._publisher.safe)

    def settle(self) -> None:
        self._wait(self._publisher.there)

    def _wait(self, known: Mapping[str, float]) -> None:
        assert self._run is not None
        arrived = self._publisher.wait(known, self._run.id, PATIENCE)
        assert arrived, self._publisher.refused.get(self._run.id, "it did not arrive")

    def kept(self) -> list[Path]:
        home = self.place.work / "home"
        return [path for path in home.iterdir() if path.name != "runs"]

    def close(self) -> None:
        self._closing.close()


class Floor(Way):
    """What cannot be left out: hash, compress, write and flush the new bytes, and push anything at all."""

    on_branch = False

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        git("init", "--quiet", "--bare", ".", cwd=place.work)
        self._tree = git("mktree", cwd=place.work, given=b"")
        self._count = 0
        self._files: Mapping[str, bytes] = {}

    def prepare(self, files: Mapping[str, bytes]) -> None:
        if self._count:
            git("update-ref", "-d", f"refs/floor/{self._count}", cwd=self.place.remote)
        self._count += 1
        self._files = files
        self._commit = git("commit-tree", self._tree, "-m", str(self._count), cwd=self.place.work)

    def publish(self) -> None:
        with (self.place.work / "written").open("wb", buffering=0) as file:
            for content in self._files.values():
                hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).digest()
                file.write(zlib.compress(content))
            os.fsync(file.fileno())
        git("push", "--quiet", self.place.url, f"{self._commit}:refs/floor/{self._count}", cwd=self.place.work)


class CheapestPush(Way):
    """The push alone: the commit with the same files was made beforehand, in a bare cache of depth 1 without trees."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._cache, self._builder = place.work / "cache.git", place.work / "builder.git"
        options = ("--quiet", "--bare", "--depth=1", "--filter=tree:0", "--no-tags", "--single-branch")
        git("clone", *options, place.url, self._cache, cwd=place.work)
        (self._cache / "config").write_text(_WITHOUT_A_REMOTE)  # or git would fetch the trees that it misses
        datasets.copy(place.remote, self._builder)

    def prepare(self, files: Mapping[str, bytes]) -> None:
        before = git("rev-parse", _BRANCH, cwd=self._builder)
        stream = [b"commit %s\ncommitter a <a@example.org> now\ndata 4\nsync" % _BRANCH.encode()]
        stream.append(b"from %s" % before.encode())
        stream += [
            b"M 100644 inline %s\ndata %d\n%s" % (path.encode(), len(content), content)
            for path, content in files.items()
        ]
        git("fast-import", "--quiet", "--date-format=now", cwd=self._builder, given=b"\n".join(stream) + b"\n")
        self._commit = git("rev-parse", _BRANCH, cwd=self._builder)
        self._give(before, {str(parent) for path in files for parent in PurePosixPath(path).parents})

    def _give(self, before: str, folders: set[str]) -> None:
        """Give the cache the commit, and what `folders` held before: git compares the trees on the way to a change."""
        new = git("rev-list", "--objects", "--no-object-names", self._commit, f"^{before}", cwd=self._builder)
        names = "".join(f"{before}:{folder.removeprefix('.')}\n" for folder in folders)
        old = git("cat-file", "--batch-check=%(objectname)", cwd=self._builder, given=names.encode())
        subprocess.run(
            ["sh", "-c", "git -C builder.git pack-objects --stdout -q | git -C cache.git index-pack --stdin"],
            cwd=self.place.work,
            env=os.environ | GIT_ENVIRONMENT,
            input=f"{new}\n{old}\n".encode(),
            capture_output=True,
            check=True,
        )

    def publish(self) -> None:
        git("push", "--quiet", self.place.url, f"{self._commit}:{_BRANCH}", cwd=self._cache)

    def kept(self) -> list[Path]:
        return [self._cache]


class Worktree(Way):
    """`git add FILE`, `git commit`, `git push` in a clone, where the files were written."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.clone = place.work / "clone"
        self.make_clone()
        self.paths: list[str] = []

    def make_clone(self) -> None:
        git("clone", "--quiet", self.place.url, self.clone, cwd=self.place.work)

    def prepare(self, files: Mapping[str, bytes]) -> None:
        _write(self.clone, files)
        self.paths = list(files)

    def publish(self) -> None:
        git("add", "--", *self.paths, cwd=self.clone)
        git("commit", "--quiet", "--message", "sync", cwd=self.clone)
        git("push", "--quiet", "origin", "main", cwd=self.clone)


class Datalad(Worktree):
    """`datalad save` of the paths, `datalad push`; the files go to git, as they do with the others."""

    def make_clone(self) -> None:
        self._datalad("clone", self.place.url, str(self.clone), cwd=self.place.work)
        (self.clone / ".git/info/attributes").write_text("* annex.largefiles=nothing\n")

    def publish(self) -> None:
        self._datalad("save", "--message", "sync", "--", *self.paths, cwd=self.clone)
        self._datalad("push", "--to", "origin", cwd=self.clone)

    def _datalad(self, *args: str, cwd: Path) -> None:
        environment = os.environ | GIT_ENVIRONMENT
        done = subprocess.run(["datalad", *args], cwd=cwd, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()


class Prototype(Worktree):
    """The founding prototype's way: copy the whole data directory into a clone, `git add .`, commit, push."""

    def make_clone(self) -> None:
        super().make_clone()
        self._data = self.place.work / "data"
        git("worktree", "add", "--quiet", "--detach", self._data, cwd=self.clone)
        (self._data / ".git").unlink()
        git("worktree", "prune", cwd=self.clone)

    def prepare(self, files: Mapping[str, bytes]) -> None:
        _write(self._data, files)

    def publish(self) -> None:
        subprocess.run(["cp", "-r", f"{self._data}/.", self.clone], check=True)
        self.paths = ["."]
        super().publish()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


WAYS: dict[str, type[Way]] = {
    "mao": Mao,
    "floor": Floor,
    "push": CheapestPush,
    "worktree": Worktree,
    "datalad": Datalad,
    "prototype": Prototype,
}


def published(place: Place, files: Mapping[str, bytes]) -> bool:
    """Whether the branch of the remote has all these files."""
    listed = git("ls-tree", "-r", _BRANCH, *{path.rpartition("/")[0] + "/" for path in files}, cwd=place.remote)
    there = {line.split()[2] for line in listed.splitlines()}
    return there >= {datasets.blob_id(content) for content in files.values()}


def seconds_of(way: Way) -> tuple[float, float | None]:
    """Publish what was prepared; the seconds until it is safe at the remote, and on its branch."""
    begun = time.perf_counter()
    way.publish()
    safe = time.perf_counter() - begun
    way.settle()
    return safe, time.perf_counter() - begun if way.on_branch else None
