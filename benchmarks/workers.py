"""A way of publishing in a process of its own, so that its CPU time and memory can be told from the others'."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

import datasets
from support import GIT_ENVIRONMENT
from ways import WAYS, Mao, Place, published, seconds_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

_LOOK = 0.005
"""Seconds between two looks at the memory of a way."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is published at once: so many files of so many random bytes, in the newest folder of a dataset."""

    layout: datasets.Layout
    files: int
    new: int
    size: int

    def contents(self, turn: str) -> dict[str, bytes]:
        chance = random.Random(turn)  # noqa: S311  # no secret: it is to be incompressible, and the same for all
        names = (f"{turn}-{i:04d}.bin" for i in range(self.new))
        return {datasets.new_path(self.layout, self.files, name): chance.randbytes(self.size) for name in names}


@dataclass(frozen=True, slots=True)
class Taken:
    """What one publication took: seconds until the remote and its branch had it, seconds of CPU time."""

    safe: float
    branch: float | None
    cpu: float


class Worker:
    """A way of publishing, in its process; it is set up by the first `publish`.

    Args:
        name: of the way.
        place: where it works.
    """

    def __init__(self, name: str, place: Place) -> None:
        self.place = place
        self.name = name
        self._own = WAYS[name] is Mao  # whether the process itself is part of the way
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._publishing = context.Event()
        arguments = (theirs, self._publishing, name, place)
        self._process = context.Process(target=_work, args=arguments, daemon=True)  # goes if the benchmark is ended
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def publish(self, load: Load, turn: str) -> Taken:
        """Publish other files than in any other turn.

        Raises:
            RuntimeError: the way failed; in its own words.
        """
        self._pipe.send((load, turn))
        answer = self._pipe.recv()
        if isinstance(answer, Taken):
            return answer
        raise RuntimeError(f"{self.name}: {answer}")

    def publish_watched(self, load: Load, turn: str) -> tuple[Taken, float]:
        """The same with the most memory, in bytes, that the processes of the way held at any moment."""
        done = threading.Event()
        most = [0.0]

        def watch() -> None:
            root = psutil.Process(self._process.pid)
            while not done.wait(_LOOK):
                with suppress(psutil.Error):
                    most[0] = max(most[0], self._memory(root) if self._publishing.is_set() else 0)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            return self.publish(load, turn), most[0]
        finally:
            done.set()
            thread.join()

    def _memory(self, root: psutil.Process) -> float:
        total, own = (root.memory_info().rss if self._own else 0), root.cmdline()
        for process in root.children(recursive=True):
            with suppress(psutil.Error):
                # One with the same command line has not become git yet, and shares its memory with this one.
                total += process.memory_info().rss if process.cmdline() != own else 0
        return float(total)

    def disk(self) -> int:
        """Bytes on this machine's disk that the way keeps."""
        self._pipe.send(None)
        paths = self._pipe.recv()
        told = subprocess.run(["du", "-c", "-s", "--block-size=1", "--", *paths], capture_output=True, check=True)
        return int(told.stdout.split()[-2])

    def close(self) -> None:
        self._pipe.close()
        self._process.join()


def _work(pipe: Connection, publishing: Event, name: str, place: Place) -> None:
    os.environ.update(GIT_ENVIRONMENT)
    place.work.mkdir(parents=True)
    way = None
    pipe.send("ready")
    with suppress(EOFError):
        while True:
            asked = pipe.recv()
            if asked is None:
                pipe.send(way.kept() if way else [])
                continue
            load, turn = asked
            files = load.contents(turn)
            try:
                before, begun = _cpu(), time.perf_counter()
                first = way is None
                way = way or WAYS[name](place)
                set_up, used = (time.perf_counter() - begun if first else 0.0), _cpu() - before
                way.prepare(files)
                before = _cpu()
                publishing.set()
                safe, branch = seconds_of(way)
                publishing.clear()
                cpu = used * first + _cpu() - before
                assert branch is None or published(place, files), "the branch does not have it"
                pipe.send(Taken(set_up + safe, None if branch is None else set_up + branch, cpu))
            except Exception as error:  # noqa: BLE001  # whatever it is, it is told in the table
                pipe.send(f"{type(error).__name__}: {error}")
    if way:
        way.close()


def _cpu() -> float:
    """Seconds of CPU time of this process and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def missing(name: str) -> str | None:
    """Why a way cannot be measured on this machine."""
    if name == "datalad" and not (shutil.which("datalad") and shutil.which("git-annex")):
        return "datalad or git-annex is not on the PATH"
    return None
