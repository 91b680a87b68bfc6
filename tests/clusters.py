"""Three nodes on three hosts, each with its member of etcd: made to fail, mended, and looked at whether all agree."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from etcd_cluster import EtcdCluster
from mao.catalogue import DATASETS, HEADS, NODES, TOOLS
from mao.mirror import PREFIX
from namespaces import Cut, Loopback, Namespaces
from support import WRITE, ServedNode, bare, commit, eventually, git, tool_files, trailers
from writers import Told, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from support import Reply

NAMES = ("alpha", "beta", "gamma")
SOON = 60.0
"""Seconds within which all agree again after the last fault; the machine may be busy with other tests."""


@dataclass
class PlacedNode(ServedNode):
    """A node on a host; the test asks it there."""

    inside: Callable[[], AbstractContextManager[None]] = nullcontext

    def start(self, crash_at: str | None = None) -> ServedNode:
        with self.inside():
            return super().start(crash_at)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        with self.inside():
            return super().request(method, path, body, headers)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def listed(self, kind: str) -> dict[str, Any]:
        """All that it lists, by name."""
        items: dict[str, Any] = {}
        token: str | None = ""
        while token is not None:
            answer = self.api("GET", f"/{kind}?page_size=500&page_token={token}")
            for item in answer["items"]:
                assert item["name"].lower() not in items, f"{self.name} lists {item['name']} twice"
                items[item["name"].lower()] = item
            token = answer["next_page_token"]
        return items

    def age(self) -> int:
        """Seconds since the registry was in touch with it, as it says; 0 if it is."""
        reply = self.request("GET", "/api/v1/datasets?page_size=1")
        assert reply.status == 200
        return int(reply.headers["x-mao-registry-age"])


@dataclass(frozen=True)
class Held:
    """What etcd holds under a key, and since which revision."""

    value: Any
    revision: int


@dataclass
class Cluster:
    """Member `i` of etcd and node `i` are on host `i`. Begun with `start`, ended with `close`.

    Args:
        directory: of all that there is; the nodes' logs are in it.
        network: of the hosts.
        inbox: whether the dataset's remote has one; the node that folds it can fail, which the others notice after
            20 seconds.
    """

    directory: Path
    network: Loopback | Namespaces
    inbox: bool = False
    scripts: dict[str, str] = field(default_factory=dict)
    """Further commands of the tool, each with one argument."""
    nodes: list[PlacedNode] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    """All that there ever were: what their writers were told holds on."""
    cuts: set[int] = field(default_factory=set)

    def start(self) -> Cluster:
        self.etcd = EtcdCluster(self.directory / "etcd", network=self.network).start()
        self.remote, self.other = bare(self.directory / "data.git"), bare(self.directory / "other.git")
        if not self.inbox:
            git("config", "receive.hideRefs", "refs/mao", cwd=self.remote)
        scripts = {"Write": WRITE, **self.scripts}
        commit(
            self.directory / "probe", tool_files(self.remote, scripts=scripts, arguments=dict.fromkeys(self.scripts, 1))
        )
        endpoints = self.etcd.endpoints
        for i, name in enumerate(NAMES):
            settings = {
                "MAO_REGISTRY__URL": "etcd://" + ",".join(endpoints[i:] + endpoints[:i]),
                "MAO_REGISTRY__LEASE": "3",
            }
            inside = partial(self.network.inside, i)
            self.nodes.append(PlacedNode(self.directory / f"home-{name}", name, settings, inside=inside))
        self.each(lambda node: node.start())
        self.nodes[0].api("POST", "/tools", {"url": str(self.directory / "probe")})
        for node in self.nodes:
            eventually(partial(node.listed, "tools"), f"{node.name} lists the tool")
            node.api("POST", "/installations", {"tool": "probe"})
        self.each(lambda node: node.installed())
        return self

    def each(self, do: Callable[[PlacedNode], Any]) -> None:
        """Do this with all nodes at the same time."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(do, self.nodes))

    def close(self) -> None:
        self.mend()
        self.each(lambda node: node.stop())
        self.etcd.stop()
        if isinstance(self.network, Namespaces):
            self.network.close()

    def cut(self, i: int, cut: Cut) -> None:
        """Cut host `i` off from the others."""
        assert isinstance(self.network, Namespaces)
        self.network.cut(i, cut)
        self.cuts.add(i)

    def heal(self, i: int) -> None:
        assert isinstance(self.network, Namespaces)
        self.network.heal(i)
        self.cuts.discard(i)

    def mend(self) -> None:
        """End every fault that there is; clocks stay."""
        for i in tuple(self.cuts):
            self.heal(i)
        members = [i for i, process in enumerate(self.etcd.processes) if process is None or process.poll() is not None]
        for i in set(range(self.etcd.size)) - set(members):
            self.etcd.resume(i)
        self.etcd.restart(*members)
        for node in self.nodes:
            if node.dead():
                node.start()
            node.signal(signal.SIGCONT)

    @contextmanager
    def at_work(self) -> Iterator[Work]:
        """Have all nodes register, replace, withdraw, run and publish meanwhile; in the end all must agree."""
        since = self.revision()
        work = Work(self.nodes, self.other, len(self.works))
        self.works.append(work)
        try:
            yield work
        finally:
            work.end()
            self.mend()
            work.join()
        self.check(since)

    def held(self) -> dict[str, Held]:
        """What etcd holds; a linearizable read."""
        listed = json.loads(self.etcd.etcdctl("get", "--prefix", PREFIX, "--write-out=json"))
        held = {
            base64.b64decode(kv["key"]).decode(): Held(json.loads(base64.b64decode(kv["value"])), kv["mod_revision"])
            for kv in listed.get("kvs", [])
        }
        for key in [key for key in held if key.startswith(HEADS)]:  # datasets are shown with what is told of them
            held[key.replace(HEADS, DATASETS, 1)].value.update(held.pop(key).value)
        return held

    def revision(self) -> int:
        """Of etcd, now."""
        return int(json.loads(self.etcd.etcdctl("get", PREFIX, "--write-out=json"))["header"]["revision"])

    def check(self, since: int = 0) -> None:
        """Assert that all agree soon, and that what was acknowledged is there once, and what was refused is not.

        Args:
            since: also the revisions of what has changed since this one are looked at.
        """
        deadline = time.monotonic() + SOON
        while True:
            try:
                held = self._agreed()
                break
            except (AssertionError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        for key, entry in held.items():
            if entry.revision > since and not key.startswith(NODES):
                for node in self.nodes:
                    tag = node.request("GET", f"/api/v1/{key.removeprefix(PREFIX)}").headers["etag"]
                    assert tag == f'"{entry.revision}"', f"{node.name} has another revision of {key}"
        self._check_names({key.removeprefix(DATASETS): held[key].value for key in held if key.startswith(DATASETS)})
        self._check_runs()

    def _agreed(self) -> dict[str, Held]:
        """What etcd and all nodes hold, and the remote has."""
        held = self.held()
        for node in self.nodes:
            assert node.age() == 0, f"{node.name} says that the registry is away"
            for kind, prefix in (("tools", TOOLS), ("datasets", DATASETS)):
                expected = {key.removeprefix(prefix): held[key].value for key in held if key.startswith(prefix)}
                listed = node.listed(kind)
                differing = {name for name in expected.keys() | listed if expected.get(name) != listed.get(name)}
                assert not differing, f"{node.name} lists otherwise than etcd: {differing}"
            seen = {(item["name"], item["id"], item["since"]) for item in node.listed("nodes").values()}
            leased = [held[key].value for key in held if key.startswith(NODES)]
            assert seen == {(item["name"], item["id"], item["since"]) for item in leased}
            assert sorted(item["name"] for item in leased) == sorted(NAMES), "a node is missing"
        refs = git("for-each-ref", "--format=%(refname)", "refs/mao", cwd=self.remote).split()
        assert set(refs) <= {"refs/mao/fold"}, "data waits in the inbox"
        assert not self._unended(), "runs have not ended"
        newest = git("for-each-ref", "--format=%(objectname)", "refs/heads/main", cwd=self.remote)
        assert (held[f"{DATASETS}probe-data"].value["head"] or "") == newest, "the head is not the newest commit"
        return held

    def _unended(self) -> bool:
        states = ("queued", "running", "publishing", "unpublished")
        return any(node.api("GET", f"/runs?state={state}")["items"] for node in self.nodes for state in states)

    def _check_names(self, held: dict[str, Any]) -> None:
        registrars = [registrar for work in self.works for registrar in work.registrars]
        wrong = [line for work in self.works for writer in work.writers for line in writer.wrong]
        for registrar in registrars:
            for name, possible in registrar.possible.items():
                found = held[name]["description"] if name in held else None
                if found not in possible:
                    wrong.append(f"'{name}' holds {found}, not one of {possible}")
        for name in {name for registrar in registrars for name in registrar.common}:
            told = {r.node.name: r.common[name] for r in registrars if name in r.common}
            winners = [node for node, outcome in told.items() if outcome is Told.DONE]
            doubtful = [node for node, outcome in told.items() if outcome is Told.UNKNOWN]
            owner = held[name]["registered_by"] if name in held else ""
            if len(winners) > 1 or owner not in (winners or [*doubtful, ""]):
                wrong.append(f"'{name}' is of '{owner}'; told was {told}")
        assert not wrong, "\n".join(wrong)

    def _check_runs(self) -> None:
        published = Counter(trailers(self.remote, "MAO-Run"))
        accepted = {run for work in self.works for runner in work.runners for run in runner.accepted}
        assert not accepted - published.keys(), "accepted runs were not published"
        assert not [run for run, times in published.items() if times > 1], "runs were published twice"
