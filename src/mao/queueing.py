"""Which data is on its way to which branch, and when it is to be sent."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mao.errors import RemoteRewritten
from mao.run import PublicationState, Run, RunState
from mao.values import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mao.local_node import LocalNode

ON_THE_WAY = frozenset({PublicationState.PENDING, PublicationState.WAITING, PublicationState.DELIVERED})
"""The states in which data is on its way to the branch."""
_MOST_RUNS, _MOST_BYTES = 100, 100_000_000
"""What goes out in one push at most; a single run goes whatever its size."""
OF_THE_DATA = frozenset(
    {"hook-declined", "refused-by-remote", "file-too-large", "push-too-large", "file-changed"}
    | {"large-file", "lfs-refused", "lfs-unreachable", "registry-unavailable", "slot-taken"}
)
"""Causes that may lie in a single run or its data; the others concern every run for that remote."""


def on_the_way(node: LocalNode) -> dict[str, list[Run]]:
    """The runs whose data is on its way to a branch, by their dataset in lower case, oldest first."""
    found: dict[str, list[Run]] = {}
    for run in node.store.live_runs():
        if run.publication is not None and run.publication.state in ON_THE_WAY:
            found.setdefault(run.dataset.lower(), []).append(run)
    return found


def on_the_way_to(node: LocalNode, dataset: str) -> list[Run]:
    return on_the_way(node).get(dataset.lower(), [])


def undecided(node: LocalNode, dataset: str) -> list[Run]:
    """The runs for `dataset` that wait for a decision: of what was tried before, something may have arrived."""
    bodies = node.store.bodies("run", state=RunState.UNPUBLISHED, dataset=dataset.lower(), live="0")
    runs = (Run.model_validate_json(body) for _, body in bodies)
    return [run for run in runs if is_in(run, PublicationState.BLOCKED)]


@contextmanager
def held(node: LocalNode, dataset: str) -> Iterator[list[Run]]:
    """The runs on their way to `dataset`; these, and those that may be found there, nobody else changes meanwhile.

    The caller holds the node's lock on the dataset.
    """
    with ExitStack() as locks:
        for run in (*on_the_way_to(node, dataset), *undecided(node, dataset)):
            locks.enter_context(node.locked("run", run.id))
        yield on_the_way_to(node, dataset)


def is_tried(run: Run) -> bool:
    """Whether something of its data may be at the remote already."""
    publication = run.publication
    return publication is not None and any((publication.commit, publication.delivery, publication.cause))


def due(node: LocalNode, runs: Sequence[Run]) -> list[Run]:
    """Those of a node's `runs` for one dataset that are to be sent now, oldest first: if one is, all that can go."""
    held = [run for run in runs if is_in(run, PublicationState.WAITING) and not of_its_own(run)]
    new = [run for run in runs if is_in(run, PublicationState.PENDING)]
    own = [run for run in runs if of_its_own(run) and _is_due(node, run)]
    if held and not any(_is_due(node, run) for run in held) and not any(asked_for(run) for run in new):
        return []
    return sorted([*new, *held, *own], key=lambda run: run.id)


def is_in(run: Run, state: PublicationState) -> bool:
    return run.publication is not None and run.publication.state is state


def of_its_own(run: Run) -> bool:
    """Whether the run waits for a reason that lies in its own data."""
    return is_in(run, PublicationState.WAITING) and run.publication is not None and run.publication.cause in OF_THE_DATA


def _is_due(node: LocalNode, run: Run) -> bool:
    return run.publication is not None and run.publication.due(now(), node.config["publishing.longest_pause"])


def asked_for(run: Run) -> bool:
    """Whether somebody asked for another attempt."""
    return is_in(run, PublicationState.PENDING) and run.publication is not None and run.publication.cause is not None


def asked_again(run: Run, **changes: object) -> Run:
    """`run` as it is when somebody asks for its data to be published, with `changes` to its publication."""
    run = run.model_copy(update={"publish": True})
    run = run.with_publication(state=PublicationState.PENDING, next_try_at=None, attempts=0, **changes)
    return run.moved(RunState.PUBLISHING, reason=None, finished_at=None)


def batch(runs: list[Run]) -> tuple[list[Run], bool]:
    """As many of `runs` as go out in one push, and whether there are more."""
    total = 0
    for count, run in enumerate(runs):
        total += size(run)
        if count and (count >= _MOST_RUNS or total > _MOST_BYTES):
            return runs[:count], True
    return runs, False


def size(run: Run) -> int:
    """Bytes of the files of a run."""
    return sum(file.size for file in run.publication.files) if run.publication else 0


def accepts_rewritten(run: Run) -> bool:
    """Whether somebody asked again after a rewritten history, and so has decided that it shall be as it is."""
    return asked_for(run) and run.publication is not None and run.publication.cause == RemoteRewritten.code()
