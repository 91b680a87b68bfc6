"""`mao cluster`: begin a cluster, join it, leave it, see how it is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import click

from mao.cli.options import asks_node
from mao.cli.output import Output, moment, say
from mao.wording import seconds, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mao.cli.asking import Client
    from mao.clustering import Joined
    from mao.etcd_member import Listening

_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): a datagram socket that is connected to it sends nothing."""


@click.group()
def cluster() -> None:
    """Make one registry for nodes on many machines: begin a cluster, join it, leave it, see how it is.

    `init`, `join` and `leave` are said while the node is not served; `mao serve` starts it afterwards.
    """


def _place(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--address", metavar="HOST", help="Where other machines reach this one, by name or number."),
        click.option("--etcd-port", default=2379, show_default=True, help="Port of etcd for all nodes."),
        click.option("--peer-port", default=2380, show_default=True, help="Port of etcd for its other members."),
        click.option("--cluster-port", default=8443, show_default=True, help="Port of this node for other nodes."),
    ):
        command = option(command)
    return command


@cluster.command()
@_place
def init(address: str | None, etcd_port: int, peer_port: int, cluster_port: int) -> None:
    """Begin a cluster with this node.

    It makes the cluster's authority, starts a member of etcd for this node, and moves there what is registered here.
    If it is interrupted, say it again: it goes on.
    """
    from mao import config
    from mao.admitting import invite
    from mao.clustering import init

    done = init(config.load(), _listening(address, etcd_port, peer_port), cluster_port, say)
    _tell(done)
    say(
        f"Keep a copy of {done.config.home / 'cluster' / 'authority.key'} in a safe place: without it no node can join."
    )
    say("Now start the node (`mao serve`), and on the other machine say, within 24 hours:")
    click.echo(f"mao cluster join {invite(done.config).invitation}")


@cluster.command()
@click.argument("invitation")
@_place
@click.option("--client", is_flag=True, help="Make this node a client of etcd, without a member of its own.")
def join(
    invitation: str, address: str | None, etcd_port: int, peer_port: int, cluster_port: int, *, client: bool
) -> None:
    """Join the cluster that INVITATION is of, as `mao cluster invite` prints it.

    The first five nodes have a member of etcd each, further ones are clients of these. What is registered here goes
    along. If it is interrupted, say it again: it goes on.
    """
    from mao import config
    from mao.clustering import join

    at = _listening(address, etcd_port, peer_port)
    done = join(config.load(), invitation, at, cluster_port, as_member=not client, tell=say)
    _tell(done)
    say("Now start the node (`mao serve`).")


@cluster.command()
@click.option("--for", "name", metavar="NAME", help="Only for the node of this name; it may be one that was lost.")
@click.option("--valid", "hours", metavar="HOURS", default=24.0, show_default=True, help="How long it can be used.")
@asks_node
def invite(client: Client, output: Output, name: str | None, hours: float) -> None:
    """Print an invitation: what one other node needs to join, once.

    Whoever has it can join the cluster: give it to nobody else.
    """
    made = client.post("/cluster/invitations", {"name": name, "hours": hours})
    if output.is_table:
        click.echo(made["invitation"])
        say(f"It can be used until {moment(made['expires_at'])}, by one node" + (f", '{name}'." if name else "."))
    else:
        output.json(made)


@cluster.command()
@click.option("--administrator", "administrators", metavar="NODE", multiple=True, help="May change what others made.")
def secure(administrators: tuple[str, ...]) -> None:
    """Let each node write in the registry what is its own, and nothing else.

    A cluster is so from its beginning; this is for one that an earlier version began, for a node that got the
    authority's key, and to name administrators. Said on the node with that key. It can be said again.
    """
    from mao import config, granting

    granting.secure(config.load(), administrators)
    say("Each node can write what it registered itself, and what all share. See docs/explanation/stolen-keys.md.")


@cluster.command()
@click.argument("node")
def revoke(node: str) -> None:
    """End what the holder of NODE's key may do: a machine was stolen, or its key was copied.

    Said on the node with the authority's key. What NODE registered stays. It can be invited again, by its name.
    """
    from mao import config, granting

    count = granting.revoke(config.load(), node)
    say(f"Node '{node}' has no rights any more; {count} certificates are revoked.")
    say("Nodes take that in within seconds while they are served: see that all are which have a member of etcd.")


