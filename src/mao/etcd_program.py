"""etcd as a program: where it is on this machine, how its settings are given to it, at which addresses it listens."""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING, Any

from mao.errors import OutsideFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

_TLS = {"client-transport-security": ("", "client-"), "peer-transport-security": ("peer-", "peer-")}
"""What the names of flags begin with that stand in these parts of a configuration: of most, and of the rest."""
_ONLY_FLAGS = {"allowed-hostname": "cert-allowed-hostname", "crl-file": "crl-file"}
"""What etcd before 3.6 reads nowhere but in flags."""


def program() -> str:
    """The path of etcd.

    Raises:
        OutsideFailed: there is none on this machine.
    """
    found = shutil.which("etcd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if found is None:
        raise OutsideFailed(
            "etcd is not on this machine, so it can have no member. Install it (`apt install etcd-server`"
            " or a release of github.com/etcd-io/etcd on the PATH), or join as a client (`mao cluster join --client`)."
        )
    return found


def flags(settings: Mapping[str, Any]) -> list[str]:
    """A configuration as flags: with a file, etcd takes no flags, and some settings are nothing else."""
    found = []
    for name, value in settings.items():
        usual, rest = _TLS.get(name, ("", ""))
        if name not in _TLS:
            found.append(_flag(name, value))
            continue
        for part, text in value.items():
            found.append(_flag(rest + _ONLY_FLAGS[part] if part in _ONLY_FLAGS else usual + part, text))
    return found


def _flag(name: str, value: Any) -> str:
    text = ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else value
    return f"--{name}={text}"


def in_url(host: str) -> str:
    """`host` as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def bindable(host: str) -> str:
    """The number to listen at: that of the host, if this machine has it; else all, as behind a translated address."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind(address)
    except OSError:
        return "0.0.0.0"  # noqa: S104  # only holders of a certificate of the cluster are let in
    return str(address[0])
