"""Announce this node in the registry for as long as it serves, and see whether its name is another node's."""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING

from mao import __version__
from mao.catalogue import Node, node_key
from mao.errors import MaoError, NodeTaken, StaleRevision
from mao.registry import Edit
from mao.values import now

if TYPE_CHECKING:
    from datetime import datetime

    from mao.config import Config
    from mao.local_node import LocalNode

log = logging.getLogger("mao.attending")

_RENEWALS = 3
"""How often a lease is renewed before it would end: two may fail."""
_FIRST = 3.0
"""Seconds that the start of a node waits for the registry to say whether its name is free."""
_REVOKING = 2.0
"""Seconds that the end of a node waits for the registry to take its name off; its lease ends in any case."""
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # nobody binds to it here
_PAUSE = 0.2
"""Seconds between two looks at most: many changes at once are one."""


def url_of(config: Config) -> str | None:
    """Where other nodes of the cluster reach this one's API; None if they do not, or nobody has told where."""
    if config["cluster.listen"] is None or config["cluster.url"]:
        return config["cluster.url"] if config["cluster.listen"] else None
    host, port = config["cluster.listen"]
    return None if host in _ANYWHERE else f"https://{f'[{host}]' if ':' in host else host}:{port}"


def check_name(node: LocalNode) -> None:
    """Refuse to speak for a name that is another node's.

    Raises:
        NodeTaken
    """
    entry = node.mirror.get(node_key(node.config.node))
    if entry is not None:
        _check(node, entry.value)


def _check(node: LocalNode, value: bytes, since: datetime | None = None) -> None:
    """Refuse an entry of another home, or of a copy of this one: that has been serving `since` another moment."""
    other = Node.model_validate_json(value)
    if other.id != node.workspace.id() or since not in {None, other.since}:
        raise NodeTaken(
            f"Another node of the cluster is called '{other.name}': it has served since {other.since:%Y-%m-%d %H:%M:%S}"
            f" UTC, {f'at {other.url}' if other.url else 'and tells no address'}. Stop that one, or give this node"
            " another name (node.name, MAO_NODE__NAME). Until then it registers and withdraws nothing."
        )


class Announcement:
    """This node's entry in the registry, kept there by a thread: the registry may take seconds when it is away."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._key = node_key(node.config.node)
        self._since = now()
        self._announced = False
        self._renew_at = 0.0
        self._said: str | None = None
        self._first: MaoError | None = None
        self._looked = threading.Event()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="attending", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own.

        Raises:
            NodeTaken: as the registry said at once.
        """
        self._node.listen(self._woken.set)
        self._thread.start()
        if self._node.mirror.in_touch():
            self._looked.wait(_FIRST)
        if isinstance(self._first, NodeTaken):
            self.stop()
            raise self._first

    def stop(self) -> None:
        """Take the entry out of the registry, if that can be done soon."""
        self._stopping.set()
        self._woken.set()
        self._thread.join(_REVOKING)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._look()
            self._woken.wait(max(0.0, self._renew_at - time.monotonic()))
            self._stopping.wait(_PAUSE)
        try:
            if self._node.lease is not None:
                self._node.registry.revoke(self._node.lease)
        except MaoError as error:
            log.info("the node is listed until its lease ends: %s", error.detail)

    def _look(self) -> None:
        error: MaoError | None = None
        try:
            if not self._announce():
                return  # what was said of it last still holds
        except StaleRevision:  # somebody else has written it just now, or the lease has ended: look again
            self._node.lease = None
            self._woken.set()
        except MaoError as raised:
            error = raised
            self._renew_at = time.monotonic() + self._node.config["registry.lease"] / _RENEWALS
        except Exception:  # the boundary of this thread: without it the node would silently be gone
            log.exception("announcing the node failed")
            self._renew_at = time.monotonic() + self._node.config["registry.lease"]
        self._say(error)
        self._first = error
        self._looked.set()

    def _say(self, error: MaoError | None) -> None:
        """Tell the log what is the matter, once."""
        if isinstance(error, NodeTaken) and not self._looked.is_set():
            return  # `start` raises it
        code = error.code() if error else None
        if error is not None and code != self._said:
            log.warning("the node is not announced: %s", error.detail)
        elif error is None and self._said:
            log.warning("the node is announced again")
        self._said = code

    def _announce(self) -> bool:
        """Have the registry hold what is true of this node, with a lease that lives; whether it had to be asked."""
        node = self._node
        due = time.monotonic() >= self._renew_at
        if due:
            self._renew_at = time.monotonic() + node.config["registry.lease"] / _RENEWALS
            if node.lease is not None and not node.registry.renew(node.lease):
                node.lease = None  # this process was stopped, or the registry away, for too long
        value = self._described().model_dump_json().encode()
        shown = node.mirror.get(self._key)
        if node.lease is not None and shown is not None and shown.value == value:
            return due
        present = node.registry.get(self._key)
        if present is not None:
            try:
                _check(node, present.value, self._since if self._announced else None)
            except NodeTaken:
                node.lease = None
                raise
        if node.lease is not None and present is not None and present.value == value:
            return True
        if node.lease is None:
            node.lease = node.registry.grant(node.config["registry.lease"])
        revision = node.registry.write(Edit(self._key, value, present.revision if present else 0), lease=node.lease)
        self._announced = True
        node.mirror.catch_up(revision)
        return True

    def _described(self) -> Node:
        node = self._node
        installed = [json.loads(body) for _, body in node.store.bodies("installation", state="installed")]
        return Node(
            name=node.config.node,
            id=node.workspace.id(),
            url=url_of(node.config),
            version=__version__,
            tools={installation["tool"]: installation["commit"] for installation in installed},
            since=self._since,
            sandbox=node.executor.confines,
        )
