from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mao.catalogue import Node, node_key
from mao.registry import Edit
from mao.values import new_id, now
from peering import Authority
from serving import Serving, serving
from support import commit, eventually, git
from web.page.reading import look, signed_in, words
from web.test_alarm_routes import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from support import ServedNode

HOSTILE = ['<script>alert("x")</script>', '"><img src=x onerror=alert(1)>', "\u202egnp.exe\x1b[31m", "w" * 3000]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("nodes") / "home") as node:
        yield node


def come(served: Serving, name: str, **more: object) -> None:
    """Have another node come into the cluster."""
    fields = {"url": f"https://{name}:8443", "version": "1", "tools": {}} | more
    value = Node(name=name, id=new_id(), since=now(), **fields)
    edit = Edit(node_key(name), value.model_dump_json().encode(), 0)
    served.node.mirror.catch_up(served.node.registry.write(edit))


def test_a_node_alone_says_that_it_is_and_how_it_would_come_into_a_cluster(alone: Serving) -> None:
    page = signed_in(alone, "/view/nodes/cluster", "read")
    assert "This node is alone" in words(page)
    assert "mao cluster init" in words(page)
    assert "mao cluster join INVITATION" in words(page)


def test_what_takes_long_comes_later_and_can_be_had_without_scripts(alone: Serving) -> None:
    page = signed_in(alone, "/view/nodes", "read")
    later = re.findall(r'hx-get="([^"]+)" hx-trigger="load, every \d+s"', page)
    assert later == ["/view/nodes/health", "/view/nodes/cluster"]
    assert re.findall(r'<a href="(/view/nodes/[^"]+)">', page) == later


def test_the_health_is_what_the_api_tells(alone: Serving) -> None:
    told = alone.api("GET", "/health")["findings"]
    text = words(look(alone, "/view/nodes/health").body)
    troubled = [finding for finding in told if finding["result"] != "ok"]
    count = f"{len(troubled)} thing" + ("s" if len(troubled) > 1 else "")
    assert f"{count} to look at {len(told)} checks" in text
    for finding in told:
        assert " ".join(f"{finding['check']} {finding['result']} {finding['found']}".split()) in text
        assert " ".join(finding["advice"].split()) in text
    assert count in words(look(alone, "/view/nodes").body), "what is known already is there at once"


def test_each_node_is_shown_with_its_tools(served: Serving) -> None:
    come(served, "beta", tools={"probe": "a" * 40}, sandbox=True)
    come(served, "gamma", tools={f"tool-{i}": "b" * 40 for i in range(9)}, url=None, sandbox=False)

    page = look(served, "/view/nodes").body.decode()

    assert re.search(r"alpha this one \S+ none: others cannot ask it without a sandbox none", words(page))
    assert "beta 1 https://beta:8443 in a sandbox probe aaaaaaaaaaaa 0 s ago" in words(page)
    assert "gamma 1 none: others cannot ask it without a sandbox 9 tools tool-0 bbbbbbbbbbbb" in words(page)
    assert 'href="/view/tools/probe"' in page


def test_what_waits_for_somebody_is_there_with_what_to_do(served: Serving, tool: Path, remote: Path) -> None:
    assert "Nothing: no alarm is raised" in words(look(served, "/view/nodes").body)
    served.install(tool)
    served.ended(served.run("Write", "1"))
    commit(remote.parent / "other", {"x": "another history"})
    git("push", "--quiet", "--force", remote, "main", cwd=remote.parent / "other")
    run = served.ended(served.run("Write", "2"))
    raised(served, "elsewhere")

    text = words(look(served, "/view/nodes").body)

    assert "tag-moved elsewhere It moved." in text
    assert f"{run['id'][-12:]} probe probe-data The branch no longer holds commit" in text
    assert "Nothing:" not in text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_other_nodes_say_is_text(served: Serving, text: str) -> None:
    come(served, "beta", version=text, url=f"https://{text}", tools={"probe": text})
    served.node.store.save(raised(served, "elsewhere").model_copy(update={"detail": text}))
    page = look(served, "/view/nodes")
    assert page.status == 200
    assert b"<script>alert" not in page.body
    assert b"<img" not in page.body


def test_many_nodes_come_in_pages(served: Serving) -> None:
    for number in range(101):
        come(served, f"n{number:03}")
    page = look(served, "/view/nodes").body.decode()
    (further,) = re.findall(r'<a rel="next" href="([^"]+)">', page)
    assert page.count('<th scope="row">') == 100
    rest = look(served, further).body.decode()
    assert re.findall(r'<th scope="row">(\w+)</th>', rest) == ["n099", "n100"]


def test_a_cluster_is_shown_with_its_members_its_clocks_and_what_to_do(
    serve: Callable[..., ServedNode], own_etcd: Callable[..., EtcdCluster], tmp_path: Path
) -> None:
    authority, url = Authority(tmp_path / "authority"), own_etcd(size=1).url
    alpha, beta = (serve(name, **authority.settings(name, MAO_REGISTRY__URL=url)) for name in ("alpha", "beta"))
    eventually(lambda: len(alpha.api("GET", "/nodes")["items"]) == 2)

    text = words(look(alpha, "/view/nodes/cluster").body)

    assert re.search(r"\S+ leader \S+ 3\.\S+ .* of .* \d+ ms", text)
    assert re.search(r"beta https://\S+ [+-]0\.\d{3} s, to 0\.\d{3} s", text)
    assert "Quorum ok Registry in touch" in text
    beta.kill()
    assert "does not answer" in words(look(alpha, "/view/nodes/cluster").body)
