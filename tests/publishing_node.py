"""Serves a node whose runs are made up, until all of them are published; it may be killed and started again.

    python publishing_node.py HOME REMOTE RUNS [--at-once] [--crash-at STEP]

It makes runs until its store has RUNS of them, and ends when nothing is left to be done about them. A run counts from
the moment in which it is in the store.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from crashing import arm
from mao.daemon import Daemon
from publishers import Publisher, publisher
from support import GIT_ENVIRONMENT, git

_OF_THE_REMOTE = ("receive-pack", "upload-pack", "unpack-objects", "index-pack --stdin", "rev-list")
"""What runs at the remote, which is another machine in truth."""


def files_of(name: str, number: int) -> dict[str, str]:
    """What the run with this number of a node writes: one of its own, one that it replaces, one that all want."""
    own = {f"{name}/{number:04}.txt": f"{name} {number}\n", f"latest/{name}.txt": f"{number}\n"}
    return own | ({"shared.txt": f"{name} {number}\n"} if number % 5 == 0 else {})


def blob_of(content: str) -> str:
    return git("hash-object", "--stdin", cwd=Path("/"), given=content.encode())


@dataclass
class PublishingNode:
    """Such a node in a process of its own."""

    home: Path
    remote: Path
    runs: int
    process: subprocess.Popen[bytes] | None = None
    kills: int = field(default=0)

    def start(self, *more: str) -> PublishingNode:
        self.home.parent.mkdir(exist_ok=True)
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, self.home, self.remote, str(self.runs), *more],
                env=os.environ | GIT_ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def ended(self) -> int | None:
        """Its exit status."""
        assert self.process is not None
        return self.process.poll()

    def wait(self, seconds: float = 90.0) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def kill(self, *, with_git: bool) -> None:
        """kill -9 of the server; `with_git`: and of the git processes that it has started on this machine."""
        assert self.process is not None
        victims = [psutil.Process(self.process.pid)]
        with suppress(psutil.Error):
            victims += victims[0].children(recursive=True) if with_git else []
        for victim in victims:
            with suppress(psutil.Error):
                if not any(word in " ".join(victim.cmdline()) for word in _OF_THE_REMOTE):
                    victim.kill()
        self.process.wait()
        self.kills += 1


def check(remote: Path, nodes: dict[str, Path]) -> dict[str, int]:
    """Assert that every file of every run is in the dataset exactly once; what was counted.

    Args:
        remote: of the dataset.
        nodes: the homes of all that published, by their names. None of them is served.
    """
    brought = _brought(remote)
    runs = beside = 0
    for name, home in nodes.items():
        with publisher(home, remote) as node:
            for number, key in enumerate(sorted(key for key, _ in node.node.store.bodies("run"))):
                publication = node.publication(key)
                assert publication.state.value in {"published", "unchanged"}, (name, node.run(key))
                found = brought.pop(key, [])
                assert len(found) == 1, f"{name}: run {number} {key} is on the branch {len(found)} times"
                commit, there = found[0]
                assert publication.commit == commit, (name, key)
                wanted = node.node.workspace.run_data(key)
                files = {str(path.relative_to(wanted)): blob_of(path.read_text()) for path in wanted.rglob("*.txt")}
                placed = {path.replace(f".conflict-{name}-{key}", ""): blob for path, blob in there.items()}
                assert placed.items() <= files.items(), (name, key, there)
                own = {path: blob for path, blob in files.items() if path != "shared.txt"}
                assert own.items() <= placed.items(), (name, key, there)
                runs, beside = runs + 1, beside + sum("conflict" in path for path in there)
    assert brought == {}, f"nobody knows these runs: {brought}"
    assert git("for-each-ref", "--format=%(refname)", "refs/mao/inbox", cwd=remote) == ""
    git("fsck", "--strict", cwd=remote)
    return {"runs": runs, "beside": beside, "commits": int(git("rev-list", "--count", "main", cwd=remote))}


def _brought(remote: Path) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The commits of each run on the branch, with the blobs that they added by their paths."""
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    form = "--format=%x01%H %(trailers:key=MAO-Run,valueonly,separator=%x2C)"
    for text in git("log", "--raw", "--no-abbrev", "--no-renames", form, "main", cwd=remote).split("\1")[1:]:
        head, *lines = text.strip().splitlines()
        commit, _, run = head.partition(" ")
        changes = [line.split(None, 5) for line in lines if line]
        if run:
            found.setdefault(run, []).append((commit, {path: blob for _, _, _, blob, _, path in changes}))
    return found


def _serve(node: Publisher, runs: int, *, at_once: bool) -> None:
    name = node.node.config.node
    made = len(node.node.store.bodies("run"))
    daemon = Daemon(node.node)
    if not at_once:
        daemon.start()
    for number in range(made, runs):
        node.made(files_of(name, number))
        daemon.wake()
        time.sleep(0 if at_once else random.uniform(0, 0.2))  # noqa: S311  # no secret
    if at_once:
        daemon.start()
    while node.node.store.live_runs():
        time.sleep(0.02)
    daemon.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("remote", type=Path)
    parser.add_argument("runs", type=int)
    parser.add_argument("--at-once", action="store_true")
    parser.add_argument("--crash-at")
    given = parser.parse_args()
    with publisher(given.home, given.remote, publishing__longest_pause="0.5") as opened:
        if given.crash_at:
            arm(given.crash_at, str(given.home))
        _serve(opened, given.runs, at_once=given.at_once)
