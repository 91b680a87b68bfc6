"""A cluster is begun, joined and left with real members of etcd; each node is a home of its own on this machine."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from crashing import STEPS_OF_CLUSTERS
from etcd_cluster import need_etcd
from mao import certificates
from mao.web.listening import listen
from sites import Site, tool_at
from support import ServedNode, eventually, free_port
from wrong_clock import wrong_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make nodes, each with ports of its own."""
    need_etcd()
    made: list[Site] = []

    def make(name: str) -> Site:
        made.append(Site(ServedNode(tmp_path / f"home-{name}", name)))
        return made[-1]

    yield make
    for one in made:
        one.node.stop()
    for one in made:
        one.directory.member.stop()


def settled(site: Site, members: int) -> Any:
    """How the cluster is once nothing is wrong but an even number of members."""

    def looked() -> Any:
        state = site.node.api("GET", "/cluster")
        well = [words for words in state["advice"] if "bear no more losses" not in words] == []
        return state if well and len(state["members"]) == members else None

    return eventually(looked, f"all is well with {members} members")


def test_three_nodes_become_a_cluster_and_part_again_without_losing_a_name_a_run_or_an_installation(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    alpha.node.start().install(tool_at(tmp_path, "first"), "first")
    run = alpha.node.ended(alpha.node.run(tool="first"))
    alpha.node.stop()
    beta.node.start().install(tool_at(tmp_path, "second"), "second")
    before = beta.node.ended(beta.node.run(tool="second"))
    beta.node.stop()

    invitation = alpha.init()
    assert "2 tools and datasets" in beta.join(invitation)
    gamma.join(alpha.invitation("--valid", "1"))
    everything = ["first", "first-data", "second", "second-data"]
    for one in (alpha, beta, gamma):
        eventually(partial(one.lists, everything), f"{one.node.name} lists what the others registered")
    assert alpha.node.api("GET", f"/runs/{run['id']}")["state"] == "succeeded"
    assert alpha.node.ended(alpha.node.run(tool="first"))["state"] == "succeeded"

    state = settled(gamma, 3)
    assert sorted(member["name"] for member in state["members"]) == ["alpha", "beta", "gamma"]
    assert sum(member["leader"] for member in state["members"]) == 1
    assert (state["quorum"], state["advice"], state["authority"]) == (True, [], False)
    assert {clock["node"] for clock in state["clocks"]} == {"alpha", "beta"}
    # It is one clock; times are told in milliseconds.
    assert all(abs(clock["offset"]) <= clock["within"] + 0.005 for clock in state["clocks"])
    for port in (beta.ports[0], gamma.ports[0]):
        eventually(lambda: str(port) in alpha.directory.settings.read_text(), "alpha knows the members")  # noqa: B023  # asked at once

    gamma.node.api("POST", "/installations", {"tool": "second"})
    assert gamma.node.installed("second")["state"] == "installed"
    assert "2 registrations are in this node's own registry" in gamma.leave()
    settled(alpha, 2)
    gamma.node.start()
    assert gamma.names() == ["second", "second-data"]
    assert gamma.node.ended(gamma.node.run(tool="second"))["state"] == "succeeded"

    beta.leave()
    beta.node.start()
    assert beta.names() == ["second", "second-data"]
    assert beta.node.api("GET", f"/runs/{before['id']}")["state"] == "succeeded"
    assert settled(alpha, 1)["quorum"]
    assert alpha.names() == everything
    assert "authority's key is among them" in alpha.leave()
    alpha.node.start()
    assert alpha.names() == ["first", "first-data"]
    assert alpha.node.api("GET", f"/runs/{run['id']}")["state"] == "succeeded"
    assert alpha.node.ended(alpha.node.run(tool="first"))["state"] == "succeeded"


def test_a_node_that_has_left_joins_again_when_invited_by_its_name(site: Callable[..., Site], tmp_path: Path) -> None:
    alpha, beta = site("alpha"), site("beta")
    beta.join(alpha.init())
    beta.node.api("POST", "/tools", {"url": str(tool_at(tmp_path, "second"))})
    beta.leave()
    beta.refused("cluster", "join", alpha.invitation(), *beta.place, words="`mao cluster invite --for beta`", status=4)
    beta.join(alpha.invitation("--for", "beta"))
    settled(alpha, 2)
    assert beta.names() == alpha.names() == ["second", "second-data"]


def test_a_name_that_the_cluster_has_is_reported_and_not_overwritten(site: Callable[..., Site], tmp_path: Path) -> None:
    alpha, beta = site("alpha"), site("beta")
    alpha.node.start().api("POST", "/tools", {"url": str(tool_at(tmp_path, "probe"))})
    alpha.node.stop()
    beta.node.start().api("POST", "/tools", {"url": str(tool_at(tmp_path, "probe", "-of-beta"))})
    beta.node.stop()
    said = beta.join(alpha.init())
    assert "The dataset 'probe-data' is registered in the cluster by node 'alpha'" in said
    assert "The tool 'probe' was not registered in the cluster" in said
    assert beta.node.api("GET", "/tools/probe")["registered_by"] == "alpha"
    beta.leave()
    beta.node.start()
    assert beta.node.api("GET", "/tools/probe")["registered_by"] == "beta"


def test_a_member_that_is_killed_is_told_of_and_started_again(site: Callable[..., Site]) -> None:
    alpha, beta = site("alpha"), site("beta")
    beta.join(alpha.init())
    settled(alpha, 2)
    beta.node.stop()
    beta.kill_member()
    state = alpha.status()
    assert not state["quorum"]
    assert any("no quorum: 2 of its 2 members" in words for words in state["advice"])
    assert any("does not answer" in words and str(beta.ports[0]) in words for words in state["advice"])
    beta.node.start()
    settled(alpha, 2)
    beta.kill_member()
    settled(alpha, 2)
    assert beta.directory.member.is_alive()


def test_a_node_finds_members_that_came_later_without_being_started_again(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    beta.join(alpha.init())
    gamma.join(alpha.invitation())
    settled(alpha, 3)
    known = [f"127.0.0.1:{one.ports[0]}" for one in (alpha, beta, gamma)]
    eventually(lambda: all(one in alpha.directory.settings.read_text() for one in known))
    alpha.directory.member.configuration.rename(alpha.node.home / "lost")  # so that nobody starts it
    alpha.kill_member()
    alpha.node.api("POST", "/tools", {"url": str(tool_at(tmp_path, "first"))})
    state = alpha.status()
    assert state["quorum"]
    assert sorted(member["name"] for member in state["members"]) == ["alpha", "beta", "gamma"]
    eventually(lambda: gamma.lists(["first", "first-data"]))


def test_why_a_member_does_not_come_up_is_in_the_log_of_its_node(site: Callable[..., Site]) -> None:
    alpha = site("alpha")
    alpha.init()
    alpha.node.stop()
    alpha.directory.member.stop()
    log = alpha.node.home.parent / f"{alpha.node.home.name}.log"
    with listen("127.0.0.1", alpha.ports[0]):
        alpha.node.start()
        eventually(lambda: "was started again. The end of" in log.read_text())
        eventually(lambda: "bind: address already in use" in log.read_text())
    settled(alpha, 1)


def test_the_server_of_a_member_answers_how_the_cluster_is_while_etcd_answers_nothing(
    site: Callable[..., Site],
) -> None:
    alpha = site("alpha")
    alpha.init()
    pid = alpha.directory.member.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # one that is killed is started again
    state = alpha.status()
    assert (state["quorum"], state["members"][0]["error"] is not None) == (False, True)
    done = alpha.ok("cluster", "status")
    assert "fail" in done.stdout
    os.kill(pid, signal.SIGCONT)
    settled(alpha, 1)


def test_an_invitation_is_for_one_node_and_of_one_cluster(site: Callable[..., Site]) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    invitation = alpha.init()
    beta.join(invitation, serve=False)
    gamma.refused("cluster", "join", invitation, *gamma.place, words="Another node, 'beta', has used", status=7)
    fresh = alpha.invitation()
    address, fingerprint, secret = fresh.split("/")
    other = certificates.fingerprint(certificates.authority("other")[1])
    wrong = f"{address}/{other}/{secret}"
    gamma.refused("cluster", "join", wrong, *gamma.place, words="The secret was not sent", status=7)
    unknown = f"{address}/{fingerprint}/{'x' * 32}"
    gamma.refused("cluster", "join", unknown, *gamma.place, words="made no such invitation", status=7)
    gamma.refused("cluster", "join", fresh[:50], *gamma.place, words="only a part of one", status=7)
    beta.refused("cluster", "join", wrong, *beta.place, words="another cluster", status=7)
    alpha.refused("cluster", "join", fresh, *alpha.place, words="served by another process")
    assert not gamma.directory.settings.exists()
    gamma.join(fresh, serve=False)


def test_who_joins_with_a_wrong_clock_is_told_to_set_it(site: Callable[..., Site], tmp_path: Path) -> None:
    alpha, beta = site("alpha"), site("beta")
    invitation = alpha.init()
    for days, words in ((-3, "not yet valid"), (5000, "expired")):
        wrong = wrong_clock(tmp_path, days * 86_400)
        said = f"{words}. Is the clock of this machine right?"
        beta.refused("cluster", "join", invitation, *beta.place, words=said, status=5, **wrong)
    beta.join(invitation)


def test_who_stands_between_with_the_right_authority_but_no_certificate_gets_no_secret(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    alpha, beta = site("alpha"), site("beta")
    invitation = alpha.init()
    _, fingerprint, secret = invitation.split("/")
    key, certificate = certificates.authority("127.0.0.1")
    (tmp_path / "pair.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    body = json.dumps({"certificate": alpha.directory.authority.read_text()}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    heard = b""

    def between(listening: Any) -> None:
        nonlocal heard
        for _ in range(2):
            connection, _ = listening.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as shaken:
                    heard += shaken.recv(65536)
                    shaken.sendall(answer)
            except OSError:
                connection.close()

    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=between, args=(listening,))
        thread.start()
        forged = f"127.0.0.1:{listening.getsockname()[1]}/{fingerprint}/{secret}"
        beta.refused("cluster", "join", forged, *beta.place, words="does not prove to be of the cluster", status=5)
        thread.join()
    assert heard.startswith(b"GET ")
    assert secret.encode() not in heard


def test_a_setting_of_a_person_is_not_overruled(site: Callable[..., Site]) -> None:
    alpha = site("alpha")
    words = "MAO_REGISTRY__URL sets registry.url, which goes before"
    alpha.refused("cluster", "init", *alpha.place, words=words, MAO_REGISTRY__URL="etcd://10.0.0.1:2379")
    alpha.refused("cluster", "join", "x", *alpha.place, words="no invitation", status=7)
    assert not alpha.directory.path.exists()


def test_a_node_may_be_a_client_and_is_one_past_five_members(site: Callable[..., Site]) -> None:
    alpha = site("alpha")
    alpha.init()
    client = site("client")
    assert "is a client of its etcd" in client.join(alpha.invitation(), "--client")
    assert not client.directory.member.is_configured
    for name in ("beta", "gamma", "delta", "epsilon"):
        assert "has a member" in site(name).join(alpha.invitation(), serve=False)
    sixth = site("zeta")
    assert "The cluster's etcd has 5 members" in sixth.join(alpha.invitation(), serve=False)
    assert len(alpha.status()["members"]) == 5
    assert client.leave()
    assert len(alpha.status()["members"]) == 5


def test_nobody_leaves_the_others_without_a_registry_unless_told_to(site: Callable[..., Site]) -> None:
    alpha, beta, client = site("alpha"), site("beta"), site("client")
    beta.join(alpha.init())
    client.join(alpha.invitation(), "--client")
    settled(alpha, 2)
    beta.leave()
    alpha.refused("cluster", "leave", words="is served by another process")
    alpha.node.stop()
    alpha.refused("cluster", "leave", words="client would have no registry")
    assert "in no cluster any more" in alpha.leave("--force")
    beta.refused("cluster", "leave", words="in no cluster")


def test_a_member_does_not_leave_where_that_would_break_the_quorum(site: Callable[..., Site]) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    beta.join(alpha.init(), serve=False)
    gamma.join(alpha.invitation(), serve=False)
    settled(alpha, 3)
    gamma.kill_member()
    beta.refused("cluster", "leave", words="gamma do not answer")
    gamma.directory.member.start()
    settled(alpha, 3)
    assert "in no cluster any more" in beta.leave()
    settled(alpha, 2)


def test_a_member_whose_data_is_lost_joins_anew(site: Callable[..., Site]) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    invitation = alpha.init()
    beta.join(invitation, serve=False)
    gamma.join(alpha.invitation(), serve=False)
    beta.kill_member()
    beta.directory.member.data.rename(beta.node.home / "lost")
    assert "has a member" in beta.join(invitation, serve=False)
    settled(alpha, 3)


def test_a_lost_machine_is_replaced_at_another_address_and_counted_no_more(site: Callable[..., Site]) -> None:
    alpha, beta, gamma = site("alpha"), site("beta"), site("gamma")
    beta.join(alpha.init(), serve=False)
    gamma.join(alpha.invitation(), serve=False)
    gamma.kill_member()
    gamma.node.home.rename(gamma.node.home.with_name("lost"))
    gamma.ports = [free_port() for _ in range(3)]
    assert "has a member" in gamma.join(alpha.invitation("--for", "gamma"), serve=False)
    members = settled(alpha, 3)["members"]
    assert sorted(member["name"] for member in members) == ["alpha", "beta", "gamma"]


def test_a_port_that_is_taken_can_be_changed(site: Callable[..., Site]) -> None:
    alpha, beta = site("alpha"), site("beta")
    for one in (alpha, beta):
        invitation = [] if one is alpha else [alpha.invitation()]
        with listen("127.0.0.1", one.ports[0]):
            words = f"127.0.0.1:{one.ports[0]}: bind: address already in use. Mend that"
            one.refused("cluster", "join" if invitation else "init", *invitation, *one.place, words=words, status=5)
        one.ports[:2] = free_port(), free_port()
        assert "has a member" in one.ok("cluster", "join" if invitation else "init", *invitation, *one.place).stderr
        one.node.start()
    settled(alpha, 2)


def test_the_data_of_another_cluster_is_not_begun_with(site: Callable[..., Site]) -> None:
    alpha, beta = site("alpha"), site("beta")
    beta.init()
    beta.node.stop()
    beta.directory.member.stop()
    beta.directory.path.rename(beta.node.home / "lost")
    invitation = alpha.init()
    for command in (["init"], ["join", invitation]):
        beta.refused("cluster", *command, *beta.place, words="etcd of another cluster")
    assert not beta.directory.path.exists()
    beta.directory.member.directory.rename(beta.node.home / "lost etcd")
    beta.join(invitation)
    settled(alpha, 2)


def test_a_member_that_was_removed_is_not_started_again_and_said_so(site: Callable[..., Site]) -> None:
    alpha, beta = site("alpha"), site("beta")
    beta.join(alpha.init())
    settled(alpha, 2)
    files = [
        f"--{flag}={path}"
        for flag, path in zip(
            ("cacert", "cert", "key"),
            (alpha.directory.authority, alpha.directory.root_certificate, alpha.directory.root_key),
            strict=True,
        )
    ]
    etcdctl = ["etcdctl", f"--endpoints=127.0.0.1:{alpha.ports[0]}", *files, "member"]
    environment = os.environ | {"ETCDCTL_API": "3"}
    listed = subprocess.run([*etcdctl, "list"], env=environment, capture_output=True, text=True, check=True).stdout
    member = next(line.split(",")[0] for line in listed.splitlines() if ", beta," in line)
    remove = partial(subprocess.run, [*etcdctl, "remove", member], env=environment, capture_output=True, check=False)
    eventually(lambda: remove().returncode == 0, "the members have been in touch for so long that etcd lets one go")
    eventually(lambda: not beta.directory.member.is_alive(), "the removed member ends")
    log = beta.node.home.parent / f"{beta.node.home.name}.log"
    eventually(lambda: "was removed from the cluster, and is not started" in log.read_text())
    assert not beta.directory.member.is_alive()
    assert beta.names() == []


def killed_at_each_step(one: Site, *args: str) -> None:
    """Say a command again and again, killed each time at a later one of its steps, and at none of them at last."""
    for step in STEPS_OF_CLUSTERS:
        if step.startswith(f"{args[0]}:"):
            killed = one.mao("cluster", *args, crash_at=step)
            assert killed.returncode == -signal.SIGKILL, (step, killed.stdout + killed.stderr)
    one.ok("cluster", *args)


def test_a_beginning_that_is_killed_at_each_step_goes_on(site: Callable[..., Site], tmp_path: Path) -> None:
    alpha = site("alpha")
    alpha.node.start().api("POST", "/tools", {"url": str(tool_at(tmp_path, "first"))})
    alpha.node.stop()
    killed_at_each_step(alpha, "init", *alpha.place)
    alpha.node.start()
    assert alpha.names() == ["first", "first-data"]
    settled(alpha, 1)


def test_a_beginning_whose_member_died_as_it_was_born_goes_on(site: Callable[..., Site]) -> None:
    alpha = site("alpha")
    alpha.mao("cluster", "init", *alpha.place, crash_at="init: moved")
    alpha.kill_member()
    for path in (alpha.directory.member.data / "member" / "wal").glob("*.wal"):
        path.write_bytes(b"begun, and no more")
    alpha.init()
    settled(alpha, 1)


def test_a_joining_and_a_leaving_that_are_killed_at_each_step_go_on(site: Callable[..., Site], tmp_path: Path) -> None:
    alpha, beta = site("alpha"), site("beta")
    invitation = alpha.init()
    beta.node.start().api("POST", "/tools", {"url": str(tool_at(tmp_path, "second"))})
    beta.node.stop()
    killed_at_each_step(beta, "join", invitation, *beta.place)
    beta.node.start()
    state = settled(alpha, 2)
    assert sorted(member["name"] for member in state["members"]) == ["alpha", "beta"]
    assert beta.names() == ["second", "second-data"]
    eventually(lambda: alpha.names() == beta.names())

    for one in (beta, alpha):  # the second one is the last, with whom the cluster ends
        one.node.stop()
        killed_at_each_step(one, "leave")
        one.node.start()
        assert beta.names() == ["second", "second-data"]
        if one is beta:
            settled(alpha, 1)
