"""What can be set on a node: how each setting's text is read, what it is if nobody gives it, and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mao.names import name_fault
from mao.registry import SMALLEST_LEASE

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
_LAST_PORT = 65535
_WEEK = 7 * 86_400
_MOST_DAYS = 36_600
_YEAR = 366 * 86_400
_LONGEST_LEASE = 3600
_ADDRESS = re.compile(r"([\w.-]+|\[[\w:.%-]+\]):([0-9]{1,5})", re.ASCII)


def _name(text: str) -> str:
    if fault := name_fault(text):
        raise ValueError(fault)
    return text


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > _LAST_PORT:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:8080")
    host = host.strip("[]")
    if host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("must be a loopback address for now: this version has no access control for others")
    return host, int(port)


def _host_and_port(text: str) -> tuple[str, int] | None:
    found = _ADDRESS.fullmatch(text)
    return (found[1].strip("[]"), int(found[2])) if found and int(found[2]) <= _LAST_PORT else None


def _address(text: str) -> tuple[str, int] | None:
    """HOST:PORT, where any host may stand; None if it is empty."""
    found = _host_and_port(text)
    if text and not found:
        raise ValueError("must be HOST:PORT, as in 10.0.0.2:8443")
    return found


def _registry(text: str) -> str:
    if text == "sqlite":
        return text
    kind, separator, endpoints = text.partition("://")
    if kind != "etcd" or not separator or not all(map(_host_and_port, endpoints.split(","))):
        raise ValueError("must be 'sqlite', or the members of etcd, as in 'etcd://127.0.0.1:2379,10.0.0.2:2379'")
    return text


def _path(text: str) -> Path | None:
    return _home(text) if text else None


def _size(text: str) -> int:
    number = text.rstrip("kMGB ")
    unit = text[len(number) :].strip()
    if not number.isdigit() or unit not in _UNITS:
        raise ValueError("must be a number of bytes, kB, MB or GB, as in '10 MB'")
    return int(number) * _UNITS[unit]


def _home(text: str) -> Path:
    if not text:
        raise ValueError("must not be empty")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("begins with '~', and that user has no home directory") from error


def _seconds(most: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not 0 < float(text) <= most:
            raise ValueError(f"must be more than 0 and at most {most}")
        return float(text)

    return read


def _days(text: str) -> float:
    if not 0 < float(text) <= _MOST_DAYS:
        raise ValueError(f"must be more than 0 and at most {_MOST_DAYS}")
    return float(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("must be a whole number from 1")
    return int(text)


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _lease(text: str) -> int:
    if not text.isdigit() or not SMALLEST_LEASE <= int(text) <= _LONGEST_LEASE:
        raise ValueError(f"must be a whole number of seconds from {SMALLEST_LEASE} to {_LONGEST_LEASE}")
    return int(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(_home(part) for part in text.replace(",", " ").split())


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: how its text is read, what it is if nobody gives it, and what it means."""

    read: Callable[[str], Any]
    default: str
    meaning: str
    secret: bool = False
    """Never shown; it may also be given as the name of a file that holds it (`MAO_SECTION__NAME_FILE`)."""


