"""Serves a node that ends itself with SIGKILL at a named step: `python crashing.py "push: arrived"`.

The step is where a function of the node begins or has returned; nothing else of the node is changed. With `+` before
the name its supervisors are killed in the same moment. `python crashing.py "join: added" cluster join ...` is the
command line that ends itself there.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from mao import config
from mao.cli import main
from support import supervisors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STEPS: dict[str, tuple[str, str, str]] = {
    "install: begun": ("before", "mao.building", "_STEPS.CLONING"),
    "install: fetched": ("after", "mao.building", "fetch_commit"),
    "install: cloned": ("before", "mao.building", "_STEPS.INSTALLING"),
    "install: installer started": ("after", "mao.executors.process", "ProcessExecutor.start"),
    "install: installer ended": ("before", "mao.building", "_STEPS.DATASET"),
    "install: dataset being cloned": ("before", "mao.dataset_cache", "DatasetCache.remember"),
    "install: dataset cloned": ("before", "mao.building", "_STEPS.SWITCHING"),
    "install: switched": ("before", "mao.building", "_sweep"),
    "clone: begun": ("before", "mao.clone_directory", "CloneDirectory._clone"),
    "clone: fetched": ("after", "mao.clone_directory", "CloneDirectory._fetch"),
    "clone: folders supplied": ("after", "mao.folder_trees", "FolderTrees.supply"),
    "clone: widening": ("before", "mao.clone_directory", "CloneDirectory._narrow"),
    "clone: widened": ("after", "mao.clone_directory", "CloneDirectory._narrow"),
    "clone: switched": ("after", "mao.clone_directory", "CloneDirectory._switch"),
    "clone: made": ("after", "mao.clone_directory", "CloneDirectory.make"),
    "clone: refreshed": ("after", "mao.clone_directory", "CloneDirectory.refresh"),
    "run: asked for": ("before", "mao.store", "Store.save"),
    "run: accepted": ("after", "mao.running", "request_run"),
    "run: start recorded": ("before", "mao.running", "_launch"),
    "run: handed over": ("after", "mao.executors.process", "ProcessExecutor.start"),
    "run: ended": ("before", "mao.ending", "record"),
    "run: set aside": ("after", "mao.ending", "_set_aside"),
    "run: collected": ("after", "mao.ending", "collect"),
    "commit: begun": ("before", "mao.dataset_cache", "DatasetCache.build"),
    "commit: built": ("after", "mao.dataset_cache", "DatasetCache.build"),
    "commit: recorded": ("after", "mao.publishing", "commit_on"),
    "push: begun": ("before", "mao.dataset_cache", "DatasetCache.push"),
    "push: arrived": ("after", "mao.dataset_cache", "DatasetCache.push"),
    "push: being recorded": ("before", "mao.store", "Store.published"),
    "push: recorded": ("after", "mao.store", "Store.published"),
    "push: remembered": ("after", "mao.publishing", "_is_on_branch"),
}

LARGE_STEPS: dict[str, tuple[str, str, str]] = {
    "large: to be uploaded": ("before", "mao.lfs", "upload"),
    "large: placed": ("after", "mao.lfs", "_placed"),
    "large: uploaded": ("after", "mao.lfs", "upload"),
    "large: recorded": ("after", "mao.publishing", "uploaded"),
    "large: committed": STEPS["commit: recorded"],
    "large: pushed": STEPS["push: arrived"],
}
"""Those of a run with a large file."""
STEPS_OF_THE_INBOX: dict[str, tuple[str, str, str]] = {
    "lost race: looked": ("after", "mao.dataset_cache", "DatasetCache.look"),
    "lost race: fetched": ("after", "mao.dataset_cache", "DatasetCache.refresh"),
    "lost race: recorded": ("after", "mao.recording", "found"),
    "lost race: remembered": ("after", "mao.recording", "settle"),
    "delivery: begun": ("before", "mao.folding", "deliver"),
    "delivery: built": ("after", "mao.folding", "commit_apart"),
    "delivery: arrived": ("before", "mao.recording", "delivered"),
    "delivery: recorded": ("after", "mao.recording", "delivered"),
    "fold: looked": ("before", "mao.folding", "fold"),
    "fold: fetched": ("after", "mao.folding", "_foldable"),
    "fold: built": ("after", "mao.folding", "_made"),
    "fold: begun": ("before", "mao.folding", "_pushed"),
    "fold: arrived": ("after", "mao.folding", "_pushed"),
    "fold: being recorded": ("before", "mao.store", "Store.published"),
    "fold: recorded": ("after", "mao.store", "Store.published"),
    "fold: remembered": ("after", "mao.folding", "_record"),
}
"""The steps of data that goes by way of the inbox, where somebody else has published first."""

STEPS_OF_CLUSTERS: dict[str, tuple[str, str, str]] = {
    "init: authority made": ("after", "mao.cluster_directory", "ClusterDirectory.found_authority"),
    "init: certificate signed": ("after", "mao.cluster_directory", "ClusterDirectory.sign"),
    "init: configured": ("after", "mao.etcd_member", "EtcdMember.configure"),
    "init: started": ("after", "mao.etcd_member", "EtcdMember.start"),
    "init: roles made": ("before", "mao.etcd.users", "ask_for_users"),
    "init: secured": ("after", "mao.granting", "secure"),
    "init: moved": ("after", "mao.moving", "bring"),
    "init: settled": ("before", "mao.moving", "forget"),
    "join: authority known": ("after", "mao.admission", "authority"),
    "join: admitted": ("after", "mao.admission", "ask"),
    "join: added": ("after", "mao.enlisting", "_added"),
    "join: configured": ("after", "mao.etcd_member", "EtcdMember.configure"),
    "join: started": ("after", "mao.etcd_member", "EtcdMember.start"),
    "join: promoted": ("after", "mao.enlisting", "_promote"),
    "join: moved": ("after", "mao.moving", "bring"),
    "join: settled": ("before", "mao.moving", "forget"),
    "leave: taken along": ("after", "mao.moving", "take_along"),
    "leave: recorded": ("before", "mao.enlisting", "resign"),
    "leave: removed": ("before", "mao.etcd_member", "EtcdMember.stop"),
    "leave: resigned": ("before", "mao.cluster_directory", "ClusterDirectory.set_aside"),
}
"""The steps of `mao cluster init`, `join` and `leave`."""

STEPS_OF_SCHEDULES: dict[str, tuple[str, str, str]] = {
    "slot: due": ("before", "mao.reckoning", "_reckon_one"),
    "slot: run made": ("after", "mao.attempting", "attempt"),
    "slot: reckoned": ("after", "mao.reckoning", "_reckoned"),
    "slot: recorded": ("after", "mao.reckoning", "_reckon_all"),
    "slot: noted": ("after", "mao.reckoning", "note"),
    "slot: to be started": ("before", "mao.ledger", "started"),
    "slot: start recorded": ("before", "mao.running", "_launch"),
    "slot: handed over": ("after", "mao.executors.process", "ProcessExecutor.start"),
    "slot: run ended": ("before", "mao.ending", "record"),
    "slot: run recorded": ("after", "mao.ending", "record"),
    "slot: over": ("after", "mao.attempting", "_after_run"),
}
"""The steps of a slot, from when it is due."""

STEPS_OF_SHARED_SLOTS: dict[str, tuple[str, str, str]] = {
    "shared: due": ("before", "mao.claiming", "Looking._claim"),
    "shared: claimed": ("after", "mao.claiming", "Looking._claim"),
    "shared: to be started": ("before", "mao.fencing", "begin"),
    "shared: start agreed": ("after", "mao.fencing", "begin"),
    "shared: start recorded": ("before", "mao.running", "_launch"),
    "shared: handed over": ("after", "mao.executors.process", "ProcessExecutor.start"),
    "shared: run recorded": ("after", "mao.ending", "record"),
    "shared: settled": ("before", "mao.claiming", "write"),
    "shared: looked": ("after", "mao.claiming", "Looking.go"),
}
"""The steps of a slot of the cluster."""

STEPS_OF_SECRETS: dict[str, tuple[str, str, str]] = {
    "secret: to be kept": ("before", "mao.unveiling", "keep"),
    "secret: kept": ("after", "mao.unveiling", "keep"),
    "secret: start recorded": ("before", "mao.running", "_launch"),
    "secret: job written": ("after", "mao.executors.process", "ProcessExecutor._write_job"),
    "secret: handed over": ("after", "mao.executors.process", "ProcessExecutor.start"),
    "secret: run ended": ("before", "mao.ending", "record"),
    "secret: set aside": ("after", "mao.ending", "_set_aside"),
    "secret: looked for": ("after", "mao.screening", "screened"),
    "secret: found": ("before", "mao.unveiling", "forget"),
    "secret: forgotten": ("after", "mao.unveiling", "forget"),
}
"""The steps of a run with a secret, from its start until its files have been looked through."""


def _die(home: str, *, supervisors_too: bool) -> NoReturn:
    if supervisors_too:
        for pid in supervisors(home):
            os.kill(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def arm(step: str, home: str) -> None:
    """Have this process, which serves the node in `home`, kill itself at `step`."""
    steps = STEPS | LARGE_STEPS | STEPS_OF_THE_INBOX | STEPS_OF_CLUSTERS | STEPS_OF_SECRETS
    steps |= STEPS_OF_SCHEDULES | STEPS_OF_SHARED_SLOTS
    when, module, path = steps[step.removeprefix("+")]
    from mao.installation import Step  # noqa: PLC0415  # the command line does not load it

    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function: Callable[..., Any] = owner[Step[name]] if isinstance(owner, dict) else getattr(owner, name)

    @functools.wraps(function)
    def deadly(*args: Any, **kwargs: Any) -> NoReturn:
        if when == "after":
            function(*args, **kwargs)
        _die(home, supervisors_too=step.startswith("+"))

    if isinstance(owner, dict):
        owner[Step[name]] = deadly
    else:
        setattr(owner, name, deadly)


def begin(args: Sequence[str]) -> None:
    """Be what `args` say: a step or `never`, and the arguments of the command line; without those, a served node."""
    if args[0] != "never":
        arm(args[0], str(config.load().home))
    if len(args) > 1:
        main(args[1:])
    from mao.web.server import serve  # noqa: PLC0415  # the command line does not load it

    serve(config.load(), lambda *_: None)


if __name__ == "__main__":
    begin(sys.argv[1:])
