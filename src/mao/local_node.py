"""This node, opened: its parts, chosen by the configuration. Here they are opened and closed, and nowhere else."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from mao.agenda import Agenda
from mao.audit_log import AuditLog
from mao.authority import ask_for_rights
from mao.cluster_directory import ClusterDirectory
from mao.config import cluster_file
from mao.dataset_cache import DatasetCache
from mao.dataset_history import DatasetHistory
from mao.errors import InUse, MaoError, Unavailable
from mao.executors.process import ProcessExecutor
from mao.executors.sandbox import SandboxExecutor
from mao.git import Git, end_left_over, fetchable
from mao.kept_mirror import KeptMirror
from mao.keyring import Keyring
from mao.mirror import Mirror
from mao.registries.sqlite import SqliteRegistry
from mao.store import Store
from mao.tally import Tally
from mao.tokens import Tokens
from mao.values import now
from mao.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mao.config import Config
    from mao.etcd.client import EtcdClient
    from mao.executor import Executor
    from mao.registry import Registry

log = logging.getLogger("mao.local_node")


def etcd_client(config: Config) -> EtcdClient:
    """A connection to the etcd that the configuration names."""
    # grpc takes longer to load than all the rest, and a node alone does not need it.
    from mao.etcd.client import EtcdClient  # noqa: PLC0415

    given = (config[f"registry.{name}"] for name in ("ca", "certificate", "key", "user", "password"))
    return EtcdClient(_endpoints(config["registry.url"]), *given)


def etcd_registry(client: EtcdClient) -> Registry:
    """The registry in the etcd that a client speaks with."""
    from mao.registries.etcd import EtcdRegistry  # noqa: PLC0415  # as above

    return EtcdRegistry(client)


def _endpoints(url: str) -> list[str]:
    return url.removeprefix("etcd://").split(",")


def _etcd(config: Config, _: Workspace) -> Registry:
    from mao.registries.etcd import EtcdRegistry  # noqa: PLC0415  # as above

    return EtcdRegistry(etcd_client(config), partial(ask_for_rights, config))


REGISTRIES: dict[str, Callable[[Config, Workspace], Registry]] = {
    "etcd": _etcd,
    "sqlite": lambda _, workspace: SqliteRegistry(workspace.registry),
}
EXECUTORS: dict[str, Callable[[Workspace], Executor]] = {
    "sandbox": lambda workspace: SandboxExecutor(workspace.temporary / "devices", workspace.wake),
    "process": lambda workspace: ProcessExecutor(workspace.wake),
}
"""The safest first."""


def choose_executor(config: Config, workspace: Workspace) -> tuple[Executor, str]:
    """The executor that the configuration names, or the safest that works; and why no safer one does.

    Raises:
        Unavailable: what the configuration names does not work here.
    """
    wanted: str = config["runs.executor"]
    if wanted != "auto":
        return EXECUTORS[wanted](workspace), "" if wanted == "sandbox" else f"runs.executor is '{wanted}'."
    why = ""
    for name, make in EXECUTORS.items():
        try:
            return make(workspace), why
        except Unavailable as error:
            log.debug("no %s: %s", name, error.detail)
            why = why or error.detail
    raise Unavailable(why)


class LocalNode:
    """The parts of this node. Made by `opened`, which holds its home for this process alone."""

    def __init__(self, config: Config, clock: Callable[[], datetime]) -> None:
        self.config = config
        self.clock = clock
        self.workspace = Workspace(config.home)
        self.keyring = Keyring(self.workspace.keyring)
        limits = config["git.time_limit"], config["git.allow_http"], config["git.memory_limit"]
        self.git = Git(config.home, *limits)
        # Weak: a lock that nobody holds or waits for goes, or there would be one for every run there ever was.
        self._locks: WeakValueDictionary[tuple[str, str], threading.RLock] = WeakValueDictionary()
        self._locks_guard = threading.Lock()
        self._caches: dict[str, DatasetCache] = {}
        self._listeners: list[Callable[[], None]] = []
        self.agenda = Agenda()
        self.up_since = clock()
        self.lease: int | None = None
        """Of what is this node's in the registry for as long as it serves; None while it is not announced there."""
        self.unconfined = ""
        """Why tools run in no sandbox, if they do not."""

    def _open(self, closing: ExitStack) -> None:
        closing.enter_context(self.workspace.locked())
        # What an earlier life of this node left running would be in the way of what is begun again.
        end_left_over(self.config.home)
        self.workspace.prepare()
        self.store = Store(self.workspace.store)
        closing.callback(self.store.close)
        self.tokens = Tokens(self.workspace.access)
        closing.callback(self.tokens.close)
        self.audit = AuditLog(self.workspace.audit)
        closing.callback(self.audit.close)
        self._start_member()
        url: str = self.config["registry.url"]
        self.kept = KeptMirror(self.workspace.mirror, url)
        closing.callback(self.kept.close)
        self.registry = REGISTRIES[url.partition(":")[0]](self.config, self.workspace)
        embedded = url == "sqlite"  # it is a file beside the copy
        self.mirror = Mirror(self.registry, lambda _: self._changed(), None if embedded else self.kept)
        closing.callback(self.mirror.close)
        self.executor, self.unconfined = choose_executor(self.config, self.workspace)
        if self.unconfined and self.config["runs.executor"] == "auto":
            log.warning("Tools can touch all that the user of this node can. %s", self.unconfined)
        closing.callback(self.executor.close)
        closing.callback(self.git.close)
        self.store.listen(self._changed)

    def _start_member(self) -> None:
        """Have the node's own member of etcd run, if it has one: the registry is asked in a moment."""
        member = ClusterDirectory(self.config.home).member
        if member.is_configured:
            try:
                member.start()
            except MaoError as error:  # the other members may do without it
                log.warning("%s", error.detail)

    def reach(self, url: str) -> None:
        """Ask the members that `url` names from now on, unless a person has set others (`registry.url`)."""
        from mao.registries.etcd import EtcdRegistry  # noqa: PLC0415  # as above

        set_by_cluster = self.config.origin["registry.url"] == str(cluster_file(self.config.home))
        if set_by_cluster and isinstance(self.registry, EtcdRegistry):
            self.config = replace(self.config, values=self.config.values | {"registry.url": url})
            self.registry.reach(_endpoints(url))

    def listen(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each change of the store or the registry, from any thread."""
        self._listeners.append(changed)

    def _changed(self) -> None:
        for changed in self._listeners:
            changed()

    @contextmanager
    def locked(self, kind: str, key: str, *, wait: float = -1) -> Iterator[None]:
        """Hold what is called `key` for this thread, as long as it takes to change it.

        Raises:
            InUse: another thread held it for `wait` seconds (-1: wait as long as it takes).
        """
        with self._locks_guard:
            lock = self._locks.setdefault((kind, key.lower()), threading.RLock())
        if not lock.acquire(timeout=wait):
            raise InUse(f"Something is being done about the {kind} '{key}' just now. Ask again in a moment.")
        try:
            yield
        finally:
            lock.release()

    @property
    def author_email(self) -> str:
        """The address in this node's commits."""
        return self.config["git.author_email"] or f"mao@{self.config.node}"

    def passed_environment(self) -> dict[str, str]:
        """Those variables of the node's own environment that tools and installers get."""
        return {name: os.environ[name] for name in self.config["runs.pass_environment"] if name in os.environ}

    def cache(self, dataset: str, url: str) -> DatasetCache:
        """What is kept of a dataset to publish to it."""
        with self._locks_guard:
            known = self._caches.get(dataset.lower())
            if known is None or known.url != fetchable(url):
                known = self._caches[dataset.lower()] = DatasetCache(self.git, self.workspace.cache(dataset), url)
            return known

    def folds(self, dataset: str) -> DatasetCache | None:
        """What is kept of a dataset, if it is for this node to fold what others put into its inbox."""
        cache = self._caches.get(dataset.lower())
        return cache if cache is not None and cache.habits.held else None

    def history(self, dataset: str, url: str) -> DatasetHistory:
        """What the commits of a dataset say they added."""
        return DatasetHistory(self.git, self.workspace.history(dataset), url)

    def tally(self) -> Tally:
        """What this node's runs have published, counted; a context that closes it."""
        return Tally(self.workspace.tally)


@contextmanager
def opened(config: Config, clock: Callable[[], datetime] = now) -> Iterator[LocalNode]:
    """The node that `config` describes, open; `clock` tells it when slots are due.

    Raises:
        NodeRunning: another process has it open.
    """
    node = LocalNode(config, clock)
    with ExitStack() as closing:
        node._open(closing)  # noqa: SLF001  # the two are one thing
        yield node
