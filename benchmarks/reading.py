"""What it costs to read a dataset: the latest state, one day of it, one month, and a refresh after one new file.

    python benchmarks/reading.py [--files 1000 100000 1000000] [--folders-only]

The dataset has a folder for each day (`YYYY/MM/DD`) with 280 small files and a commit. The node clones it over file://
from a remote that serves partial clones. The floor is plain git: `clone --depth=1`, and `clone --filter=blob:none
--sparse` with the folder added. Bytes are those of the packs that the remote sent (counted by a
`uploadpack.packObjectsHook`); requests and answers beside the packs are not in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import GIT_ENVIRONMENT, ServedNode, bare, git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAILY = 280
FIRST = date(2016, 1, 1)
DAY, MONTH = "2016/01/03", "2016/01"


def stream(files: int) -> Iterator[bytes]:
    """The dataset as git fast-import takes it."""
    for number, at in enumerate(range(0, files, DAILY)):
        day = FIRST + timedelta(number)
        seconds = 1_451_606_400 + 86_400 * number
        yield b"commit refs/heads/main\ncommitter a <a@example.org> %d +0000\ndata 3\nday\n" % seconds
        for i in range(min(DAILY, files - at)):
            yield b"M 100644 inline %s/%04d.csv\ndata 100\n%s\n" % (
                f"{day:%Y/%m/%d}".encode(),
                i,
                os.urandom(50).hex().encode(),
            )


def dataset(path: Path, files: int) -> Path:
    remote = bare(path)
    process = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=remote, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.writelines(stream(files))
    process.stdin.close()
    assert process.wait() == 0
    return remote


def add_file(remote: Path) -> None:
    """A commit with one new file, in the folder that all of the clones have."""
    text = f"""commit refs/heads/main
committer a <a@example.org> {int(time.time())} +0000
data 3
new
from refs/heads/main^0
M 100644 inline {DAY}/new-{time.time_ns()}.csv
data 100
{os.urandom(50).hex()}
"""
    git("fast-import", "--quiet", cwd=remote, given=text.encode())


class Wire:
    """Counts what remotes send."""

    def __init__(self, work: Path) -> None:
        self.sent = work / "sent"
        self.sent.mkdir()
        hook = work / "hook"
        hook.write_text(f'#!/bin/sh\n"$@" | tee "{self.sent}/$$"\n')
        hook.chmod(0o755)
        self.config = work / "gitconfig"
        self.config.write_text(f"[uploadpack]\n\tpackObjectsHook = {hook}\n")

    def taken(self) -> int:
        """Bytes since the last call."""
        files = list(self.sent.iterdir())
        size = sum(file.stat().st_size for file in files)
        for file in files:
            file.unlink()
        return size

    def measure(self, what: str, action: Callable[[], object]) -> None:
        begun = time.perf_counter()
        action()
        took = time.perf_counter() - begun
        print(f"  {what:<44} {took:8.2f} s {self.taken() / 1e6:10.3f} MB", flush=True)


class Plain:
    """git alone."""

    def __init__(self, work: Path, remote: Path, wire: Wire) -> None:
        self.work, self.url = work, f"file://{remote}"
        self.environment = os.environ | GIT_ENVIRONMENT | {"GIT_CONFIG_GLOBAL": str(wire.config)}

    def git(self, *args: str, cwd: str = ".") -> None:
        subprocess.run(["git", *args], cwd=self.work / cwd, env=self.environment, check=True, capture_output=True)

    def whole(self) -> None:
        self.git("clone", "--depth=1", self.url, "whole")

    def refresh_whole(self) -> None:
        self.git("fetch", "--depth=1", cwd="whole")
        self.git("reset", "--hard", "FETCH_HEAD", cwd="whole")

    def sparse(self, name: str, folder: str) -> None:
        self.git("clone", "--depth=1", "--filter=blob:none", "--sparse", self.url, name)
        self.git("sparse-checkout", "add", folder, cwd=name)

    def refresh_sparse(self) -> None:
        self.git("fetch", "--depth=1", cwd="day")
        self.git("reset", "--hard", "FETCH_HEAD", cwd="day")


def bring(node: ServedNode, name: str, *folders: str) -> None:
    node.api("POST", "/clones", {"dataset": name, "folders": folders})
    clone = {"state": "cloning"}
    while clone["state"] in {"cloning", "refreshing"}:
        clone = node.api("GET", f"/clones/{name}", Prefer="wait=60")
    assert clone["state"] == "ready", clone


def measure(files: int, work: Path, *, all_files: bool) -> None:
    remote, wire = dataset(work / "remote.git", files), Wire(work)
    plain = Plain(work, remote, wire)
    node = ServedNode(work / "home", settings={"GIT_CONFIG_GLOBAL": str(wire.config)}, fresh=True).start()
    try:
        for name in ("latest", "day", "month"):
            node.api("POST", "/datasets", {"name": name, "url": str(remote)})
        wire.taken()
        print(f"{files:,} files")
        if all_files:
            wire.measure("mao: the latest state", lambda: bring(node, "latest"))
            wire.measure("git clone --depth=1", plain.whole)
        for name, folder in (("day", DAY), ("month", MONTH)):
            wire.measure(f"mao: --folder {folder}", lambda n=name, f=folder: bring(node, n, f))  # type: ignore[misc]  # a default binds
            wire.measure(f"git, blobless and sparse: {folder}", lambda n=name, f=folder: plain.sparse(n, f))  # type: ignore[misc]  # likewise
        add_file(remote)
        if all_files:
            wire.measure("mao: refresh of all after one new file", lambda: bring(node, "latest"))
            wire.measure("git fetch --depth=1; git reset --hard", plain.refresh_whole)
        wire.measure("mao: refresh of the day", lambda: bring(node, "day"))
        wire.measure("git, blobless and sparse: the same", plain.refresh_sparse)
        wire.measure("mao: refresh of the month", lambda: bring(node, "month"))
        wire.measure("mao: refresh with nothing new", lambda: bring(node, "month"))
    finally:
        node.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--folders-only", action="store_true", help="leave out what checks out all files")
    arguments = parser.parse_args()
    for count in arguments.files:
        with tempfile.TemporaryDirectory() as directory:
            measure(count, Path(directory), all_files=not arguments.folders_only)
