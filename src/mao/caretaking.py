"""Look after this node's part in its cluster's etcd: its member, and what it knows of the others."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from mao.catalogue import REVOKED, Revoked
from mao.cluster_directory import ClusterDirectory
from mao.errors import Conflict, MaoError, OutsideFailed, RegistryUnavailable
from mao.workspace import write_durably

if TYPE_CHECKING:
    from mao.etcd_member import EtcdMember, Listening
    from mao.local_node import LocalNode
    from mao.registry import Entry

log = logging.getLogger("mao.caretaking")

_OF_A_MEMBER, _OF_A_CLIENT = 10.0, 60.0
"""Seconds between two looks."""


class Caretaker:
    """Starts this node's member of etcd when it has died, ends its learning, and keeps where the members are.

    Args:
        node: whose member it is, if it has one.
    """

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._directory = ClusterDirectory(node.config.home)
        self._said = ""
        self._revoked: Entry | None = None
        node.listen(self._take_revoked)  # a key that was stolen is not to wait

    def look(self) -> float:
        """See what there is to do, which may take seconds while etcd is away; seconds until the next look."""
        words = ""
        at = self._directory.member.listening()
        if at is not None or self._directory.settings.exists():
            try:
                self._look(at)
            except MaoError as error:
                words = error.detail
        if words and words != self._said:
            log.warning("%s", words)
        self._said = words
        return _OF_A_CLIENT if at is None else _OF_A_MEMBER

    def _look(self, at: Listening | None) -> None:
        # They load grpc, which a node alone does not need.
        from mao import enlisting  # noqa: PLC0415
        from mao.etcd import members as etcd  # noqa: PLC0415
        from mao.seating import Wish, who_decides, wish  # noqa: PLC0415

        member = self._directory.member
        config = self._node.config
        with enlisting.client_of(config) as client:
            try:
                listed = etcd.list_members(client)
            except RegistryUnavailable:
                if at is not None:
                    _have_run(member)  # it may be the one that the others wait for
                return
            self._take_revoked()
            if at is not None:
                mine = enlisting.own_member(listed, at, config.node)
                if mine is None:
                    raise Conflict(
                        "This node's member of etcd was removed from the cluster, and is not started: the node is a"
                        " client of the others. `mao cluster leave` and `mao cluster join` make it a member again."
                    )
                _have_run(member)
                if mine.learner:
                    wish(config, client, who_decides(client), Wish(what="promote", member=mine.id))
        if self._directory.settings.exists():
            own = at.client_address if at else None
            url = self._directory.set_registry(enlisting.addresses(listed, own, config.node))
            if url != config["registry.url"]:
                self._node.reach(url)

    def _take_revoked(self) -> None:
        """Have this node's member of etcd know which certificates were revoked: it reads that at each connection."""
        with suppress(MaoError), self._node.locked("cluster", "revoked"):
            entry = self._node.mirror.get(REVOKED)
            if entry is not None and entry is not self._revoked and self._directory.member_certificate.exists():
                write_durably(self._directory.revoked, Revoked.model_validate_json(entry.value).list.encode())
                self._revoked = entry


def _have_run(member: EtcdMember) -> None:
    """Start it if it does not run.

    Raises:
        OutsideFailed: it had ended, with its last words: it may end again.
    """
    if not member.is_alive():
        words = member.last_words()
        member.start()
        raise OutsideFailed(f"This node's member of etcd had ended, and was started again. {words}")
