"""Hosts of their own on this machine: network namespaces on one bridge, whose network can be cut.

Whatever is started or asked `inside` a host has that host's addresses, its 127.0.0.1, too.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = "root and ip and nft (Debian: iproute2, nftables) are needed: what a cut network does is NOT tested here"
_NAMES = Path("/var/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


class Cut(Enum):
    """Which packets of a host are dropped without a word."""

    BOTH = ("input", "output")
    INCOMING = ("input",)


class Network(Protocol):
    """Where members of etcd and nodes are: `Loopback`, or `Namespaces`."""

    def host(self, i: int) -> str:
        """The address of host `i`."""

    def inside(self, i: int | None = None) -> AbstractContextManager[None]:
        """Be on host `i` with this thread; on one from where all others are seen, if None."""


class Loopback:
    """All share 127.0.0.1 of this machine."""

    def host(self, i: int) -> str:  # noqa: ARG002  # all have the same
        return "127.0.0.1"

    def inside(self, i: int | None = None) -> AbstractContextManager[None]:  # noqa: ARG002  # as above
        return nullcontext()


def possible() -> bool:
    """Whether namespaces can be made here."""
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft")):
        return False
    probe = f"mao-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "delete", probe], check=True)
    return made


def need_namespaces() -> None:
    """Skip the test where none can be made, and say what is not tested."""
    if not possible():
        pytest.skip(MISSING)


class Namespaces:
    """So many hosts on one bridge; nothing of this machine's own network is touched. End it with `close`."""

    def __init__(self, size: int) -> None:
        self._name = f"mao-{os.getpid()}-{next(_numbers)}"
        self._size = size
        _ip("netns", "add", self._name)
        _ip("-n", self._name, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._name, "address", "add", "10.77.0.254/24", "dev", "bridge")
        _ip("-n", self._name, "link", "set", "bridge", "up")
        for i in range(size):
            host = self._host_name(i)
            _ip("netns", "add", host)
            _ip("-n", self._name, "link", "add", f"to{i}", "type", "veth", "peer", "name", "wire", "netns", host)
            _ip("-n", self._name, "link", "set", f"to{i}", "master", "bridge", "up")
            _ip("-n", host, "address", "add", f"{self.host(i)}/24", "dev", "wire")
            _ip("-n", host, "link", "set", "lo", "up")
            _ip("-n", host, "link", "set", "wire", "up")

    def _host_name(self, i: int) -> str:
        return f"{self._name}-{i}"

    def host(self, i: int) -> str:
        return f"10.77.0.{i + 1}"

    @contextmanager
    def inside(self, i: int | None = None) -> Iterator[None]:
        target = _NAMES / (self._name if i is None else self._host_name(i))
        with Path("/proc/thread-self/ns/net").open("rb") as own, target.open("rb") as other:
            _enter(other.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def cut(self, i: int, cut: Cut) -> None:
        """Drop what comes to host `i` from the others (and what it sends to them); connections stay open."""
        rules = [
            f"add chain inet cut {way} {{ type filter hook {way} priority 0; policy accept; }}\n"
            f"add rule inet cut {way} {'iifname' if way == 'input' else 'oifname'} wire drop\n"
            for way in cut.value
        ]
        with self.inside(i):
            subprocess.run(["nft", "-f", "-"], input=f"add table inet cut\n{''.join(rules)}".encode(), check=True)

    def heal(self, i: int) -> None:
        """Let all through again."""
        with self.inside(i):
            subprocess.run(["nft", "flush", "ruleset"], check=True)

    def close(self) -> None:
        for name in (*map(self._host_name, range(self._size)), self._name):
            _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _enter(descriptor: int) -> None:
    """Be in a namespace with this thread; setns(2), which Python has from 3.12 on."""
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
