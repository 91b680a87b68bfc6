from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from mao import certificates
from mao.errors import InUse, NotFound
from mao.etcd_member import EtcdMember, Identity, Listening
from support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="no etcd: a node's own member is NOT tested here")

ASK = """
import pathlib, sys
from mao.etcd_member import EtcdMember
getattr(EtcdMember(pathlib.Path(sys.argv[1])), sys.argv[2])()
"""


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Callable[[str], EtcdMember]]:
    """Make members, each the only one of its cluster."""
    made: list[EtcdMember] = []

    def make(name: str = "alpha", peer_port: int = 0) -> EtcdMember:
        home = tmp_path / name
        home.mkdir()
        ca_key, ca = certificates.authority(f"cluster of {name}")
        key = certificates.new_key()
        signed = certificates.sign(
            ca_key, ca, certificates.request(key, name), name=name, hosts=["127.0.0.1", "localhost"]
        )
        identity = Identity(
            home / "ca.pem",
            home / "node.pem",
            home / "node.key",
            home / "member.pem",
            home / "member.key",
            certificates.MEMBER_HOST,
            home / "revoked.crl",
        )
        for path, content in zip(
            (identity.authority, identity.certificate, identity.key), (ca, signed, key), strict=True
        ):
            path.write_bytes(content)
        at = Listening("127.0.0.1", free_port(), peer_port or free_port())
        one = EtcdMember(home / "etcd")
        one.configure(name, at, identity, {name: at.peer_url}, token=name, founding=True)
        made.append(one)
        return one

    yield make
    for one in made:
        one.stop()


def healthy(member: EtcdMember) -> bool:
    """Asked as etcd's own client asks."""
    home = member.directory.parent
    url = next(
        line.split(": ", 1)[1]
        for line in member.configuration.read_text().splitlines()
        if line.startswith("advertise-client-urls")
    )
    files: list[Path | str] = ["--cacert", home / "ca.pem", "--cert", home / "node.pem", "--key", home / "node.key"]
    done = subprocess.run(
        ["etcdctl", "--endpoints", url, *files, "endpoint", "health"],
        env=os.environ | {"ETCDCTL_API": "3"},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_member_outlives_who_started_it_and_is_stopped_by_anybody(member: Callable[..., EtcdMember]) -> None:
    one = member()
    subprocess.run([sys.executable, "-c", ASK, one.directory, "start"], check=True)
    eventually(lambda: healthy(one))
    pid = one.pid()
    assert pid is not None
    assert psutil.Process(pid).name() == "etcd"
    one.start()
    assert one.pid() == pid
    one.stop()
    assert not one.is_alive()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    one.start()
    eventually(lambda: healthy(one))
    assert one.has_data


def test_a_killed_member_is_known_to_be_dead_and_starts_again(member: Callable[..., EtcdMember]) -> None:
    one = member()
    one.start()
    pid = one.pid()
    assert pid is not None
    eventually(lambda: healthy(one))  # killed as it begins, etcd would not come up again
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not one.is_alive())
    assert one.pid() is None
    one.start()
    eventually(lambda: healthy(one))


def test_a_member_whose_port_another_one_has_is_not_alive(member: Callable[..., EtcdMember]) -> None:
    first = member("first")
    first.start()
    eventually(lambda: healthy(first))
    peers = next(line for line in first.configuration.read_text().splitlines() if line.startswith("listen-peer-urls"))
    second = member("second", int(peers.rsplit(":", 1)[1]))
    second.start()
    eventually(lambda: not second.is_alive())
    assert "address already in use" in second.last_words()
    assert healthy(first)


def test_a_process_that_becomes_the_member_is_the_only_one(member: Callable[..., EtcdMember]) -> None:
    one = member()
    with subprocess.Popen([sys.executable, "-c", ASK, one.directory, "become"], stderr=subprocess.PIPE) as process:
        eventually(lambda: one.pid() == process.pid)
        one.start()
        assert one.pid() == process.pid
        with pytest.raises(InUse, match=f"pid {process.pid}"):
            one.become()
        one.stop()


def test_a_node_without_a_member_cannot_run_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mao cluster init"):
        EtcdMember(tmp_path / "etcd").become()


def test_its_files_are_for_its_owner_alone(member: Callable[..., EtcdMember]) -> None:
    one = member()
    assert one.directory.stat().st_mode & 0o777 == 0o700
    assert one.configuration.stat().st_mode & 0o777 == 0o600
