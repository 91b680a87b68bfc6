"""A node in this process that publishes runs which no tool has made."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mao import publishing
from mao.config import load
from mao.daemon import Daemon
from mao.data_directory import make_durable
from mao.local_node import opened
from mao.run import Run, RunState
from mao.settings import SETTINGS
from mao.values import new_id, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mao.local_node import LocalNode

DATASET = "measurements"


class Publisher:
    """Publishes to one remote.

    `safe` and `there` tell when the remote, and its branch, were known to hold a run, by the run's id, in seconds of
    the machine's monotonic clock, which all processes share. `refused` tells why a run needs a decision.
    """

    def __init__(self, node: LocalNode, remote: str) -> None:
        self._node = node
        self._remote = remote
        self._seen = 0
        self._changed = threading.Event()
        self._newest = ""
        self.safe: dict[str, float] = {}
        self.there: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        node.listen(self._changed.set)

    def ran(self, files: Mapping[str, bytes]) -> Run:
        """A run whose tool has just ended, having written `files`."""
        run_id = new_id()
        while run_id <= self._newest:  # two of the same millisecond have no order
            run_id = new_id()
        self._newest = run_id
        data = self._node.workspace.run_data(run_id)
        for path, content in files.items():
            (data / path).parent.mkdir(parents=True, exist_ok=True)
            (data / path).write_bytes(content)
        moment = now()
        return Run(
            id=run_id,
            tool="benchmark",
            tool_commit="0" * 40,
            command="Write",
            arguments={},
            dataset=DATASET,
            node=self._node.config.node,
            publish=True,
            fresh=True,
            state=RunState.RUNNING,
            exit_code=0,
            created_at=moment,
            started_at=moment,
            ended_at=moment,
        )

    def publish(self, run: Run) -> None:
        """What a node does when it has seen the end of a run (`ending.collect`); its daemon does the rest."""
        make_durable(self._node.workspace.run_data(run.id))
        publication = publishing.collected(self._node, run, self._remote)
        self._node.store.save(run.moved(RunState.PUBLISHING, publication=publication), flush=False)

    def wait(self, known: Mapping[str, float], run_id: str, patience: float) -> float | None:
        """When `run_id` came into `known` (`safe` or `there`), waited for.

        None if it was refused, or was not there within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        self._look()
        while not (run_id in known or run_id in self.refused) and time.monotonic() < deadline:
            self._changed.wait(0.5)
            self._look()
        return known.get(run_id)

    def _look(self) -> None:
        self._changed.clear()
        moment = time.monotonic()
        for event in self._node.store.events(self._seen):
            self._seen = event.seq
            publication = json.loads(event.body or "{}").get("publication") or {}
            arrived = publication.get("state") in {"published", "unchanged"}
            if arrived:
                self.there.setdefault(event.key, moment)
            if arrived or publication.get("delivered_at") or publication.get("state") == "delivered":
                self.safe.setdefault(event.key, moment)
            if publication.get("state") == "blocked":
                self.refused[event.key] = publication["message"]


@contextmanager
def publisher(home: Path, name: str, remote: str) -> Iterator[Publisher]:
    """A node called `name` with the settings that every node has, but for the size of files."""
    settings = {"node.name": name, "node.home": str(home), "git.allow_http": "true"}
    if "publishing.large_file" in SETTINGS:
        settings["publishing.large_file"] = "1 GB"
    with opened(load({}, settings)) as node:
        daemon = Daemon(node)
        daemon.start()
        try:
            yield Publisher(node, remote)
        finally:
            daemon.stop()
