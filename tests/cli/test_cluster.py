from __future__ import annotations

from typing import TYPE_CHECKING

from cli.place import Mao, alone
from mao.cluster_directory import ClusterDirectory
from mao.invitation import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.place import Place
    from support import ServedNode


def test_what_needs_a_cluster_says_that_there_is_none(tmp_path: Path, place: Place) -> None:
    home = str(tmp_path / "home")
    for words, status, said in (
        (("leave",), 4, "in no cluster"),
        (("member",), 3, "no member of etcd"),
        (("join", "nothing"), 7, "only a part of one"),
    ):
        done = alone("cluster", *words, MAO_NODE__HOME=home)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    for verb in ("status", "invite"):
        done = place.mao("cluster", verb)
        assert (done.returncode, "`mao cluster init` begins one" in done.stderr) == (4, True), done.stderr


def test_a_served_node_begins_no_cluster(place: Place) -> None:
    done = place.mao("cluster", "init", "--address", "127.0.0.1")
    assert (done.returncode, "served by another process" in done.stderr) == (4, True)
    assert not ClusterDirectory(place.node.home).path.exists()


def test_an_invitation_is_one_line_on_stdout_and_its_end_is_told_beside(serve: Callable[..., ServedNode]) -> None:
    node = serve(start=False)
    directory = ClusterDirectory(node.home)
    directory.prepare()
    directory.found_authority("cluster")
    directory.write_settings({"cluster.url": "https://[fd00::1]:8443"})
    mao = Mao(node.start())
    done = mao.ok("cluster", "invite", "--for", "beta")
    assert parse(done.stdout).host == "fd00::1"
    assert "by one node, 'beta'." in done.stderr
    assert mao.json("cluster", "invite", "--valid", "2")["name"] is None
    assert mao("cluster", "invite", "--valid", "0").returncode == 2
