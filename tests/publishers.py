"""Nodes that publish without serving: what their runs wrote is made up, and each step is taken by the test."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mao import config, publishing, running
from mao.data_directory import make_durable
from mao.local_node import LocalNode, opened
from mao.run import Run, RunState
from mao.values import new_id, now
from support import git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mao.dataset_cache import DatasetCache
    from mao.run import Publication

DATASET = "data"


@dataclass
class Publisher:
    """A node whose runs are made up."""

    node: LocalNode
    remote: Path
    url: str
    """Of the remote, as the node knows it."""

    def made(self, files: Mapping[str, str | bytes], *, publish: bool = True) -> str:
        """Record a run that has ended and wrote these files; its id."""
        run = Run(
            id=new_id(),
            tool="probe",
            tool_commit="c" * 40,
            command="Write",
            arguments={},
            dataset=DATASET,
            node=self.node.config.node,
            publish=publish,
            fresh=True,
            state=RunState.PUBLISHING,
            created_at=now(),
            started_at=now(),
            ended_at=now(),
        )
        for name, content in files.items():
            path = self.node.workspace.run_data(run.id) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        make_durable(self.node.workspace.run_data(run.id))
        publication = publishing.collected(self.node, run, self.url)
        self.node.store.save(run.model_copy(update={"publication": publication}))
        return run.id

    def publish(self) -> float | None:
        """Make one attempt for all that is on its way."""
        with self.node.locked("dataset", DATASET):
            return publishing.publish(self.node, DATASET)

    def run(self, run_id: str) -> Run:
        return running.find_run(self.node, run_id)

    def publication(self, run_id: str) -> Publication:
        publication = self.run(run_id).publication
        assert publication is not None
        return publication

    def state(self, run_id: str) -> str:
        return self.publication(run_id).state.value

    @property
    def cache(self) -> DatasetCache:
        return self.node.cache(DATASET, self.url)

    def look_now(self) -> None:
        """Have the next attempt look at the inbox, however short ago the last look was."""
        self.cache.habits.look_at = 0.0


def ready(node: Publisher) -> Publisher:
    """`node`, when it has published something of its own: it knows the branch."""
    node.made({f"first/{node.node.config.node}": "0"})
    node.publish()
    return node


def delivered(node: Publisher, files: Mapping[str, str]) -> str:
    """A run whose data is in the inbox, and was not folded."""
    run = node.made(files)
    contended(node)
    node.publish()
    assert node.state(run) == "delivered"
    return run


def contended(node: Publisher) -> None:
    """Have `node` give its data to the inbox, and leave it there for now."""
    node.cache.habits.saw_others()
    node.cache.habits.fold_seconds = 1.0


def folded(node: Publisher) -> None:
    """Have `node` fold what waits, whoever said that it would."""
    holder = git("for-each-ref", "--format=%(objectname)", "refs/mao/fold", cwd=node.remote)
    node.cache.habits.folding = (holder, time.monotonic() - 60)
    node.look_now()
    node.publish()


def refs(remote: Path) -> list[str]:
    """What is at a remote beside its branches."""
    return git("for-each-ref", "--format=%(refname)", "refs/mao", cwd=remote).split()


def waiting(remote: Path) -> list[str]:
    """The refs of the inbox."""
    return [ref for ref in refs(remote) if ref != "refs/mao/fold"]


@contextmanager
def publisher(home: Path, remote: Path, url: str = "", **settings: str) -> Iterator[Publisher]:
    """Open the node in `home`, which is called like that directory; `url`: of `remote`, if it is not its path."""
    flags = {"node.home": str(home), "node.name": home.name, "publishing.first_pause": "0.05"}
    flags["runs.executor"] = "process"  # they run nothing
    flags |= {name.replace("__", "."): value for name, value in settings.items()}
    with opened(config.load({"HOME": str(home.parent)}, flags)) as node:
        yield Publisher(node, remote, url or str(remote))
