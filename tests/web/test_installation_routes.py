from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from serving import follow, hanging_server, serving
from support import commit, eventually, git, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from serving import Serving


def put_up(node: Serving, tmp_path: Path, remote: Path, installer: str, name: str = "probe") -> Any:
    """Register a tool with this installer and begin to install it."""
    commit(tmp_path / name, tool_files(remote, name=name, installer=installer))
    node.api("POST", "/tools", {"url": str(tmp_path / name)})
    return node.api("POST", "/installations", {"tool": name})


def test_a_tool_is_installed_and_removed(served: Serving, tool: Path) -> None:
    served.api("POST", "/tools", {"url": str(tool)})

    asked = served.request("POST", "/api/v1/installations", {"tool": "PROBE"})

    assert (asked.status, asked.headers["location"]) == (202, "/api/v1/installations/probe")
    done = served.installed()
    assert (done["state"], done["attempt"]["step"]) == ("installed", "done")
    assert done["commit"] == git("rev-parse", "HEAD", cwd=tool)
    assert done["definition"]["Name"] == "probe"
    assert served.api("GET", "/installations")["items"] == [done]
    before = served.count()
    assert served.api("POST", "/installations", {"tool": "probe"}, status=202) == done
    assert served.count() == before

    assert served.request("DELETE", "/api/v1/installations/Probe").status == 204
    gone = served.request("GET", "/api/v1/installations/probe")
    assert (gone.status, gone.json["code"]) == (404, "not-installed")
    assert "mao tool install probe" in gone.json["detail"]


def test_waiting_with_prefer_answers_when_the_attempt_has_ended(served: Serving, tmp_path: Path, remote: Path) -> None:
    gate = tmp_path / "gate"
    put_up(served, tmp_path, remote, f"until test -e {gate}; do sleep 0.05; done")

    early = served.api("GET", "/installations/probe", Prefer="wait=0")
    assert early["attempt"]["step"] in {"cloning", "installing"}
    gate.touch()
    assert served.api("GET", "/installations/probe", Prefer="wait=60")["attempt"]["step"] == "done"


def test_the_installers_log_is_text_and_a_stream(served: Serving, tmp_path: Path, remote: Path) -> None:
    gate = tmp_path / "gate"
    put_up(served, tmp_path, remote, f"echo first\nuntil test -e {gate}; do sleep 0.05; done\necho last")

    stream = follow(served, "/installations/probe/log")
    first = next(stream)
    assert (first.event, first.data) == ("log", '"first\\n"')
    gate.touch()
    rest = list(stream)
    assert (rest[-2].data, rest[-1].event) == ('"last\\n"', "end")
    assert '"state":"installed"' in rest[-1].data
    assert served.request("GET", "/api/v1/installations/probe/log").body == b"first\nlast\n"


def test_an_installer_that_fails_leaves_its_last_words(served: Serving, tmp_path: Path, remote: Path) -> None:
    put_up(served, tmp_path, remote, "echo no compiler here >&2\nexit 7")

    failed = served.installed()

    assert (failed["state"], failed["attempt"]["error"]) == ("failed", "installer-failed")
    assert "status 7" in failed["attempt"]["detail"]
    assert "no compiler here" in failed["attempt"]["detail"]
    assert served.request("GET", "/api/v1/installations/probe/log").body == b"no compiler here\n"
    helped = served.request("GET", "/api/v1/installations/probe/help")
    assert (helped.status, helped.json["code"]) == (404, "not-installed")
    assert "no compiler here" in helped.json["detail"]
    assert served.request("POST", "/api/v1/runs", {"tool": "probe", "command": "Write"}).status == 404
    assert served.request("DELETE", "/api/v1/installations/probe").status == 204


def test_an_installer_that_hangs_is_ended_at_its_time_limit(tmp_path: Path, remote: Path) -> None:
    with serving(tmp_path / "home", install__time_limit="0.3") as node:
        put_up(node, tmp_path, remote, "sleep 1000")

        failed = node.installed()

    assert failed["state"] == "failed"
    assert "install.time_limit" in failed["attempt"]["detail"]


def test_an_attempt_is_cancelled_by_removing_it(served: Serving, tmp_path: Path, remote: Path) -> None:
    put_up(served, tmp_path, remote, "echo begun\nsleep 1000")
    assert next(follow(served, "/installations/probe/log")).data == '"begun\\n"'

    reply = served.request("DELETE", "/api/v1/installations/probe")

    assert (reply.status, reply.headers["location"]) == (202, "/api/v1/installations/probe")
    ended = served.installed()
    assert (ended["state"], ended["attempt"]["error"]) == ("failed", "cancelled")
    assert served.request("DELETE", "/api/v1/installations/probe").status == 204


def test_a_tag_that_was_moved_is_not_followed_in_silence(served: Serving, tool: Path, remote: Path) -> None:
    old = git("rev-parse", "HEAD", cwd=tool)
    git("tag", "v1", cwd=tool)
    served.api("POST", "/tools", {"url": str(tool), "ref": "v1"})
    new = commit(tool, tool_files(remote, more="License: MIT"))
    git("tag", "--force", "v1", cwd=tool)

    refused = served.request("POST", "/api/v1/installations", {"tool": "probe"})

    assert (refused.status, refused.json["code"]) == (409, "tag-moved")
    assert old in refused.json["detail"]
    assert new in refused.json["detail"]
    assert served.api("GET", "/installations")["items"] == []
    served.api("POST", "/installations", {"tool": "probe", "commit": new})
    assert served.installed()["commit"] == new


