from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from serving import Serving, serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = {"Accept": "text/html"}
ARGUMENTS = """\
    Arguments:
      - {Name: Place, Type: choice, Choices: [harbour, hill], Default: hill}
      - {Name: Often, Type: integer, Description: "How <often>"}
      - {Name: Loud, Type: boolean, Required: false}
      - {Name: Key, Type: secret, Required: false}
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    directory = tmp_path_factory.mktemp("node")
    files = tool_files(bare(directory / "data.git"), scripts={"Look": "true", "Ask": "true"}, more=ARGUMENTS.rstrip())
    commit(directory / "probe", files)
    with serving(directory / "home") as served:
        served.install(directory / "probe")
        yield served


def page(node: Serving, path: str, token: str | None = None) -> str:
    reply = node.over_tcp("GET", path, headers=HTML, token=token) if token else node.request("GET", path, headers=HTML)
    assert reply.status == 200, reply.body.decode()
    return reply.body.decode()


def preview(node: Serving, **asked: str) -> str:
    return page(node, f"/view/schedules/preview?{urlencode(asked)}")


def test_a_rule_is_previewed_as_the_api_does(node: Serving) -> None:
    text = preview(node, cron="30 2 * * *", timezone="Europe/Zurich")
    items = node.api("GET", "/schedules/preview?cron=30+2+*+*+*&timezone=Europe/Zurich&count=5")["items"]
    assert re.findall(r'data-zone="([^"]+)"', text) == [item["local"] for item in items]
    assert "<html" not in text


def test_the_preview_tells_what_daylight_saving_time_does(node: Serving) -> None:
    assert "does not exist on this day" in preview(node, cron="30 2 * 3 0L", timezone="Europe/Zurich")


@pytest.mark.parametrize(
    ("cron", "timezone", "words"),
    [
        ("", "UTC", "is no rule: give"),
        ("61 * * * *", "UTC", "its minute is &#39;61&#39;"),
        ("0 0 30 2 *", "UTC", "is never due"),
        ("daily", "Europe/Zürich", "did you mean &#39;Europe/Zurich&#39;?"),
        ("<script> * * * *", "UTC", "&lt;script&gt;"),
    ],
)
def test_the_preview_tells_what_is_wrong_with_a_rule(node: Serving, cron: str, timezone: str, words: str) -> None:
    text = preview(node, cron=cron, timezone=timezone)
    assert words in text
    assert "Nothing was changed" not in text


def test_a_command_is_chosen_first(node: Serving) -> None:
    text = page(node, "/view/schedules/new")
    assert '<option value="probe/Look">probe Look</option>' in text
    assert "data-send" not in text
    assert 'name="command" value="Look"' in page(node, "/view/schedules/new?tool=PROBE&command=look")
    assert 'name="command" value="Look"' in page(node, "/view/schedules/new?of=probe/Look")
    assert "has no such command" in page(node, "/view/schedules/new?tool=probe&command=Dance")


def test_each_argument_has_its_field(node: Serving) -> None:
    text = page(node, "/view/schedules/new?of=probe/Ask")
    assert re.findall(r'data-key="(Place|Often|Loud|Key)"', text) == ["Place", "Often", "Loud", "Key"]
    assert "<option selected>hill</option>" in text
    assert "How &lt;often&gt;" in text
    (often,) = re.findall(r'<input[^>]+data-key="Often"[^>]+>', text)
    assert " required" in often
    assert text.count('<label for="argument-') == 4


def test_who_may_not_run_the_tool_is_told_so(node: Serving) -> None:
    text = page(node, "/view/schedules/new?of=probe/Ask", node.token("read"))
    assert "needs the right 'run'" in text
    assert "data-send" not in text


def test_a_schedule_is_edited_with_what_it_has(node: Serving) -> None:
    body = {
        "tool": "probe",
        "command": "Ask",
        "arguments": {"Place": "harbour", "Often": "3", "Loud": "true"},
        "cron": "weekly",
        "timezone": "Asia/Tokyo",
        "retries": 2,
    }
    schedule = node.api("POST", "/schedules", body)["id"]
    text = page(node, f"/view/schedules/{schedule}/edit")
    assert f'data-send="PATCH /api/v1/schedules/{schedule}"' in text
    for part in ('value="weekly"', 'value="Asia/Tokyo"', "<option selected>harbour</option>", 'value="3"'):
        assert part in text
    assert "<option selected>true</option>" in text
    assert 'name="tool"' not in text


def test_a_command_that_is_gone_cannot_be_edited(node: Serving) -> None:
    schedule = node.node.store.schedule(
        node.api("POST", "/schedules", {"tool": "probe", "command": "Look", "cron": "weekly"})["id"]
    )
    assert schedule is not None
    node.node.store.save(schedule.model_copy(update={"command": "Gone"}))
    assert "has the command Gone no more" in page(node, f"/view/schedules/{schedule.id}/edit")
