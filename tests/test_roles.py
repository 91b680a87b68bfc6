"""The rights of nodes in an etcd that somebody else looks after, made by the commands that MAO prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from etcd_cluster import EtcdCluster, make_tls, need_etcd
from keys import put
from mao.authority import ask_for_rights
from mao.catalogue import DATASETS, HEADS, TOOLS, node_key, slots_below
from mao.errors import RightMissing
from mao.etcd.client import EtcdClient
from mao.registries.etcd import EtcdRegistry
from mao.roles import commands, is_grantable

if TYPE_CHECKING:
    from mao.registry import Registry


def test_a_node_is_granted_names_of_things_only() -> None:
    assert is_grantable(f"{TOOLS}probe")
    for key in (TOOLS, f"{TOOLS}a/b", f"{HEADS}data", node_key("alpha"), "/mao/v1/authority", "/else"):
        assert not is_grantable(key)


def test_the_docs_show_what_is_printed() -> None:
    page = (Path(__file__).parent.parent / "docs/how-to/use-an-etcd.md").read_text()
    assert "\n".join(commands("neuchatel", administrator=False)) in page


def test_the_printed_commands_give_a_node_what_is_its_own_and_an_administrator_the_rest(tmp_path: Path) -> None:
    need_etcd()
    tls = make_tls(tmp_path / "tls")  # of the user `node`
    etcd = EtcdCluster(tmp_path / "etcd", size=1, tls=tls).start()

    def ask(registry: Registry, keys: object) -> None:
        ask_for_rights(settings(tmp_path), registry, list(keys))  # type: ignore[call-overload]  # a sequence of keys

    registry = EtcdRegistry(EtcdClient(etcd.endpoints, tls.ca, tls.certificate, tls.key), ask)
    try:
        for command in ("user add root:secret", "user grant-role root root", "auth enable"):
            etcd.etcdctl(*command.split())
        etcd.user = "root:secret"
        for line in commands("node", administrator=False):
            etcd.etcdctl(*line.split()[1:])
        for key in (node_key("node"), f"{HEADS}data", f"{slots_below('1')}2026"):
            put(registry, key, b"1", if_revision=0)
        for key in (node_key("other"), f"{TOOLS}probe", "/elsewhere"):
            with pytest.raises(RightMissing, match=f"write '{key}'. Whoever looks after etcd .* `mao cluster roles"):
                put(registry, key, b"1", if_revision=0)
        for line in commands("node", administrator=True):
            if "administrator" in line:
                etcd.etcdctl(*line.split()[1:])
        for key in (f"{TOOLS}probe", f"{DATASETS}data"):
            put(registry, key, b"1", if_revision=0)
        assert len(registry.entries("/mao/v1/")[0]) == 5
    finally:
        registry.close()
        etcd.stop()
