"""`mao demo`: all of it once, with a real node, real git remotes and the shipped tool, in a temporary place."""

from __future__ import annotations

import click

from mao.cli.stage import DATASET, TOOL, Node, look_at, say, temporary_place


@click.command()
@click.option("--keep", is_flag=True, help="Leave the temporary directory, and say where it is.")
@click.option("--cluster", is_flag=True, help="Three nodes that share a registry in etcd, which must be installed.")
def demo(*, keep: bool, cluster: bool) -> None:
    """Show what MAO does: start a node, register, install and run a tool, publish its data and clone it.

    Everything happens in a temporary directory, on free ports of this machine, and is gone afterwards. Each step
    is a command that works just so on a node of your own.
    """
    with temporary_place(keep=keep) as place:
        if cluster:
            from mao.cli.demo_cluster import show

            show(place)
            return
        node = Node(place, "demo")
        with node.served():
            _tell_all(node)
        if keep:
            settings = " ".join(f"{name}={text}" for name, text in sorted(node.settings.items()))
            say(f"Everything is in {place}. To serve that node again:\n\n  {settings} mao serve")


def _tell_all(node: Node) -> None:
    repository = node.tool_repository()
    say("A tool is a git repository with a mao.yaml. Its commit is pinned when it is registered, for all nodes.")
    node.run("tool", "register", str(repository))
    say("Installing clones it at that commit, runs its installer, and clones its dataset.")
    node.run("tool", "install", TOOL)
    say("What can it do?")
    node.run("tool", "help", TOOL)
    say("Run it. What stands after -- goes to the tool exactly as it is; its output comes as it is printed.")
    node.run("tool", "run", TOOL, "Census", "--wait", "--", "p*", "true")
    say("Its data was committed and pushed to the dataset. Anybody on a node can have that, without the tool.")
    look_at(node, node.run("dataset", "clone", DATASET))
    say("And what the node knows of its runs:")
    node.run("run", "list")
    say(
        "That is all. To go on, with a node of your own:\n\n"
        "  mao serve                    serves a node in ~/mao\n"
        "  mao definition new           begins a mao.yaml for your tool\n"
        "  mao tool register URL        makes it known\n"
        "  mao doctor                   checks this machine\n"
    )