SETTINGS: dict[str, Setting] = {
    "node.name": Setting(
        _name, "", "Name of this node in the cluster and in commits; the machine's name if not given."
    ),
    "node.home": Setting(_home, "~/mao", "Directory of tools, runs, data and clones."),
    "server.listen": Setting(_listen, "127.0.0.1:8080", "Address and port of the HTTP server."),
    "node.administrator": Setting(
        _switch, "false", "Whether this node may replace and withdraw what other nodes registered, when asked to."
    ),
    "registry.url": Setting(
        _registry,
        "sqlite",
        "Registry of tools, datasets and nodes: `sqlite`, embedded, or `etcd://HOST:PORT,HOST:PORT`.",
    ),
    "registry.ca": Setting(
        _path,
        "",
        "File with the certificate authority (PEM) of etcd; if it is given, TLS is used.",
    ),
    "registry.certificate": Setting(_path, "", "File with the certificate (PEM) that this node shows to etcd."),
    "registry.key": Setting(_path, "", "File with the private key (PEM) of that certificate."),
    "registry.user": Setting(str, "", "User at etcd, if it wants one."),
    "registry.password": Setting(str, "", "Password of that user.", secret=True),
    "registry.lease": Setting(
        _lease, "15", "Seconds after which a node that has died is no longer listed in the cluster."
    ),
    "cluster.listen": Setting(
        _address, "", "Address and port where other nodes of the cluster reach this one, with TLS; none if not given."
    ),
    "cluster.url": Setting(str, "", "Address of that as other nodes see it, as in `https://10.0.0.2:8443`."),
    "cluster.ca": Setting(_path, "", "File with the certificate authority (PEM) of the cluster's nodes."),
    "cluster.certificate": Setting(_path, "", "File with the certificate (PEM) that this node shows to other nodes."),
    "cluster.key": Setting(_path, "", "File with the private key (PEM) of that certificate."),
    "cluster.runs_from": Setting(
        _names,
        "",
        "Nodes whose users may install tools, start runs and change schedules here; `*` for all. Each may look.",
    ),
    "cluster.keep_slots": Setting(
        _days,
        "30",
        "Days for which slots of schedules of the cluster stay in the registry; in the ledgers of nodes they stay.",
    ),
    "cluster.slot_limit": Setting(_count, "1000", "Slots of each schedule of the cluster that the registry keeps."),
    "runs.limit": Setting(_count, "8", "Runs at the same time."),
    "runs.log_limit": Setting(
        _size,
        "50 MB",
        "Output of one run or installer that is kept; what comes after is dropped, and said so.",
    ),
    "runs.time_limit": Setting(
        _seconds(_YEAR), "86400", "Seconds until a run is ended, where its definition does not say."
    ),
    "runs.pass_environment": Setting(
        _names,
        "PATH HOME USER LOGNAME LANG LC_ALL LC_CTYPE TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR"
        " http_proxy https_proxy no_proxy",
        "Variables of the node's environment that tools and installers get.",
    ),
    "runs.keep_data": Setting(
        _days,
        "30",
        "Days for which the files of a run stay on this node once the dataset has them. Those of which the dataset has"
        " not been seen to have them stay for as long as it takes.",
    ),
    "runs.keep_logs": Setting(
        _days,
        "365",
        "Days for which the log of a run that has ended stays, and what it wrote if it did not succeed.",
    ),
    "runs.executor": Setting(
        _one_of("auto", "sandbox", "process"),
        "auto",
        "What tools and installers run in: `sandbox`, without which the node does not start; `process`, which hides"
        " nothing from them; `auto` takes the sandbox where it works.",
    ),
    "sandbox.read": Setting(
        _paths,
        "",
        "Paths that every tool may read in the sandbox, beside the system's programs: interpreters in a home, as in"
        " `~/.pyenv /opt/conda`. Separated by blanks.",
    ),
    "sandbox.writable_tools": Setting(
        _names, "", "Tools that may change their own files in the sandbox, and so what the next run of them does."
    ),
    "sandbox.memory": Setting(_size, "8 GB", "Memory of all processes of a run or installer together."),
    "sandbox.processes": Setting(_count, "4096", "Processes and threads of a run or installer at a time."),
    "sandbox.open_files": Setting(_count, "65536", "Files that one process of a tool may have open."),
    "sandbox.file_size": Setting(_size, "100 GB", "Size of each file that a tool writes."),
    "sandbox.cpu_time": Setting(
        _seconds(_YEAR), "2592000", "Seconds of the processor for all processes of a run or installer together."
    ),
    "sandbox.disk": Setting(_size, "100 GB", "What a run may write into its data directory, or an installer at all."),
    "sandbox.temporary": Setting(
        _size, "1 GB", "Size of the private `/tmp` of a run in the sandbox, and of `/dev/shm`; both are in memory."
    ),
    "install.time_limit": Setting(_seconds(_YEAR), "3600", "Seconds until an installer is ended."),
    "git.time_limit": Setting(_seconds(_WEEK), "600", "Seconds until one exchange with a remote is ended."),
    "git.allow_http": Setting(_switch, "false", "Whether remotes without encryption (http://) are allowed."),
    "git.author_email": Setting(str, "", "E-mail address in the commits of this node; `mao@<node>` if not given."),
    "publishing.first_pause": Setting(
        _seconds(_YEAR),
        "5",
        "Seconds until a push is tried again after the network failed, then doubled; multiples of it for other causes.",
    ),
    "publishing.longest_pause": Setting(
        _seconds(_YEAR),
        "3600",
        "Seconds that the growing pauses reach at most; a host that limits pushes is given a minute in any case.",
    ),
    "publishing.large_file": Setting(
        _size,
        "50 MB",
        "Files of this size and larger go through git-lfs; where that cannot be, their run asks for a decision.",
    ),
    "publishing.dataset_limit": Setting(
        _size, "10 GB", "Size of a dataset past which its host warns; `mao dataset show` tells how far away it is."
    ),
}