@cluster.command()
@click.argument("node")
@click.option("--administrator", is_flag=True, help="Also to change what other nodes registered.")
def roles(node: str, *, administrator: bool) -> None:
    """Print the commands that give NODE its rights in an etcd which somebody else looks after.

    In a cluster of `mao cluster init` nobody has to say them.
    """
    from mao.roles import commands

    for line in commands(node, administrator=administrator):
        click.echo(line)


@cluster.command()
@asks_node
def status(client: Client, output: Output) -> None:
    """Show how the cluster is: its members, its nodes' clocks, its certificates, and what to do about what is wrong."""
    state = client.get("/cluster", timeout=60)
    if not output.is_table:
        output.json(state)
        return
    output.values(state["members"], _MEMBER, "")
    if state["clocks"]:
        click.echo()
        output.values(state["clocks"], _CLOCK, "")
    click.echo()
    output.value(state, _state)
    for words in state["advice"]:
        say(f"- {words}")


def _state(state: Any) -> Iterator[tuple[str, str]]:
    yield "quorum", "ok" if state["quorum"] else "fail: the registry takes nothing"
    age = state["registry_age"]
    yield "registry", "not reached yet" if age is None else f"in touch {seconds(age)} ago"
    yield "authority", "its key is here" if state["authority"] else "its key is on another node"
    yield "writing", _WRITING[state["secured"]]
    yield "certificate", f"of this node, expires {moment(state['certificate_expires_at'])}"
    yield "", f"of the authority, expires {moment(state['authority_expires_at'])}"
    yield "advice", "below" if state["advice"] else "none: all is well"


_WRITING = {
    True: "each node what is its own",
    False: "fail: every node can write everything",
    None: "as that etcd lets this node",
}
_MEMBER: dict[str, Callable[[Any], str]] = {
    "MEMBER": lambda m: m["name"] or "(not started)",
    "STATE": lambda m: "fail" if m["error"] else "leader" if m["leader"] else "learner" if m["learner"] else "ok",
    "URL": lambda m: m["url"] or "",
    "VERSION": lambda m: m["version"] or "",
    "SIZE": lambda m: f"{size(m['size'])} of {size(m['quota'])}" if m["size"] is not None else "",
    "ANSWERS IN": lambda m: f"{m['seconds'] * 1000:.0f} ms" if m["seconds"] is not None else "",
}
_CLOCK: dict[str, Callable[[Any], str]] = {
    "NODE": lambda c: c["node"],
    "URL": lambda c: c["url"] or "",
    "CLOCK": lambda c: "fail" if c["error"] else f"{c['offset']:+.3f} s, to {c['within']:.3f} s",
}


@cluster.command()
@click.option("--force", is_flag=True, help="Also where other nodes are left without the registry.")
def leave(*, force: bool) -> None:
    """Take this node out of its cluster.

    What it registered, and what its tools, clones and runs need, is in its own registry afterwards; in the cluster it
    stays. Its certificates and the files of its member are set aside, not deleted. If it is interrupted, say it again.
    """
    from mao import config
    from mao.clustering import leave

    done = leave(config.load(), force=force, tell=say)
    say(f"The node is in no cluster any more. Certificates and the member's files are in {done.aside}.")
    if done.had_authority:
        say(
            "The authority's key is among them. Put cluster/authority.key and cluster/names into the home of a node"
            " that stays, so that it can invite."
        )


@cluster.command()
def member() -> None:
    """Be this node's member of etcd, for a service manager that looks after it.

    It goes on until it is stopped. `mao serve` starts it by itself where nothing else does.
    """
    from mao import config
    from mao.cluster_directory import ClusterDirectory

    ClusterDirectory(config.load().home).member.become()


def _listening(address: str | None, etcd_port: int, peer_port: int) -> Listening:
    from mao.etcd_member import Listening

    return Listening(address or _own_address(), etcd_port, peer_port)


def _own_address() -> str:
    """The machine's address towards the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            found = str(probe.getsockname()[0])
        except OSError:
            found = "127.0.0.1"
    if found.startswith("127."):
        say("This machine has no address towards a network: only nodes on this machine can join (see --address).")
    return found


def _tell(done: Joined) -> None:
    say(f"{done.moved.registered} tools and datasets that were registered here are in the cluster's registry.")
    for words in done.moved.taken:
        say(words)
    if done.moved.taken:
        say("What was not registered in the cluster is kept here, and there again when the node leaves the cluster.")
    role = "has a member of its etcd" if done.is_member else "is a client of its etcd"
    say(f"Node '{done.config.node}' is in the cluster and {role}.")
