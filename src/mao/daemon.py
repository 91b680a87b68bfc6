"""The loop of a serving node: start what is due, advance what lives, publish what waits."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mao import (
    announcing,
    building,
    checking,
    cloning,
    ending,
    fencing,
    publishing,
    queueing,
    reckoning,
    running,
    tending,
)
from mao.attending import Announcement
from mao.caretaking import Caretaker
from mao.errors import MaoError
from mao.installation import Step
from mao.minding import Minder
from mao.registry import STALE
from mao.run import PublicationState, Run, RunState
from mao.schedule import ON_TIME
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from mao.installation import Installation
    from mao.local_node import LocalNode

log = logging.getLogger("mao.daemon")

_LOOK = 1.0
"""Seconds between two looks if nothing wakes the loop: an end that was not told of is found by then."""
_MOMENT = 0.01
_FIRST_TENDING, _TENDING = 30.0, 900.0
"""Seconds until the node looks after what grows and what was left behind: after its start, and from then on."""
_DAY = 86_400.0
_AFTER_BUG = 10.0
"""Seconds until something is tried again that failed in a way nobody thought of."""


class Daemon:
    """Brings every run, installation and clone of the node forward, each one step at a time, side by side.

    What is to be done is read from the store alone, so that it goes on after a kill -9 where it was.
    """

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._stopping = threading.Event()
        self._busy: set[tuple[str, str]] = set()
        self._again: set[tuple[str, str]] = set()
        self._not_before: dict[tuple[str, str], float] = {}
        self._said: dict[tuple[str, str], str] = {}  # what was the matter when it was tried last
        self._looks: dict[str, float] = {}  # when to look again after what the remote has beside a branch
        self._tend_at = time.monotonic() + _FIRST_TENDING
        self._is_away = False
        self._base = node.kept.base()
        self._turns: dict[str, float] = {}  # when to look at the tag of each tool
        self._guard = threading.Lock()
        # Pushes and clones may hang for minutes; what is local must not wait for them.
        self._local = ThreadPoolExecutor(16, thread_name_prefix="local")
        # Nor must the next slot wait for the runs of the one before it to be started.
        self._schedules = ThreadPoolExecutor(1, thread_name_prefix="schedules")
        self._remote = ThreadPoolExecutor(32, thread_name_prefix="remote")
        self._announcement = Announcement(node)
        # Registries may take seconds to say that they are away.
        self._shared = ThreadPoolExecutor(8, thread_name_prefix="cluster schedules")
        self._minder = Minder(node)
        self._caretaker = Caretaker(node)
        self._care_at = 0.0
        self._reckoned: datetime | None = None  # when schedules were looked at last
        self._wake = os.open(node.workspace.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._loop, name="daemon", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own.

        Raises:
            NodeTaken: another node of the cluster has this one's name; nothing was begun.
        """
        self._announcement.start()
        running.sweep(self._node)
        building.sweep(self._node)
        publishing.sweep(self._node)
        announcing.sweep(self._node)
        self._node.listen(self.wake)
        self._thread.start()

    def wake(self) -> None:
        """Look at once what there is to do; supervisors do the same by writing to the named pipe."""
        with contextlib.suppress(BlockingIOError, OSError):  # a full pipe wakes as well
            os.write(self._wake, b"!")

    def stop(self) -> None:
        """Begin nothing more and wait for what is being done; runs and installers go on by themselves."""
        self._stopping.set()
        self.wake()
        self._thread.join()
        self._announcement.stop()
        self._node.git.close()
        self._schedules.shutdown(cancel_futures=True)
        self._local.shutdown(cancel_futures=True)
        self._remote.shutdown(cancel_futures=True)
        self._shared.shutdown(cancel_futures=True)
        os.close(self._wake)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._look()
            except Exception:  # the boundary of the daemon: one bad look must not end all
                log.exception("looking for what is to be done failed")
            # Each of hundreds of runs wakes it when it starts and ends: looking must leave time for what was found.
            self._stopping.wait(min(time.monotonic() - begun, _LOOK))
            next_look = min(self._looks.values(), default=math.inf) - time.monotonic()
            if select.select([self._wake], [], [], max(0.0, min(_LOOK, next_look, self._until_due())))[0]:
                os.read(self._wake, 4096)

    def _until_due(self) -> float:
        """Seconds until a schedule is due; at least a moment, as it may be being reckoned."""
        moments = [moment for moment in (self._node.agenda.first(), self._minder.first()) if moment is not None]
        return max(_MOMENT, (min(moments) - self._node.clock()).total_seconds()) if moments else _LOOK

    def _look(self) -> None:
        node = self._node
        self._do(self._schedules, ("node", "schedules"), self._reckon, "schedules")
        installations = node.store.live_installations()
        self._look_at_runs(installations)
        for dataset in self._to_publish():
            self._do(self._remote, ("dataset", dataset), self._publish, dataset)
        if time.monotonic() >= self._tend_at:
            self._tend_at = time.monotonic() + _TENDING
            self._do(self._remote, ("node", "tend"), lambda node, _: tending.tend(node), "tend")
            self._do(self._remote, ("node", "check tags"), self._check_tags, "check tags")
        if time.monotonic() >= self._care_at:
            self._do(self._remote, ("node", "member"), self._care, "member")
        for installation in installations:
            pool = self._local if installation.attempt.step is Step.INSTALLING else self._remote
            self._do(pool, ("installation", installation.tool), _install, installation.tool)
        for clone in node.store.live_clones():
            self._do(self._remote, ("clone", clone.dataset), cloning.advance, clone.dataset)
        self._look_at_registry()

    def _look_at_runs(self, installations: Sequence[Installation]) -> None:
        node = self._node
        runs = node.store.live_runs()
        switching = frozenset(i.tool for i in installations if i.attempt.step is Step.SWITCHING)
        for schedule_id in self._minder.due(runs):
            self._do(self._shared, ("cluster schedule", schedule_id), self._minder.advance, schedule_id)
        ready = [run for run in runs if node.mirror.in_touch() or not fencing.waits(node, run)]
        for run in running.startable(ready, node.config["runs.limit"], switching):
            self._do(self._local, ("run", run.id), running.start, run.id)
        for run in runs:
            if run.state is RunState.RUNNING:
                self._do(self._local, ("run", run.id), self._advance, run.id)
            elif _to_collect(run):
                self._do(self._local, ("run", run.id), _collect, run.id)

    def _look_at_registry(self) -> None:
        """Say once that the registry is away, and once that it is back; tell it what it has missed."""
        node = self._node
        age = node.mirror.age()
        if (age > STALE) != self._is_away:
            self._is_away = age > STALE
            if self._is_away:
                log.warning("the registry is away: %s", node.mirror.trouble())
            else:
                log.warning("the registry is back")
        if node.mirror.in_touch():
            checking.end_outdated(node)
            if (base := node.kept.base()) != self._base:  # set back, it may not know what it was told
                self._base = base
                self._do(self._remote, ("node", "heads"), lambda node, _: announcing.sweep(node), "heads")
            for dataset in node.kept.untold():
                self._do(self._remote, ("head", dataset), announcing.announce_head, dataset)

    def _to_publish(self) -> list[str]:
        """The datasets to which something is to be sent, or whose inbox is to be looked at."""
        moment = time.monotonic()
        waiting = dict.fromkeys(self._looks, ()) | queueing.on_the_way(self._node)
        chosen = [
            dataset
            for dataset, runs in waiting.items()
            if queueing.due(self._node, runs) or self._looks.get(dataset, 0.0) <= moment
        ]
        for dataset in chosen:  # while it is being done, the loop has nothing to hurry for
            self._looks[dataset] = max(self._looks.get(dataset, 0.0), moment + _LOOK)
        return chosen

    def _advance(self, node: LocalNode, run_id: str) -> None:
        running.advance(node, run_id)
        run = running.find_run(node, run_id)
        if run.publication is not None and run.publication.state is PublicationState.PENDING:
            self._do(self._remote, ("dataset", run.dataset.lower()), self._publish, run.dataset.lower())  # quicker

    def _check_tags(self, node: LocalNode, _: str) -> None:
        checking.check_tags(node, self._turns, time.monotonic())

    def _publish(self, node: LocalNode, dataset: str) -> None:
        with node.locked("dataset", dataset):
            wait = publishing.publish(node, dataset)
        self._looks[dataset] = time.monotonic() + (math.inf if wait is None else wait)
        if wait is not None:
            self.wake()
        if announcing.note_head(node, dataset):
            self.wake()

    def _reckon(self, node: LocalNode, _: str) -> None:
        """Reckon schedules. The first look, and one after the clock was set back, goes through all of them."""
        present = node.clock()
        if self._reckoned is None or present < self._reckoned - ON_TIME:
            reckoning.begin(node, present)
        self._reckoned = present
        reckoning.look(node, present)

    def _care(self, _node: LocalNode, _name: str) -> None:
        self._care_at = time.monotonic() + self._caretaker.look()

    def _do(
        self,
        pool: ThreadPoolExecutor,
        key: tuple[str, str],
        step: Callable[[LocalNode, str], None],
        name: str,
    ) -> None:
        """Have `step` done in a thread, unless something is being done about `key` already."""
        with self._guard:
            if key in self._busy:
                self._again.add(key)  # what it was asked for may have come after it looked
                return
            if time.monotonic() < self._not_before.get(key, 0) or self._stopping.is_set():
                return
            self._busy.add(key)
        pool.submit(self._step, key, step, name)

    def _step(self, key: tuple[str, str], step: Callable[[LocalNode, str], None], name: str) -> None:
        try:
            step(self._node, name)
            self._not_before.pop(key, None)
            self._said.pop(key, None)
        except MaoError as error:
            if self._said.get(key) != error.detail:  # a registry may be full for days
                self._said[key] = error.detail
                log.warning("%s %s: %s", *key, error.detail)
            self._not_before[key] = time.monotonic() + _AFTER_BUG
        except Exception:  # the boundary of the daemon: one bad item must not end the others
            log.exception("%s %s failed; it is tried again in %g s", *key, _AFTER_BUG)
            self._not_before[key] = time.monotonic() + _AFTER_BUG
        finally:
            with self._guard:
                self._busy.discard(key)
                missed = key in self._again
                self._again.discard(key)
            if missed:
                self.wake()


def _to_collect(run: Run) -> bool:
    """Whether files are to be set aside that there was no room for."""
    publication = run.publication
    return publication is not None and publication.state is PublicationState.COLLECTING and publication.due(now(), _DAY)


def _collect(node: LocalNode, run_id: str) -> None:
    with node.locked("run", run_id):
        run = running.find_run(node, run_id)
        if _to_collect(run):
            ending.collect(node, run)


def _install(node: LocalNode, tool: str) -> None:
    while building.advance(node, tool):
        pass
