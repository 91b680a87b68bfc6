"""`mao demo --cluster`: three nodes that share a registry in etcd, on one machine."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mao.cli.stage import DATASET, TOOL, Node, free_port, look_at, say

if TYPE_CHECKING:
    from pathlib import Path


def show(place: Path) -> None:
    """Make a cluster of three nodes; register on one, install and run on the second, clone on the third."""
    a, b, c = (
        Node(place, name, prompt=f"{name}$ ", MAO_CLUSTER__RUNS_FROM="a" if name == "b" else "") for name in "abc"
    )
    with ExitStack() as closing:
        _make_cluster(a, (b, c), closing)
        _use_it(a, b, c)


def _make_cluster(first: Node, others: tuple[Node, ...], closing: ExitStack) -> None:
    say("The first node makes the cluster: its certificates, and a member of etcd.")
    closing.callback(_end_member, first)
    first.run("cluster", "init", *_addresses())
    closing.enter_context(first.served())
    say("The others join it. An invitation is good for one node, and for a day.")
    for other in others:
        invitation = first.run("cluster", "invite").strip()
        closing.callback(_end_member, other)
        other.run("cluster", "join", invitation, *_addresses())
        closing.enter_context(other.served())
    say("All three hold the registry now, so one may fail. Every node sees the others.")
    others[-1].run("cluster", "status")
    others[-1].run("node", "list")


def _addresses() -> list[str]:
    ports = {"--etcd-port": free_port(), "--peer-port": free_port(), "--cluster-port": free_port()}
    return ["--address", "127.0.0.1", *(word for option, port in ports.items() for word in (option, str(port)))]


def _use_it(a: Node, b: Node, c: Node) -> None:
    repository = a.tool_repository()
    say("A tool that is registered on one node ...")
    a.run("tool", "register", str(repository))
    say("... is found and installed on another.")
    b.run("tool", "search", "census")
    b.run("tool", "install", TOOL)
    say("It runs there, also when it is asked for from elsewhere: node 'b' lets the users of 'a' do that.")
    a.run("tool", "run", "--node", "b", TOOL, "Census", "--wait", "--", "p*", "true")
    say("Its data is in the dataset, which any node can clone.")
    look_at(c, c.run("dataset", "clone", DATASET))
    say("That is all. 'mao cluster init' on your first machine begins a cluster of your own.")


def _end_member(node: Node) -> None:
    """End the member of etcd that the node has started; it would outlive the demo, as it outlives the node."""
    from mao.cluster_directory import ClusterDirectory

    ClusterDirectory(node.home).member.stop()
