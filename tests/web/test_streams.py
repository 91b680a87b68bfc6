from __future__ import annotations

import json
from typing import TYPE_CHECKING

from serving import Serving, follow, serving
from support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etcd_cluster import EtcdCluster
    from serving import SentEvent


def until(stream: Iterator[SentEvent], kind: str, text: str = "") -> SentEvent:
    """The next event of this kind that holds `text`."""
    return next(event for event in stream if event.event == kind and text in event.data)


def test_everything_that_changes_is_told(served: Serving, tool: Path) -> None:
    stream = follow(served, "/events")
    assert next(stream).event == "hello"

    served.api("POST", "/tools", {"url": str(tool)})
    assert until(stream, "dataset").data.startswith('{"name":"probe-data"')
    told = until(stream, "tool")
    assert json.loads(told.data) == served.api("GET", "/tools/probe")

    served.api("POST", "/installations", {"tool": "probe"})
    until(stream, "installation", '"state":"installed"')
    run = served.run("Write", "1")
    ended = until(stream, "run", '"state":"succeeded"')
    assert json.loads(ended.data) == served.api("GET", f"/runs/{run['id']}")

    served.api("POST", "/clones", {"dataset": "probe-data"})
    until(stream, "clone", '"state":"ready"')
    served.api("DELETE", "/clones/probe-data")
    assert json.loads(until(stream, "clone", "gone").data) == {"key": "probe-data", "gone": True}
    served.api("DELETE", "/tools/probe")
    assert json.loads(until(stream, "tool", "gone").data) == {"key": "/mao/v1/tools/probe", "gone": True}


def test_who_comes_back_is_told_of_what_it_missed_and_of_nothing_twice(served: Serving, tool: Path) -> None:
    stream = follow(served, "/events")
    next(stream)
    served.api("POST", "/tools", {"url": str(tool)})
    last = until(stream, "tool")
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    served.api("DELETE", "/tools/probe")
    served.api("POST", "/datasets", {"name": "more", "url": str(tool)})

    stream = follow(served, "/events", last.id)

    assert [next(stream).event for _ in range(3)] == ["hello", "tool", "dataset"]


def test_following_goes_on_over_a_restart_of_the_node(tmp_path: Path, tool: Path) -> None:
    with serving(tmp_path / "home") as node:
        stream = follow(node, "/events")
        next(stream)
        node.install(tool)
        last = until(stream, "installation", '"state":"installed"')
        run = node.ended(node.run("Write", "1"))
        node.api("POST", "/datasets", {"name": "more", "url": str(tool)})

    with serving(tmp_path / "home") as node:
        stream = follow(node, "/events", last.id)
        told = [next(stream) for _ in range(3)]

    assert [event.event for event in told] == ["hello", "run", "dataset"]
    assert json.loads(told[1].data)["id"] == run["id"]


def test_the_id_of_every_event_is_where_to_go_on(served: Serving, tool: Path) -> None:
    first = next(follow(served, "/events"))
    served.api("POST", "/tools", {"url": str(tool)})
    stream = follow(served, "/events", first.id)
    dataset, registered = until(stream, "dataset"), next(stream)

    again = follow(served, "/events", dataset.id)

    assert next(again).event == "hello"
    assert next(again) == registered


def test_a_last_event_id_that_this_server_did_not_give_is_refused(served: Serving) -> None:
    for nonsense in ("x", "1", "1.2.3", "-1.0", "²." + "1", "1." + "9" * 30):
        reply = served.request("GET", "/api/v1/events", headers={"Last-Event-ID": nonsense})
        assert (reply.status, reply.json["code"]) == (422, "bad-body"), nonsense


def test_a_follower_that_goes_away_leaves_nothing_behind(served: Serving) -> None:
    state = served.server.server_state
    streams = [follow(served, "/events") for _ in range(20)]
    for stream in streams:
        next(stream)
    assert len(state.tasks) >= 20

    for stream in streams:
        stream.close()  # type: ignore[attr-defined]  # it is a generator

    eventually(lambda: len(state.tasks) == 0, "the server has ended the streams")


def test_who_resumes_between_two_changes_of_one_write_gets_both(tmp_path: Path, tool: Path, etcd: EtcdCluster) -> None:
    etcd.empty()
    with serving(tmp_path / "home", registry__url=etcd.url) as node:
        first = next(follow(node, "/events"))
        node.api("POST", "/tools", {"url": str(tool)})  # etcd gives the tool and its dataset one revision
        stream = follow(node, "/events", first.id)
        told = [until(stream, "dataset"), next(stream)]

        for last, wanted in ((first, told), (told[0], told), (told[1], [])):
            again = follow(node, "/events", last.id)
            assert next(again).event == "hello"
            assert [next(again) for _ in wanted] == wanted
        node.api("DELETE", "/tools/probe")
        assert (until(again, "tool", "gone").event, until(again, "dataset").event) == ("tool", "dataset")
