"""This node's member among those of the cluster's etcd: begin with it, add it, take it out."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zlib import crc32

from mao.errors import Conflict, MaoError, NodeUnreachable, OutsideFailed, RegistryUnavailable
from mao.etcd import members as etcd
from mao.etcd_program import program
from mao.local_node import etcd_client
from mao.seating import MOST_MEMBERS, Wish, who_decides, wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mao.catalogue import Authority
    from mao.cluster_directory import ClusterDirectory
    from mao.config import Config
    from mao.etcd.client import EtcdClient
    from mao.etcd.members import Member
    from mao.etcd_member import EtcdMember, Listening

_PATIENCE = 60.0
"""Seconds for a member to come up, or for its turn and its promotion."""
_SETTLING = 10.0
"""Seconds in which a member that is to go is let go: etcd refuses it until the others were in touch for five."""
_PAUSE = 0.2


def found(directory: ClusterDirectory, config: Config, at: Listening) -> None:
    """Begin a cluster's etcd with this node's member alone, and return when it answers.

    Raises:
        OutsideFailed: etcd is missing, or does not come up; with the end of its log.
    """
    program()
    member = directory.member
    if not member.has_data:
        member.configure(
            config.node,
            at,
            directory.identity,
            {config.node: at.peer_url},
            token=directory.authority_fingerprint(),
            founding=True,
        )
    member.start()
    with client_of(config) as client:
        _wait(client, member, at.client_address)


def enlist(
    config: Config,
    directory: ClusterDirectory,
    at: Listening,
    *,
    as_member: bool,
    tell: Callable[[str], object],
) -> bool:
    """Make this node's member one of the cluster's, unless there are enough; whether it is one.

    Args:
        config: of the node, with the cluster's registry.
        directory: of its cluster.
        at: where the member is reached.
        as_member: whether it may become one.
        tell: is told in words what goes on.

    Raises:
        Conflict: another member has the address.
        RegistryUnavailable: the members are too few to take another one.
        OutsideFailed: etcd is missing, or does not come up; with the end of its log.
    """
    member = directory.member
    with client_of(config) as client:
        listed = etcd.list_members(client)
        change = partial(wish, config, client, who_decides(client))
        mine = own_member(listed, at, config.node)
        lost = [] if member.has_data else _lost(listed, config.node, member.listening(), at)
        mine = None if mine in lost else mine
        stay = len(listed) - len(lost)
        as_member = mine is not None or (as_member and stay < MOST_MEMBERS)
        if as_member:
            program()
        for one in lost:
            _remove(change, Wish(what="remove", member=one.id))
        if not as_member:
            tell(f"The cluster's etcd has {stay} members; this node is a client of them.")
            return False
        if mine is None:
            member.stop()
            member.set_data_aside()  # of a member that was removed: it is of no use any more
            mine, listed = _added(change, at, tell)
        if not member.has_data:
            members = {one.name: one.peer_urls[0] for one in listed if one.name} | {config.node: at.peer_url}
            member.configure(
                config.node, at, directory.identity, members, token=directory.authority_fingerprint(), founding=False
            )
        member.start()
        _promote(change, member, mine.id, tell)
    return True


def endpoints(config: Config, own: str | None) -> list[str]:
    """Where clients reach the members, this node's own first."""
    with client_of(config) as client:
        return addresses(etcd.list_members(client), own, config.node)


def addresses(listed: Sequence[Member], own: str | None, name: str) -> list[str]:
    """Where the node `name` reaches these members, as in `registry.url`: its own first.

    A client begins at a place that follows from its name, as the first is asked first and all would ask the same one.
    """
    found = sorted(urlsplit(url).netloc for member in listed for url in member.client_urls)
    if own is None:
        turn = crc32(name.encode()) % max(1, len(found))
        return found[turn:] + found[:turn]
    return [own, *(address for address in found if address != own)]


def check_leaving(config: Config, directory: ClusterDirectory, *, others: Sequence[str], force: bool) -> bool:
    """Whether this node's member is the last one.

    Args:
        config: of the node.
        directory: of its cluster.
        others: the other nodes that live.
        force: whether they may be left without the registry.

    Raises:
        Conflict: it is the last one, and they would be; or too few others are up for them to go on without it.
    """
    at = directory.member.listening()
    if at is None:
        return False
    with client_of(config) as client:
        listed = etcd.list_members(client)
        mine = own_member(listed, at, config.node)
        voters = [member for member in listed if member is not mine and not member.learner]
        if mine is None or mine.learner:
            return False
        if not voters:
            if others and not force:
                raise Conflict(
                    f"This node has the cluster's last member of etcd: without it {', '.join(others)} would have no"
                    " registry. Let those leave first, or say --force. Nothing was changed."
                )
            return True
        down = [member for member in voters if not _answers(client, member)]
        if len(voters) - len(down) < len(voters) // 2 + 1:
            raise Conflict(
                f"The members of etcd on {', '.join(member.name for member in down)} do not answer: without this one"
                " the cluster would have no quorum, and take nothing more. Start them first. Nothing was changed."
            )
    return False


