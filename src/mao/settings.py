"""What can be set on a node: what each setting is if nobody gives it, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mao import texts
from mao.policy import APPROVE

if TYPE_CHECKING:
    from collections.abc import Callable

_WEEK = 7 * 86_400
_YEAR = 366 * 86_400


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
        texts.name, "", "Name of this node in the cluster and in commits; the machine's name if not given."
    ),
    "node.home": Setting(texts.home, "~/mao", "Directory of tools, runs, data and clones."),
    "server.listen": Setting(
        texts.address,
        "127.0.0.1:8080",
        "Address and port where the node answers those who have a token. Empty: nowhere, only at the socket in its"
        " home. Other than loopback it needs `server.certificate` or `server.behind_proxy`.",
    ),
    "server.hosts": Setting(
        texts.hosts,
        "",
        "Names by which it may be asked there, besides that address; needed where it listens on all.",
    ),
    "server.certificate": Setting(
        texts.path,
        "",
        "File with the certificate (PEM) that is shown at `server.listen`, followed by those between.",
    ),
    "server.key": Setting(texts.path, "", "File with the private key (PEM) of that certificate."),
    "server.behind_proxy": Setting(
        texts.switch,
        "false",
        "Whether a proxy with TLS stands before `server.listen`. What it says of its clients is believed, so nobody"
        " else must reach that address.",
    ),
    "node.administrator": Setting(
        texts.switch,
        "false",
        "Whether this node may replace and withdraw what other nodes registered, when asked to.",
    ),
    "registry.url": Setting(
        texts.registry,
        "sqlite",
        "Registry of tools, datasets and nodes: `sqlite`, embedded, or `etcd://HOST:PORT,HOST:PORT`.",
    ),
    "registry.ca": Setting(
        texts.path,
        "",
        "File with the certificate authority (PEM) of etcd; if it is given, TLS is used.",
    ),
    "registry.certificate": Setting(texts.path, "", "File with the certificate (PEM) that this node shows to etcd."),
    "registry.key": Setting(texts.path, "", "File with the private key (PEM) of that certificate."),
    "registry.user": Setting(str, "", "User at etcd, if it wants one."),
    "registry.password": Setting(str, "", "Password of that user.", secret=True),
    "registry.lease": Setting(
        texts.lease, "15", "Seconds after which a node that has died is no longer listed in the cluster."
    ),
    "cluster.listen": Setting(
        texts.address,
        "",
        "Address and port where other nodes of the cluster reach this one, with TLS; none if not given.",
    ),
    "cluster.url": Setting(str, "", "Address of that as other nodes see it, as in `https://10.0.0.2:8443`."),
    "cluster.ca": Setting(texts.path, "", "File with the certificate authority (PEM) of the cluster's nodes."),
    "cluster.certificate": Setting(
        texts.path, "", "File with the certificate (PEM) that this node shows to other nodes."
    ),
    "cluster.key": Setting(texts.path, "", "File with the private key (PEM) of that certificate."),
    "cluster.runs_from": Setting(
        texts.names,
        "",
        "Nodes whose users may install tools, start runs and change schedules here; `*` for all. Each may look.",
    ),
    "cluster.keep_slots": Setting(
        texts.days,
        "30",
        "Days for which slots of schedules of the cluster stay in the registry; in the ledgers of nodes they stay.",
    ),
    "cluster.slot_limit": Setting(
        texts.count, "1000", "Slots of each schedule of the cluster that the registry keeps."
    ),
    "runs.limit": Setting(texts.count, "8", "Runs at the same time."),
    "runs.log_limit": Setting(
        texts.size,
        "50 MB",
        "Output of one run or installer that is kept; what comes after is dropped, and said so.",
    ),
    "runs.time_limit": Setting(
        texts.seconds(_YEAR), "86400", "Seconds until a run is ended, where its definition does not say."
    ),
    "runs.pass_environment": Setting(
        texts.names,
        "PATH HOME USER LOGNAME LANG LC_ALL LC_CTYPE TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR"
        " http_proxy https_proxy no_proxy",
        "Variables of the node's environment that tools and installers get.",
    ),
    "runs.keep_data": Setting(
        texts.days,
        "30",
        "Days for which the files of a run stay on this node once the dataset has them. Those of which the dataset has"
        " not been seen to have them stay for as long as it takes.",
    ),
    "runs.keep_logs": Setting(
        texts.days,
        "365",
        "Days for which the log of a run that has ended stays, and what it wrote if it did not succeed.",
    ),
    "runs.executor": Setting(
        texts.one_of("auto", "sandbox", "process"),
        "auto",
        "What tools and installers run in: `sandbox`, without which the node does not start; `process`, which hides"
        " nothing from them; `auto` takes the sandbox where it works.",
    ),
    "sandbox.read": Setting(
        texts.paths,
        "",
        "Paths that every tool may read in the sandbox, beside the system's programs: interpreters in a home, as in"
        " `~/.pyenv /srv/models`. Separated by blanks.",
    ),
    "sandbox.writable_tools": Setting(
        texts.names,
        "",
        "Tools that may change their own files in the sandbox, and so what the next run of them does.",
    ),
    "sandbox.memory": Setting(texts.size, "8 GB", "Memory of all processes of a run or installer together."),
    "sandbox.processes": Setting(texts.count, "4096", "Processes and threads of a run or installer at a time."),
    "sandbox.open_files": Setting(texts.count, "65536", "Files that one process of a tool may have open."),
    "sandbox.file_size": Setting(texts.size, "100 GB", "Size of each file that a tool writes."),
    "sandbox.cpu_time": Setting(
        texts.seconds(_YEAR),
        "2592000",
        "Seconds of the processor for all processes of a run or installer together.",
    ),
    "sandbox.disk": Setting(
        texts.size, "100 GB", "What a run may write into its data directory, or an installer at all."
    ),
    "sandbox.temporary": Setting(
        texts.size,
        "1 GB",
        "Size of the private `/tmp` of a run in the sandbox, and of `/dev/shm`; both are in memory.",
    ),
    "secrets.files": Setting(
        texts.paths,
        "",
        "Directories below which the files may be that secret arguments name (`@file:PATH`). Separated by blanks.",
    ),
    "secrets.environment": Setting(
        texts.names, "", "Variables of the node's environment that secret arguments may name (`@env:NAME`)."
    ),
    "install.time_limit": Setting(texts.seconds(_YEAR), "3600", "Seconds until an installer is ended."),
    "policy.remotes": Setting(
        texts.remotes,
        "",
        "Remotes that tools may be installed from, as in `https://github.com/institute/*`; any, if none is given. `*`"
        " is any text in one part of the path, `**` at the end is all that is below.",
    ),
    "policy.data_remotes": Setting(
        texts.remotes, "", "Remotes that installed tools may publish to, likewise; any, if none is given."
    ),
    "policy.pinned": Setting(
        texts.switch,
        "false",
        "Whether only tools are installed that were registered with a tag or a commit in full, and only at that commit"
        " or at one that was approved here.",
    ),
    "policy.approve": Setting(
        texts.one_of(*APPROVE),
        "none",
        "What is installed only at commits that `mao tool approve` has let in: `none`, `updates` or `all`.",
    ),
    "policy.cooldown": Setting(
        texts.days_or_none,
        "0",
        "Days that have to pass after this node has first read a commit until it installs it, unless it was approved.",
    ),
    "install.size_limit": Setting(
        texts.size, "2 GB", "What the files of a tool may have together, and what may be fetched for them."
    ),
    "git.memory_limit": Setting(
        texts.size,
        "2 GB",
        "Memory of each git process that works on what a remote gives, where there is prlimit(1).",
    ),
    "git.time_limit": Setting(texts.seconds(_WEEK), "600", "Seconds until one exchange with a remote is ended."),
    "git.allow_http": Setting(texts.switch, "false", "Whether remotes without encryption (http://) are allowed."),
    "git.author_email": Setting(str, "", "E-mail address in the commits of this node; `mao@<node>` if not given."),
    "publishing.first_pause": Setting(
        texts.seconds(_YEAR),
        "5",
        "Seconds until a push is tried again after the network failed, then doubled; multiples of it for other causes.",
    ),
    "publishing.longest_pause": Setting(
        texts.seconds(_YEAR),
        "3600",
        "Seconds that the growing pauses reach at most; a host that limits pushes is given a minute in any case.",
    ),
    "publishing.large_file": Setting(
        texts.size,
        "50 MB",
        "Files of this size and larger go through git-lfs; where that cannot be, their run asks for a decision.",
    ),
    "publishing.dataset_limit": Setting(
        texts.size,
        "10 GB",
        "Size of a dataset past which its host warns; `mao dataset show` tells how far away it is.",
    ),
}
