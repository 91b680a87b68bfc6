"""Loss of power: what a node had not flushed is gone. What it said is true all the same, and each run is there once.

The node's home is on an ext4 file system in a file. A copy of that file, made while the node is at work, is what a disk
has after a loss of power: what the kernel still keeps in memory is not in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from publishers import publisher
from publishing_node import PublishingNode, check
from support import ServedNode, eventually, git, processes_of, published, trailers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Disk:
    """A file system in a file, which loses its power."""

    def __init__(self, work: Path) -> None:
        self.image = work / "disk.img"
        self.path = work / "disk"
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(64 << 20)
        # It is written back as rarely as can be: what nobody flushes is not on it.
        subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image], check=True)

    def mount(self) -> None:
        options = "loop,commit=900,data=writeback,noauto_da_alloc"  # what promises least
        subprocess.run(["mount", "-o", options, self.image, self.path], check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=True)  # somebody may be in it still

    def lose_power(self) -> None:
        """Go on with what is in the file just now."""
        after = self.image.with_suffix(".after")
        shutil.copy(self.image, after)
        self.unmount()
        after.rename(self.image)
        self.mount()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("only root with mkfs.ext4 can make a disk: a loss of power is NOT tested here")
    made = Disk(tmp_path)
    try:
        made.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk can be mounted ({error.stderr.decode().strip()}): a loss of power is NOT tested here")
    yield made
    made.unmount()


def test_what_was_not_flushed_is_gone_after_a_loss_of_power(disk: Disk) -> None:
    kept, lost = disk.path / "kept", disk.path / "lost"
    for path in (kept, lost):
        path.write_text("text")
    descriptor = os.open(kept, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    disk.lose_power()

    assert kept.read_text() == "text"
    assert not lost.exists() or lost.read_text() == ""


# Where something has just been changed, here or at the remote.
DIRECT = ["commit: built", "commit: recorded", "push: arrived", "push: recorded", "push: remembered"]
BY_THE_INBOX = [f"delivery: {step}" for step in ("built", "arrived", "recorded")]
BY_THE_INBOX += [f"fold: {step}" for step in ("arrived", "being recorded", "recorded", "remembered")]


@pytest.mark.parametrize("step", DIRECT)
def test_a_first_publication_that_loses_its_power_at_any_step_is_there_once(
    disk: Disk, tmp_path: Path, remote: Path, step: str
) -> None:
    node = PublishingNode(disk.path / "alpha", remote, runs=3)
    assert node.start("--at-once", "--crash-at", step).wait() == -9
    disk.lose_power()
    with publisher(tmp_path / "beta", remote) as beta:
        beta.made({"latest/alpha.txt": "by somebody else"})
        beta.publish()
        assert node.start().wait() == 0

    assert check(remote, {"alpha": node.home, "beta": tmp_path / "beta"})["runs"] == 4


@pytest.mark.parametrize("step", BY_THE_INBOX)
def test_data_on_its_way_by_the_inbox_is_there_once_after_a_loss_of_power(
    disk: Disk, tmp_path: Path, remote: Path, step: str
) -> None:
    node = PublishingNode(disk.path / "alpha", remote, runs=1)
    assert node.start().wait() == 0
    with publisher(tmp_path / "beta", remote) as beta:
        beta.made({"theirs.txt": "1"})
        beta.publish()
        node.runs = 4
        assert node.start("--at-once", "--crash-at", step).wait() == -9
        disk.lose_power()
        meanwhile = beta.made({"latest/alpha.txt": "by somebody else"})
        beta.publish()
        assert node.start().wait() == 0
        last = beta.made({"last.txt": "3"})
        beta.cache.habits.saw_others()
        while beta.state(last) != "published":
            beta.publish()
            beta.cache.habits.folding = (beta.cache.habits.folding[0], time.monotonic() - 60)  # it need not be patient
            beta.look_now()
        assert beta.state(meanwhile) == "published"

    counted = check(remote, {"alpha": node.home, "beta": tmp_path / "beta"})
    assert counted["runs"] == counted["commits"] == 7


def test_what_a_node_says_is_true_after_a_loss_of_power(
    disk: Disk, serve: Callable[..., ServedNode], tool: Path, remote: Path
) -> None:
    node = serve(start=False)
    node.home = disk.path / "home"
    node.start().install(tool)
    kept = node.ended(node.run("Write", "kept", "kept.txt", publish=False))
    node.kill_all()
    disk.lose_power()
    node.start()
    assert node.api("GET", f"/runs/{kept['id']}") == kept
    assert kept["publication"]["state"] == "kept"
    cache = node.home / "datasets" / "probe-data.git"
    assert git("show", f"{kept['publication']['commit']}:kept.txt", cwd=cache) == "kept"

    told = node.ended(node.run("Write", "published", "published.txt"))
    node.kill_all()
    disk.lose_power()
    node.start()
    assert node.api("GET", f"/runs/{told['id']}") == told
    assert told["publication"]["state"] == "published", told
    assert published(remote) == {"published.txt": "published"}
    assert (node.home / "runs" / kept["id"] / "data" / "kept.txt").read_text() == "kept"
    node.api("POST", f"/runs/{kept['id']}/publish")
    assert node.ended(kept)["publication"]["state"] == "published"
    assert published(remote) == {"published.txt": "published", "kept.txt": "kept"}
    node.stop()


@pytest.mark.parametrize("step", ["run: ended", "run: set aside", "run: collected", "push: arrived"])
def test_a_run_that_was_executed_is_published_once_after_a_loss_of_power(
    disk: Disk, serve: Callable[..., ServedNode], tool: Path, remote: Path, step: str
) -> None:
    node = serve(start=False)
    node.home = disk.path / "home"
    node.start().install(tool)
    node.stop()
    node.start(crash_at=step)
    run = node.run("Write", "text", "a.txt")
    eventually(node.dead, f"the node dies at '{step}'")
    for line in processes_of(node.home):
        os.kill(int(line.split()[0]), signal.SIGKILL)
    disk.lose_power()
    node.start()
    run = node.ended(run)

    assert (run["state"], run["publication"]["state"]) == ("succeeded", "published"), run
    assert published(remote) == {"a.txt": "text"}
    assert trailers(remote, "MAO-Run") == [run["id"]]
    node.stop()
