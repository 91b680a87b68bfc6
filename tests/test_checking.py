"""A tag that names another commit than the registered one is told of by an alarm, for as long as it does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from keys import put
from mao.alarm import AlarmKind
from mao.alarming import end_alarm, raise_alarm
from mao.catalogue import tool_key
from mao.checking import check_tag, check_tags, end_outdated
from mao.daemon import Daemon
from mao.errors import GitFailed, NameTaken, OutsideFailed, TagMoved
from mao.finding import find_tool
from mao.installing import request_install
from mao.local_node import opened
from mao.registering import register_tool, withdraw_tool
from mao.updating import describe_update
from mao.values import now
from serving import hanging_server, serving
from support import bare, commit, eventually, git, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from mao.alarm import Alarm
    from mao.catalogue import Tool
    from mao.local_node import LocalNode

HOUR = 3600.0


def alarms(node: LocalNode) -> list[Alarm]:
    return node.store.alarms(AlarmKind.TAG_MOVED)


def by_tag(node: LocalNode, repository: Path, *options: str) -> Tool:
    """The tool, registered by a tag that is made with `options`."""
    git("tag", *options, "v1", cwd=repository)
    return register_tool(node, str(repository), ref="v1")


def move(repository: Path, to: str = "HEAD", *options: str) -> str:
    """Let the tag name another commit: that one."""
    commit(repository, {"moved.txt": to}, "moved") if to == "HEAD" else None
    git("tag", "--force", *options, "v1", to, cwd=repository)
    return git("rev-parse", f"{to}^{{commit}}", cwd=repository)


@pytest.mark.parametrize("options", [(), ("--annotate", "--message", "a release")])
def test_a_tag_that_moves_raises_one_alarm_which_ends_when_it_points_back(
    node: LocalNode, tool: Path, options: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registered = by_tag(node, tool, *options)
    assert check_tag(node, registered) is None
    assert alarms(node) == []

    moved = move(tool, "HEAD", *options)
    for _ in range(3):
        assert check_tag(node, registered)

    (alarm,) = alarms(node)
    assert (alarm.kind, alarm.subject) == ("tag-moved", "probe")
    for part in ("v1", registered.commit, moved, "mao tool register", "--replace", "mao tool update probe"):
        assert part in alarm.detail
    assert check_tag(node, registered) == alarm.detail

    move(tool, registered.commit, *options)
    assert check_tag(node, registered) is None
    assert alarms(node) == []
    said = [(record.levelname, record.name) for record in caplog.records]
    assert said == [("WARNING", "mao.alarming"), ("INFO", "mao.alarming")]


def test_a_tag_that_moves_on_is_the_same_alarm_in_other_words(node: LocalNode, tool: Path) -> None:
    registered = by_tag(node, tool)
    first = move(tool)
    check_tag(node, registered)
    (before,) = alarms(node)
    seq = node.store.last_seq()

    check_tag(node, registered)
    assert node.store.last_seq() == seq, "what has not changed is not written"

    git("tag", "--delete", "v1", cwd=tool)
    check_tag(node, registered)
    (after,) = alarms(node)
    assert after.since == before.since
    assert first in before.detail
    assert "is gone now" in after.detail


def test_branches_and_commits_may_go_on(node: LocalNode, tool: Path) -> None:
    on_branch = register_tool(node, str(tool))
    git("tag", "main", cwd=tool)
    commit(tool, {"more": "x"})
    assert check_tag(node, on_branch) is None
    assert check_tag(node, on_branch.model_copy(update={"ref": on_branch.commit})) is None
    assert alarms(node) == []


def test_a_remote_that_is_away_raises_no_alarm_and_ends_none(node: LocalNode, tool: Path) -> None:
    registered = by_tag(node, tool)
    away = tool.rename(tool.with_name("away"))
    with pytest.raises(OutsideFailed):
        check_tag(node, registered)
    assert alarms(node) == []
    away.rename(tool)

    move(tool)
    check_tag(node, registered)
    tool.rename(away)
    with pytest.raises(OutsideFailed):
        check_tag(node, registered)
    assert len(alarms(node)) == 1


def test_asking_for_the_installation_raises_the_alarm_and_installs_nothing(node: LocalNode, tool: Path) -> None:
    by_tag(node, tool)
    moved = move(tool)
    with pytest.raises(TagMoved, match=moved):
        request_install(node, "probe")
    assert len(alarms(node)) == 1
    assert node.store.installation("probe") is None

    git("tag", "--delete", "v1", cwd=tool)
    with pytest.raises(TagMoved, match="is gone now"):
        request_install(node, "probe")


def test_asking_for_an_update_raises_the_alarm(tmp_path: Path, tool: Path) -> None:
    with serving(tmp_path / "home") as served:
        by_tag(served.node, tool)
        served.api("POST", "/installations", {"tool": "probe"})
        served.installed()
        moved = move(tool)

        assert describe_update(served.node, "probe").new_commit == moved

        assert [alarm.subject for alarm in alarms(served.node)] == ["probe"]


def test_asking_to_register_it_again_raises_the_alarm(node: LocalNode, tool: Path) -> None:
    by_tag(node, tool)
    move(tool)
    with pytest.raises(NameTaken):
        register_tool(node, str(tool), ref="v1")
    assert len(alarms(node)) == 1


@pytest.mark.parametrize("how", ["replaced", "withdrawn"])
def test_an_alarm_ends_when_the_registration_is_replaced_or_withdrawn(node: LocalNode, tool: Path, how: str) -> None:
    registered = by_tag(node, tool)
    move(tool)
    check_tag(node, registered)
    end_outdated(node)
    assert len(alarms(node)) == 1

    if how == "replaced":
        entry = node.mirror.get(tool_key("probe"))
        assert entry is not None
        register_tool(node, str(tool), ref="v1", if_revision=entry.revision)
    else:
        withdraw_tool(node, "probe")

    check_tag(node, registered)  # what was read before raises it no more
    end_outdated(node)
    assert alarms(node) == []


def test_tags_are_looked_at_once_an_hour_and_not_all_at_once(node: LocalNode, tmp_path: Path) -> None:
    remotes = {}
    for name in ("one", "two", "three"):
        remotes[name] = tmp_path / "tools" / name
        commit(remotes[name], tool_files(bare(tmp_path / f"{name}.git"), name=name))
        by_tag(node, remotes[name])
        move(remotes[name])
    turns: dict[str, float] = {}

    check_tags(node, turns, 0.0)
    assert len(set(turns.values())) == 3
    assert all(0 <= turn < HOUR for turn in turns.values())
    assert alarms(node) == []

    first, *_, last = sorted(turns.values())
    check_tags(node, turns, first)
    assert len(alarms(node)) == 1
    check_tags(node, turns, last)
    assert len(alarms(node)) == 3

    for repository in remotes.values():
        move(repository, "HEAD~1")
    check_tags(node, turns, first + HOUR - 1)
    assert len(alarms(node)) == 3
    check_tags(node, turns, last + HOUR)
    assert alarms(node) == []


def test_a_remote_that_is_away_does_not_hide_another_tag(node: LocalNode, tool: Path, tmp_path: Path) -> None:
    other = tmp_path / "tools" / "other"
    commit(other, tool_files(bare(tmp_path / "other.git"), name="other"))
    by_tag(node, tool)
    by_tag(node, other)
    move(other)
    tool.rename(tool.with_name("away"))

    check_tags(node, {tool_key("probe"): 0.0, tool_key("other"): 1.0}, HOUR)

    assert [alarm.subject for alarm in alarms(node)] == ["other"]


def test_a_look_is_cut_short_when_the_node_stops(tmp_path: Path, tool: Path) -> None:
    with hanging_server() as (url, taken), opened(settings(tmp_path / "home", **{"git.allow_http": "true"})) as node:
        registered = by_tag(node, tool)
        away = registered.model_copy(update={"url": url})
        present = node.mirror.get(tool_key("probe"))
        assert present is not None
        value = away.model_dump_json(by_alias=True).encode()
        node.mirror.catch_up(put(node.registry, tool_key("probe"), value, if_revision=present.revision))
        daemon = Daemon(node)
        daemon._turns[tool_key("probe")] = daemon._tend_at = 0.0
        daemon.start()
        eventually(lambda: taken, "the remote is asked")
        daemon.stop()
        assert alarms(node) == []


def test_tools_of_others_that_are_not_here_are_left_alone(tmp_path: Path, tool: Path) -> None:
    with serving(tmp_path / "alpha") as alpha:
        (tmp_path / "beta").mkdir()
        (tmp_path / "beta" / "registry.sqlite").symlink_to(tmp_path / "alpha" / "registry.sqlite")
        with serving(tmp_path / "beta", node__name="beta") as beta:
            by_tag(alpha.node, tool)
            eventually(lambda: beta.node.mirror.get(tool_key("probe")), "beta hears of the tool")
            turns: dict[str, float] = {}
            check_tags(beta.node, turns, 0.0)
            assert turns == {}


def test_every_node_that_has_the_tool_raises_the_alarm_and_ends_it(tmp_path: Path, tool: Path) -> None:
    """Two nodes over one registry: the one that registered the tool, and one that has it installed."""
    with serving(tmp_path / "alpha") as alpha:
        (tmp_path / "beta").mkdir()
        (tmp_path / "beta" / "registry.sqlite").symlink_to(tmp_path / "alpha" / "registry.sqlite")
        with serving(tmp_path / "beta", node__name="beta") as beta:
            by_tag(alpha.node, tool)
            eventually(lambda: beta.node.mirror.get(tool_key("probe")), "beta hears of the tool")
            beta.api("POST", "/installations", {"tool": "probe"})
            beta.installed()
            move(tool)
            for served in (alpha, beta):
                check_tags(served.node, {tool_key("probe"): 0.0}, HOUR)
                assert [alarm["subject"] for alarm in served.api("GET", "/alarms")["items"]] == ["probe"]

            tag = alpha.request("GET", "/api/v1/tools/probe").headers["etag"]
            alpha.api("POST", "/tools", {"url": str(tool), "ref": "v1"}, If_Match=tag)

            eventually(lambda: not alarms(alpha.node) + alarms(beta.node), "both end their alarms by themselves")


def test_the_daemon_looks_at_tags_by_itself(node: LocalNode, tool: Path) -> None:
    by_tag(node, tool)
    move(tool)
    daemon = Daemon(node)
    daemon._turns[tool_key("probe")] = daemon._tend_at = 0.0
    daemon.start()
    try:
        eventually(lambda: alarms(node), "the alarm is raised")
        withdraw_tool(node, "probe")
        eventually(lambda: not alarms(node), "the alarm ends")
    finally:
        daemon.stop()


def test_alarms_outlive_the_node(tmp_path: Path, tool: Path) -> None:
    with opened(settings(tmp_path / "home")) as node:
        registered = by_tag(node, tool)
        move(tool)
        check_tag(node, registered)
        before = alarms(node)
    with opened(settings(tmp_path / "home")) as node:
        assert alarms(node) == before
        check_tag(node, find_tool(node, "probe"))
        assert alarms(node) == before


def test_a_remote_that_says_that_it_cannot_answer_is_no_tag_that_is_gone(node: LocalNode, tool: Path) -> None:
    registered = by_tag(node, tool)
    (tool / ".git" / "HEAD").write_text("broken")
    with pytest.raises((GitFailed, OutsideFailed)):
        check_tag(node, registered)
    assert alarms(node) == []


def test_an_alarm_that_has_taken_the_place_of_another_is_not_ended_with_it(node: LocalNode, tool: Path) -> None:
    registered = by_tag(node, tool)
    move(tool)
    check_tag(node, registered)
    (before,) = alarms(node)
    later = before.model_copy(update={"about": "another registration", "since": now()})
    raise_alarm(node, later)
    end_alarm(node, before, "it is over.")
    assert alarms(node) == [later]