def test_an_update_is_shown_and_keeps_what_is_in_the_data_directory(
    served: Serving, tmp_path: Path, remote: Path
) -> None:
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote, fresh=False, installer="echo one\n"))
    before = served.install(repository)
    data = served.node.workspace.tree("probe", before["tree"]) / "data"
    (data / "by-hand.txt").write_text("mine")
    new = commit(repository, tool_files(remote, fresh=False, installer="echo two\n", more="License: MIT"))

    shown = served.api("GET", "/installations/probe/update")

    assert (shown["old_commit"], shown["new_commit"]) == (before["commit"], new)
    assert "+License: MIT" in shown["definition_diff"]
    assert "-echo one" in shown["installer_diff"]
    assert [file["path"] for file in shown["files"]] == ["install.sh", "mao.yaml"]
    served.api("POST", "/installations", {"tool": "probe", "commit": new})
    after = served.installed()
    assert (after["commit"], after["state"]) == (new, "installed")
    assert (served.node.workspace.tree("probe", after["tree"]) / "data" / "by-hand.txt").read_text() == "mine"
    assert not data.exists()


def test_another_commit_is_only_taken_when_it_is_named(served: Serving, tool: Path, remote: Path) -> None:
    served.install(tool)
    tag = served.request("GET", "/api/v1/tools/probe").headers["etag"]
    commit(tool, tool_files(remote, more="License: MIT"))
    served.api("POST", "/tools", {"url": str(tool)}, If_Match=tag)

    refused = served.request("POST", "/api/v1/installations", {"tool": "probe"})

    assert (refused.status, refused.json["code"]) == (409, "already-installed")


@pytest.mark.parametrize("body", [{"tool": "probe", "commit": "main"}, {"tool": "probe", "commit": "A" * 40}, {}])
def test_a_request_that_is_not_understood_begins_nothing(served: Serving, tool: Path, body: dict[str, str]) -> None:
    served.api("POST", "/tools", {"url": str(tool)})

    assert served.request("POST", "/api/v1/installations", body).status == 422
    assert served.api("GET", "/installations")["items"] == []


def test_a_tool_that_is_unknown_is_a_404_with_what_is_near(served: Serving, tool: Path) -> None:
    served.install(tool)

    for method, path in (
        ("POST", "installations"),
        ("GET", "installations/prope"),
        ("GET", "installations/prope/help"),
        ("GET", "installations/prope/log"),
        ("GET", "installations/prope/update"),
        ("DELETE", "installations/prope"),
    ):
        reply = served.request(method, f"/api/v1/{path}", {"tool": "prope"} if method == "POST" else None)
        assert reply.status == 404, path
        assert "did you mean 'probe'" in reply.json["detail"], path


def test_several_tools_are_installed_side_by_side_while_others_ask(
    served: Serving, tmp_path: Path, remote: Path
) -> None:
    gate = tmp_path / "gate"
    names = [f"tool-{i}" for i in range(4)]
    for name in names:
        put_up(served, tmp_path, remote, f"echo begun\nuntil test -e {gate}; do sleep 0.05; done", name)
    for name in names:
        assert next(follow(served, f"/installations/{name}/log")).data == '"begun\\n"'

    assert [item["name"] for item in served.api("GET", "/tools")["items"]] == names
    gate.touch()
    assert {served.installed(name)["state"] for name in names} == {"installed"}


def test_help_works_with_the_registry_and_git_away(served: Serving, tool: Path, remote: Path) -> None:
    served.install(tool)
    served.api("DELETE", "/tools/probe")
    served.api("DELETE", "/datasets/probe-data")
    shutil.rmtree(tool)
    shutil.rmtree(remote)

    helped = served.api("GET", "/installations/PROBE/help")

    assert (helped["tool"], [command["name"] for command in helped["commands"]]) == ("probe", ["Write"])
    assert [argument["name"] for argument in helped["commands"][0]["arguments"]] == ["A1", "A2"]
    assert helped["commands"][0]["example"] == "mao tool run probe Write -- A1 A2"


def test_help_is_of_what_is_installed_now(served: Serving, tool: Path, remote: Path) -> None:
    served.install(tool)
    assert len(served.api("GET", "/installations/probe/help")["commands"]) == 1
    new = commit(tool, tool_files(remote, scripts={"One": "", "Two": ""}))

    served.api("POST", "/installations", {"tool": "probe", "commit": new})
    served.installed()

    helped = served.api("GET", "/installations/probe/help")
    assert ([command["name"] for command in helped["commands"]], helped["commit"]) == (["One", "Two"], new)


def test_an_attempt_that_the_stop_of_the_node_breaks_off_goes_on_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hanging_server() as (url, taken):
        with serving(home, git__allow_http="true") as node:
            commit(tmp_path / "probe", tool_files(url))
            node.api("POST", "/tools", {"url": str(tmp_path / "probe")})
            node.api("POST", "/installations", {"tool": "probe"})
            eventually(lambda: taken, "the dataset is being cloned")
            before = len(taken)

        with serving(home, git__allow_http="true") as node:
            eventually(lambda: len(taken) > before, "the dataset is being cloned again")
            assert node.api("GET", "/installations/probe")["attempt"]["step"] == "dataset"
