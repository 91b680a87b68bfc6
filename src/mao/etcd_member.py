"""A node's own member of etcd: its configuration, and its process, which outlives the server.

A lock that the process holds from before it is etcd until it ends says whether it lives: a pid alone may be another's.
`python -m mao.etcd_member DIRECTORY` is how one is started detached.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from mao.errors import InUse, NotFound, OutsideFailed
from mao.etcd_program import bindable, flags, in_url, program
from mao.workspace import remove_tree, write_durably

if TYPE_CHECKING:
    from collections.abc import Mapping

QUOTA = 2 * 1024**3
"""Bytes that the database of a member may have: etcd's own default, so that `status` can tell how near it is."""
_KEPT_HISTORY = "1h"
"""How long a watch may be away and go on where it was; after that it lists anew."""
_PATIENCE = 10.0
"""Seconds for a member that is to stop, before it is killed: it only has to close its database."""
_LOOK = 0.02
_LARGEST_LOG = 10_000_000
_SAID = re.compile(r'"(?:msg|error)":"((?:[^"\\]|\\.)*)"')  # in a line of etcd's log; all else is for programmers


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a member is reached: a host, by name or number, and the ports for clients and for other members."""

    host: str
    client_port: int
    peer_port: int

    @property
    def client_url(self) -> str:
        return f"https://{in_url(self.host)}:{self.client_port}"

    @property
    def client_address(self) -> str:
        """As it stands in `registry.url`."""
        return f"{in_url(self.host)}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"https://{in_url(self.host)}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class Identity:
    """The files (PEM) that a member shows to others, and by which it knows them."""

    authority: Path
    certificate: Path
    key: Path
    member_certificate: Path
    """What it shows to other members; where an earlier version began the cluster there is none, and any node is one."""
    member_key: Path
    member_host: str
    """Stands in what other members show."""
    revoked: Path
    """The certificates that it does not take any more."""


class EtcdMember:
    """The member of etcd whose files are in `directory`; there is one once it is configured."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "etcd.yaml"
        self.data = directory / "data"
        self.log = directory / "log"
        self._lock = directory / "lock"

    @property
    def is_configured(self) -> bool:
        return self.configuration.is_file()

    def listening(self) -> Listening | None:
        """Where it is reached according to its configuration; None if there is none."""
        if not (settings := self._settings()):
            return None
        client, peer = (urlsplit(settings[f"{kind}-urls"]) for kind in ("advertise-client", "initial-advertise-peer"))
        return Listening(client.hostname or "", client.port or 0, peer.port or 0)

    def token(self) -> str | None:
        """Of the cluster that it belongs to, according to its configuration; None if there is none."""
        return self._settings().get("initial-cluster-token")

    def _settings(self) -> dict[str, Any]:
        import yaml  # noqa: PLC0415  # only for this and its writing

        return dict(yaml.safe_load(self.configuration.read_bytes())) if self.is_configured else {}

    @property
    def has_data(self) -> bool:
        """Whether it was part of a cluster: what is said of the cluster in its configuration counts no more then."""
        return (self.data / "member").is_dir()

    def configure(
        self, name: str, at: Listening, identity: Identity, members: Mapping[str, str], *, token: str, founding: bool
    ) -> None:
        """Write the configuration.

        Args:
            name: of the member.
            at: where it is reached.
            identity: what it shows.
            members: all members of the cluster with this one, their peer URLs by their names.
            token: of the cluster: members of two clusters never take each other for one of theirs.
            founding: whether it begins a cluster; else it joins one that knows it already.
        """
        import yaml  # noqa: PLC0415  # only for this and its reading

        tls: dict[str, Any] = {
            "cert-file": str(identity.certificate),
            "key-file": str(identity.key),
            "trusted-ca-file": str(identity.authority),
            "client-cert-auth": True,
        }
        if identity.member_certificate.exists():
            shown = {"cert-file": str(identity.member_certificate), "key-file": str(identity.member_key)}
            peer = tls | shown | {"allowed-hostname": identity.member_host, "crl-file": str(identity.revoked)}
            tls = tls | {"crl-file": str(identity.revoked)}
        else:
            peer = dict(tls)
        bind = in_url(bindable(at.host))
        settings: dict[str, Any] = {
            "name": name,
            "data-dir": str(self.data),
            "listen-client-urls": f"https://{bind}:{at.client_port}",
            "advertise-client-urls": at.client_url,
            "client-transport-security": tls,
            "listen-peer-urls": f"https://{bind}:{at.peer_port}",
            "initial-advertise-peer-urls": at.peer_url,
            "peer-transport-security": peer,
            "initial-cluster": ",".join(f"{member}={url}" for member, url in members.items()),
            "initial-cluster-state": "new" if founding else "existing",
            "initial-cluster-token": token,
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": _KEPT_HISTORY,
            "quota-backend-bytes": QUOTA,
            "logger": "zap",
            "log-level": "warn",
            "log-outputs": ["stderr"],
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        write_durably(self.configuration, yaml.safe_dump(settings, sort_keys=False).encode(), 0o600)

    def start(self) -> None:
        """Have it run, if it does not: as a process that outlives this one, with its output in `log`.

        Raises:
            OutsideFailed: there is no etcd on this machine, or it did not start.
        """
        if self.is_alive():
            return
        program()
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LARGEST_LOG:
                self.log.replace(self.log.with_name("log.1"))
        with self.log.open("ab") as log:
            done = subprocess.run(
                [sys.executable, "-m", "mao.etcd_member", self.directory],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
        if done.returncode and not self.is_alive():
            raise OutsideFailed(f"etcd could not be started. {self.last_words()}")

    def become(self) -> NoReturn:
        """Make this process the member; it keeps its pid.

        Raises:
            NotFound: this node has no member.
            InUse: it runs already.
            OutsideFailed: there is no etcd on this machine.
        """
        if not self.is_configured:
            raise NotFound("This node has no member of etcd. `mao cluster init` or `mao cluster join` makes one.")
        etcd = program()
        self._execute(etcd, self._locked())

    def _locked(self) -> int:
        """The lock, held by this process; a look at whether it is held may be in the way for a moment."""
        descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + 1
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InUse(f"The member of etcd in {self.directory} runs already (pid {self.pid()}).") from None
                time.sleep(_LOOK)
            else:
                os.ftruncate(descriptor, 0)
                return descriptor

    def _execute(self, etcd: str, lock: int) -> NoReturn:
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        os.set_inheritable(lock, True)  # noqa: FBT003  # the standard library's signature
        # etcd 3.4 runs on ARM only if it is told that this is meant.
        environment = {"PATH": os.environ.get("PATH", os.defpath)} | (
            {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}
        )
        os.execve(etcd, [etcd, *flags(self._settings())], environment)  # noqa: S606

    def detach(self) -> None:
        """Start it as a process of no parent: whoever started it need not wait for it."""
        etcd, lock = program(), self._locked()
        if os.fork() == 0:
            os.setsid()
            self._execute(etcd, lock)

    def is_alive(self) -> bool:
        """Whether our process runs; another etcd at its ports is not taken for it."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def pid(self) -> int | None:
        """Of its process, while it lives."""
        while self.is_alive():
            if written := self._lock.read_text().strip():
                return int(written)
            time.sleep(_LOOK)  # it has the lock and is just about to say who it is
        return None

    def set_data_aside(self) -> None:
        """Let what it knew of a cluster that it no longer belongs to be out of its way; it must have ended."""
        if self.data.exists():
            remove_tree(self.directory / "old-data")
            self.data.rename(self.directory / "old-data")

    def stop(self) -> None:
        """End it, and return when it has ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _PATIENCE
            if (pid := self.pid()) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(_LOOK)

    def last_words(self) -> str:
        """The end of its log, for whoever asks why it does not run."""
        if not self.log.exists():
            return f"It wrote nothing to {self.log}."
        lines = self.log.read_text("utf-8", "replace").splitlines()
        words = ((_SAID.findall(line) or [line])[-1] for line in lines[-3:])
        return f"The end of {self.log}: {' / '.join(dict.fromkeys(words)).rstrip('.')}."


if __name__ == "__main__":
    EtcdMember(Path(sys.argv[1])).detach()
