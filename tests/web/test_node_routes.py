from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from mao.catalogue import Node, node_key
from mao.registry import Edit
from mao.values import new_id, now, rfc3339
from serving import follow

if TYPE_CHECKING:
    from serving import Serving


def come(served: Serving, *names: str) -> None:
    """Have other nodes come into the cluster."""
    for name in names:
        value = Node(name=name, id=new_id(), url=f"https://{name}:8443", version="1", tools={}, since=now())
        edit = Edit(node_key(name), value.model_dump_json().encode(), 0)
        served.node.mirror.catch_up(served.node.registry.write(edit))


def test_the_nodes_are_listed_in_pages(served: Serving) -> None:
    come(served, "Beta", "gamma", "delta")
    first = served.api("GET", "/nodes?page_size=3")
    assert [(item["name"], item["here"]) for item in first["items"]] == [
        ("alpha", True),
        ("Beta", False),
        ("delta", False),
    ]
    rest = served.api("GET", f"/nodes?page_size=3&page_token={first['next_page_token']}")
    assert [item["name"] for item in rest["items"]] == ["gamma"]
    assert rest["next_page_token"] is None


def test_a_node_was_seen_when_the_registry_was_last_in_touch(served: Serving) -> None:
    come(served, "beta")
    began = now()
    seen = served.api("GET", "/nodes/BETA")
    assert (seen["name"], seen["url"], seen["here"]) == ("beta", "https://beta:8443", False)
    assert rfc3339(began - timedelta(seconds=60)) < seen["last_seen"] <= rfc3339(now())
    assert served.request("GET", "/api/v1/nodes").headers["x-mao-registry-age"] == "0"
    unknown = served.request("GET", "/api/v1/nodes/bta")
    assert (unknown.status, unknown.json["code"]) == (404, "node-not-found")
    assert "did you mean 'beta'?" in unknown.json["detail"]


def test_a_node_of_a_later_version_may_say_more_of_itself(served: Serving) -> None:
    come(served, "beta")
    entry = served.node.registry.get(node_key("beta"))
    assert entry is not None
    more = json.dumps(json.loads(entry.value) | {"weather": "fine"}).encode()
    served.node.mirror.catch_up(served.node.registry.write(Edit(entry.key, more, entry.revision)))
    assert [item["name"] for item in served.api("GET", "/nodes")["items"]] == ["alpha", "beta"]


def test_who_follows_the_events_is_told_of_nodes(served: Serving) -> None:
    stream = follow(served, "/events")
    next(stream)
    come(served, "beta")
    event = next(stream)
    assert (event.event, json.loads(event.data)["name"]) == ("node", "beta")
    entry = served.node.registry.get(node_key("beta"))
    assert entry is not None
    served.node.registry.write(Edit(entry.key, None, entry.revision))
    event = next(stream)
    assert (event.event, json.loads(event.data)) == ("node", {"key": node_key("beta"), "gone": True})
