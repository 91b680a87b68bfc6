"""Nodes that `mao cluster` makes a cluster of: each a home of its own on this machine, with its member of etcd."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forking import Process, origin
from mao.cluster_directory import ClusterDirectory
from support import PATIENCE, ServedNode, bare, commit, eventually, free_port, tool_files

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@dataclass
class Site:
    """A node on a machine of its own, as far as ports make one."""

    node: ServedNode
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(3)])

    @property
    def directory(self) -> ClusterDirectory:
        return ClusterDirectory(self.node.home)

    @property
    def place(self) -> list[str]:
        etcd, peer, cluster = map(str, self.ports)
        return ["--address", "127.0.0.1", "--etcd-port", etcd, "--peer-port", peer, "--cluster-port", cluster]

    def mao(self, *args: str, crash_at: str = "never", **environment: str) -> subprocess.CompletedProcess[str]:
        """The command line, which kills itself at a step."""
        self.node.home.parent.mkdir(parents=True, exist_ok=True)
        settings = self.node.environment() | environment
        return origin().run(Process([crash_at, *args], settings, str(self.node.home.parent)), PATIENCE * 3)

    def ok(self, *args: str) -> subprocess.CompletedProcess[str]:
        done = self.mao(*args)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def refused(self, *args: str, words: str, status: int = 4, **environment: str) -> None:
        done = self.mao(*args, **environment)
        assert (done.returncode, words in done.stderr) == (status, True), done.stderr

    def init(self) -> str:
        """Begin a cluster, and serve; an invitation."""
        printed = self.ok("cluster", "init", *self.place).stdout
        self.node.start()
        return printed.split()[-1]

    def invitation(self, *args: str) -> str:
        return self.ok("cluster", "invite", *args).stdout.strip()

    def join(self, invitation: str, *args: str, serve: bool = True) -> str:
        """Join, and serve; what was said."""
        said = self.ok("cluster", "join", invitation, *self.place, *args).stderr
        if serve:
            self.node.start()
        return said

    def leave(self, *args: str) -> str:
        self.node.stop()
        return self.ok("cluster", "leave", *args).stderr

    def status(self) -> Any:
        return json.loads(self.ok("cluster", "status", "-o", "json").stdout)

    def names(self) -> list[str]:
        return sorted(
            item["name"] for kind in ("tools", "datasets") for item in self.node.api("GET", f"/{kind}")["items"]
        )

    def lists(self, names: list[str]) -> bool:
        return self.names() == names

    def kill_member(self) -> None:
        pid = self.directory.member.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not self.directory.member.is_alive())


def tool_at(tmp_path: Path, name: str, where: str = "") -> Path:
    """A repository of a tool with a dataset of its own."""
    repository = tmp_path / f"repositories{where}" / name
    commit(repository, tool_files(bare(tmp_path / f"remotes{where}" / f"{name}.git"), name=name))
    return repository
