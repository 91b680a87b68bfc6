from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from keys import put
from mao.alarm import Alarm, AlarmKind
from mao.alarming import end_alarm, raise_alarm
from mao.catalogue import Tool, tool_key
from mao.definition_file import load
from mao.values import now
from serving import Serving, follow

DEFINITION = load(
    "Version: 1\nName: any\nDescription: x\nData: {Fresh: true, Repo: {Name: d, Remote: 'https://example.org/d'}}\n"
    "Commands: [{Name: Run, Description: x, Command: bash, Script: run.sh}]\n"
)


def raised(node: Serving, subject: str) -> Alarm:
    """An alarm about a tool that is registered by a tag; the node would end one about any other."""
    tool = Tool(
        name=subject,
        url="https://example.org/tool",
        ref="refs/tags/v1",
        commit="0" * 40,
        definition=DEFINITION,
        dataset="d",
        registered_by="beta",
        registered_at=now(),
    )
    value = tool.model_dump_json(by_alias=True).encode()
    node.node.mirror.catch_up(put(node.node.registry, tool_key(subject), value, if_revision=0))
    about = f"{tool.url} {tool.ref} {tool.commit}"
    alarm = Alarm(kind=AlarmKind.TAG_MOVED, subject=subject, about=about, detail="It moved.", since=now())
    raise_alarm(node.node, alarm)
    return alarm


def counted(node: Serving) -> dict[str, float]:
    families = text_string_to_metric_families(node.request("GET", "/metrics").body.decode())
    return {s.labels["kind"]: s.value for family in families for s in family.samples if s.name == "mao_alarms"}


def test_alarms_are_listed_in_pages_and_by_kind(served: Serving) -> None:
    assert served.api("GET", "/alarms") == {"items": [], "next_page_token": None}
    for name in ("One", "two", "three"):
        raised(served, name)

    first = served.api("GET", "/alarms?page_size=2&kind=tag-moved")
    rest = served.api("GET", f"/alarms?page_size=2&page_token={first['next_page_token']}")

    assert [alarm["subject"] for alarm in first["items"] + rest["items"]] == ["One", "three", "two"]
    assert first["items"][0].keys() == {"kind", "subject", "about", "detail", "since"}
    assert served.request("GET", "/api/v1/alarms?kind=other").status == 422


def test_alarms_are_counted_by_kind(served: Serving) -> None:
    assert counted(served) == {"tag-moved": 0}
    alarm = raised(served, "one")
    raised(served, "two")
    assert counted(served) == {"tag-moved": 2}
    end_alarm(served.node, alarm, "it is over.")
    assert counted(served) == {"tag-moved": 1}


def test_an_alarm_comes_once_as_an_event_and_another_says_that_it_is_gone(served: Serving) -> None:
    stream = follow(served, "/events")
    assert next(stream).event == "hello"

    alarm = raised(served, "Probe")
    told = next(event for event in stream if event.event == "alarm")
    raise_alarm(served.node, alarm.model_copy(update={"since": now()}))
    end_alarm(served.node, alarm, "it is over.")
    gone = next(event for event in stream if event.event == "alarm")

    assert json.loads(told.data) == json.loads(alarm.model_dump_json())
    assert json.loads(gone.data) == {"key": "tag-moved:probe", "gone": True}
