"""Real members of etcd as processes on this machine: they can be killed, paused and started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from namespaces import Loopback
from support import eventually, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from namespaces import Network

MISSING = "etcd is not installed (Debian: etcd-server, etcd-client): what a registry in etcd does is NOT tested here"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("ETCD", "ETCDCTL"))}


def need_etcd() -> None:
    """Skip the test where there is no etcd, and say what is not tested."""
    if not (shutil.which("etcd") and shutil.which("etcdctl")):
        pytest.skip(MISSING)


@dataclass(frozen=True)
class Tls:
    """Files (PEM): the authority, and a certificate of it for 127.0.0.1 that servers and clients show."""

    ca: Path
    certificate: Path
    key: Path


def make_tls(directory: Path) -> Tls:
    """A new authority, and a certificate of it."""
    directory.mkdir(parents=True)
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"]
    for name, more in (("ca", []), ("node", signed)):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *more]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return Tls(directory / "ca.pem", directory / "node.pem", directory / "node.key")


@dataclass
class EtcdCluster:
    """So many members of etcd, with quick elections. Start it with `start`, end it with `stop`.

    Args:
        directory: of what they keep, and of their logs.
        size: how many members.
        tls: if clients are to come with TLS and a certificate.
        flags: further flags of each member, as in `--quota-backend-bytes=16777216`.
        token: of the cluster: another one makes another cluster id.
        user: whoever etcdctl is to be, as in `root:secret`, once authentication is on.
        network: where each member is.
    """

    directory: Path
    size: int = 3
    tls: Tls | None = None
    flags: tuple[str, ...] = ()
    token: str = ""
    user: str = ""
    network: Network = field(default_factory=Loopback)
    ports: list[tuple[int, int]] = field(default_factory=list)
    """Of each member: for clients, for the other members."""
    processes: list[subprocess.Popen[bytes] | None] = field(default_factory=list)
    cluster_id: int = 0

    def start(self) -> EtcdCluster:
        """Start all members, and return when they answer, each of them a process of ours."""
        self.ports = self.ports or [(free_port(), free_port()) for _ in range(self.size)]
        self.token = self.token or f"test-{self.ports[0][1]}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.processes = [self._process(i) for i in range(self.size)]
        for i in range(self.size):
            eventually(partial(self._is_ours, i), f"member {i} of etcd answers; its log: {self._log(i)}")
        eventually(self.healthy, "etcd has a leader")
        self.cluster_id = int(self.status(0)["header"]["cluster_id"])
        return self

    def endpoint(self, i: int) -> str:
        """Where clients reach member `i`, as in `127.0.0.1:2379`."""
        return f"{self.network.host(i)}:{self.ports[i][0]}"

    @property
    def endpoints(self) -> list[str]:
        return [self.endpoint(i) for i in range(self.size)]

    @property
    def url(self) -> str:
        """As in `registry.url`."""
        return "etcd://" + ",".join(self.endpoints)

    def initial_cluster(self) -> str:
        return ",".join(f"m{i}={self.peer_url(i)}" for i in range(self.size))

    def data(self, i: int) -> Path:
        return self.directory / f"m{i}"

    def _log(self, i: int) -> Path:
        return self.directory / f"m{i}.log"

    def _process(self, i: int) -> subprocess.Popen[bytes]:
        scheme = "https" if self.tls else "http"
        flags = [
            f"--name=m{i}",
            f"--data-dir={self.data(i)}",
            f"--listen-client-urls={scheme}://{self.endpoint(i)}",
            f"--advertise-client-urls={scheme}://{self.endpoint(i)}",
            f"--listen-peer-urls={self.peer_url(i)}",
            f"--initial-advertise-peer-urls={self.peer_url(i)}",
            f"--initial-cluster={self.initial_cluster()}",
            f"--initial-cluster-token={self.token}",
            f"--initial-cluster-state={'existing' if self.cluster_id else 'new'}",
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--logger=zap",
            "--log-level=warn",
            *self.flags,
        ]
        if self.tls:
            flags += [f"--cert-file={self.tls.certificate}", f"--key-file={self.tls.key}"]
            flags += [f"--trusted-ca-file={self.tls.ca}", "--client-cert-auth"]
        with self._log(i).open("ab") as log, self.network.inside(i):
            return subprocess.Popen(["etcd", *flags], env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True)

    def _is_ours(self, i: int) -> bool:
        """Whether member `i` answers, and is no other one that has taken its port."""
        process = self.processes[i]
        assert process is not None
        assert process.poll() is None, f"member {i} of etcd ended: {self._log(i).read_text()[-2000:]}"
        try:
            status = self.status(i)
        except (subprocess.CalledProcessError, json.JSONDecodeError):
            return False
        listed = json.loads(self.etcdctl("member", "list", "--write-out=json"))["members"]
        names = {member["ID"]: member.get("name", "") for member in listed}
        return names.get(status["header"]["member_id"]) == f"m{i}"

    def etcdctl(self, *arguments: str, members: list[int] | None = None, given: bytes | None = None) -> str:
        """What etcdctl prints, asking these members (or all); an error if it fails."""
        asked = range(self.size) if members is None else members
        command = ["etcdctl", f"--endpoints={','.join(self.endpoint(i) for i in asked)}", "--command-timeout=10s"]
        if self.tls:
            command += [f"--cacert={self.tls.ca}", f"--cert={self.tls.certificate}", f"--key={self.tls.key}"]
        if self.user:
            command.append(f"--user={self.user}")
        with self.network.inside():
            done = subprocess.run(
                [*command, *arguments],
                env=ENVIRONMENT | {"ETCDCTL_API": "3"},
                input=given,
                capture_output=True,
                check=True,
            )
        return done.stdout.decode()

    def status(self, i: int) -> dict[str, Any]:
        """What member `i` says of itself."""
        answer: dict[str, Any] = json.loads(
            self.etcdctl("endpoint", "status", "--write-out=json", "--command-timeout=1s", members=[i])
        )[0]["Status"]
        return answer

    def leader(self) -> int:
        """Which member leads."""

        def found() -> list[int]:
            leaders = []
            for i, process in enumerate(self.processes):
                with contextlib.suppress(subprocess.CalledProcessError):
                    if process is not None and process.poll() is None:
                        status = self.status(i)
                        leaders += [i] if status["leader"] == status["header"]["member_id"] else []
            return leaders

        first: int = eventually(found, "etcd has a leader")[0]
        return first

    def healthy(self) -> bool:
        """Whether it takes part in agreeing: a read that needs most of the members succeeds."""
        try:
            self.etcdctl("get", "health", "--command-timeout=1s")
        except subprocess.CalledProcessError:
            return False
        return True

    def kill(self, *members: int) -> None:
        """kill -9."""
        for i in members:
            process = self.processes[i]
            assert process is not None
            process.kill()
            process.wait()

    def pause(self, i: int) -> None:
        """Let a member stand still, its connections open (SIGSTOP)."""
        self._signal(i, signal.SIGSTOP)

    def resume(self, i: int) -> None:
        self._signal(i, signal.SIGCONT)

    def _signal(self, i: int, number: int) -> None:
        process = self.processes[i]
        assert process is not None
        process.send_signal(number)

    def restart(self, *members: int) -> None:
        """Start members that do not live, and return when they answer."""
        for i in members:
            self.processes[i] = self._process(i)
        for i in members:
            eventually(partial(self._is_ours, i), f"member {i} of etcd answers; its log: {self._log(i)}")

    def come_back(self, i: int, backup: Path, token: str) -> None:
        """Start member `i`, the only one, from a backup, as another cluster if `token` is another one."""
        shutil.rmtree(self.data(i))
        self.token = token or self.token
        flags = [f"--name=m{i}", f"--data-dir={self.data(i)}", f"--initial-cluster={self.initial_cluster()}"]
        flags += [f"--initial-advertise-peer-urls={self.peer_url(i)}", f"--initial-cluster-token={self.token}"]
        self.etcdctl("snapshot", "restore", str(backup), *flags)
        self.restart(i)

    def want_users(self) -> None:
        """Turn authentication on; `node` with the password `word` may read and write below `/mao/`."""
        for command in (
            "user add root:secret",
            "user grant-role root root",
            "user add node:word",
            "role add mao",
            "role grant-permission mao readwrite /mao/ --prefix=true",
            "user grant-role node mao",
            "auth enable",
        ):
            self.etcdctl(*command.split())
        self.user = "root:secret"

    def grow(self) -> int:
        """Make room for one more; `restart` starts it once it belongs to the cluster."""
        self.ports.append((free_port(), free_port()))
        self.processes.append(None)
        self.size += 1
        return self.size - 1

    def peer_url(self, i: int) -> str:
        """Where other members reach member `i`."""
        return f"http://{self.network.host(i)}:{self.ports[i][1]}"

    def stop(self) -> None:
        """End all members, paused ones too."""
        for i, process in enumerate(self.processes):
            if process is not None and process.poll() is None:
                self.kill(i)

    def empty(self) -> None:
        """Delete every key; revisions go on from there."""
        self.etcdctl("del", "", "--from-key=true")