def resign(config: Config, directory: ClusterDirectory, decides: Authority | None, *, last: bool, force: bool) -> None:
    """Take this node and its member out of the cluster, unless it is the last one, and stop it.

    Args:
        config: of the node.
        directory: of its cluster.
        decides: the node that changes members.
        last: whether the member is the last one.
        force: also if that node does not answer; then the member is still listed, and its certificates are valid.
    """
    if not last:
        with client_of(config) as client:
            try:
                _remove(partial(wish, config, client, decides), Wish(what="leave"))
            except NodeUnreachable:
                if not force:
                    raise
    directory.member.stop()


@contextmanager
def client_of(config: Config) -> Iterator[EtcdClient]:
    client = etcd_client(config)
    try:
        yield client
    finally:
        client.close()


def own_member(listed: Sequence[Member], at: Listening, name: str) -> Member | None:
    mine = next((member for member in listed if at.peer_url in member.peer_urls), None)
    if mine is not None and mine.name not in {"", name}:
        raise Conflict(
            f"The member of etcd on '{mine.name}' is at {at.peer_url} already. Give this one another address or port"
            " (--address, --etcd-port, --peer-port). Nothing was changed."
        )
    return mine


def _lost(listed: Sequence[Member], name: str, before: Listening | None, at: Listening) -> list[Member]:
    """Members that this node had and has no data of, and that would be counted for ever: etcd wants it to come anew.

    Args:
        listed: of the cluster.
        name: of this node; no other one has it, as it was given to this one.
        before: where it began to join, if it did so before.
        at: where it is to be.
    """
    begun = {before.peer_url} - {at.peer_url} if before else set()
    return [one for one in listed if one.name == name or (not one.name and begun & set(one.peer_urls))]


def _answers(client: EtcdClient, member: Member) -> bool:
    try:
        return any(etcd.status(client, urlsplit(url).netloc).leader for url in member.client_urls)
    except MaoError:
        return False


def _wait(client: EtcdClient, member: EtcdMember, address: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if etcd.status(client, address).leader and member.is_alive():
                return
        except RegistryUnavailable:
            pass
        _check_alive(member)
        if time.monotonic() > deadline:
            raise OutsideFailed(f"etcd was started, but does not answer at {address}. {member.last_words()}")
        time.sleep(_PAUSE)


def _check_alive(member: EtcdMember) -> None:
    if not member.is_alive():
        raise OutsideFailed(
            f"This node's member of etcd has ended. {member.last_words()} Mend that, and say it again: it goes on."
        )


def _remove(change: Callable[[Wish], list[Member]], wished: Wish) -> None:
    deadline = time.monotonic() + _SETTLING
    while True:
        try:
            change(wished)
        except RegistryUnavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_PAUSE)


def _added(
    change: Callable[[Wish], list[Member]], at: Listening, tell: Callable[[str], object]
) -> tuple[Member, list[Member]]:
    """This node's member as a learner; etcd takes one learner at a time, so another node may be before us."""
    deadline = time.monotonic() + _PATIENCE
    told = False
    while True:
        try:
            listed = change(Wish(what="add", peer_url=at.peer_url))
            return next(member for member in listed if at.peer_url in member.peer_urls), listed
        except (OutsideFailed, RegistryUnavailable):
            if time.monotonic() > deadline:
                raise
        if not told:
            tell("The cluster's etcd takes no other member at this moment; asking again for a minute.")
        told = True
        time.sleep(_PAUSE)


def _promote(
    change: Callable[[Wish], list[Member]], member: EtcdMember, member_id: int, tell: Callable[[str], object]
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            change(Wish(what="promote", member=member_id))
        except RegistryUnavailable:
            pass
        else:
            return
        _check_alive(member)
        if time.monotonic() > deadline:
            tell("This node's member of etcd still learns what the others know; `mao serve` sees to the rest.")
            return
        time.sleep(_PAUSE)
