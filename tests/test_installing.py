"""Installing: aside, then at once; what fails leaves nothing half, and blocks nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support import ServedNode, bare, commit, eventually, fill, git, processes_of, published, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[..., ServedNode]


def _tree(node: ServedNode, installation: dict[str, str]) -> Path:
    return node.home / "tools" / "probe" / installation["tree"] / "tree"


def test_a_tool_is_installed_at_the_commit_that_was_registered_even_if_its_branch_went_on(
    serve: Serve, tool: Path
) -> None:
    node = serve()
    registered = node.api("POST", "/tools", {"url": str(tool)})
    commit(tool, {"later.txt": "x"})

    node.api("POST", "/installations", {"tool": "probe"})
    installation = node.installed()

    assert installation["commit"] == registered["commit"]
    assert not (_tree(node, installation) / "later.txt").exists()


def test_a_remote_that_gives_no_single_commits_is_installed_from_all_the_same(
    serve: Serve, tool: Path, tmp_path: Path
) -> None:
    node = serve()
    node.settings["GIT_CONFIG_GLOBAL"] = str(tmp_path / "gitconfig")
    (tmp_path / "gitconfig").write_text("[protocol]\n\tversion = 0\n")
    node.stop()
    node.start()
    registered = node.api("POST", "/tools", {"url": str(tool)})
    commit(tool, {"later.txt": "x"})

    node.api("POST", "/installations", {"tool": "probe"})

    assert node.installed()["commit"] == registered["commit"]


def test_the_installer_runs_in_the_tool_with_its_log_kept(serve: Serve, tmp_path: Path, remote: Path) -> None:
    files = tool_files(remote, installer='echo "installing $MAO_TOOL"\ntouch made\n')
    commit(tmp_path / "remotes" / "probe", files)
    node = serve()

    installation = node.install(tmp_path / "remotes" / "probe")

    assert (_tree(node, installation) / "made").exists()
    assert node.request("GET", "/api/v1/installations/probe/log").body == b"installing probe\n"


def test_an_installer_that_fails_leaves_no_half_installation_and_says_its_last_words(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote, installer="echo no compiler here\nexit 7\n"))
    node = serve()

    failed = node.install(repository)

    assert (failed["state"], failed["attempt"]["error"]) == ("failed", "installer-failed")
    assert "status 7" in failed["attempt"]["detail"]
    assert "no compiler here" in failed["attempt"]["detail"]
    assert not (node.home / "tools" / "probe" / failed["attempt"]["id"] / "tree").exists()
    assert node.request("POST", "/api/v1/runs", {"tool": "probe", "command": "Write"}).json["code"] == "not-installed"

    commit(repository, {"install.sh": "true\n"})
    etag = node.request("GET", "/api/v1/tools/probe").headers["etag"]
    node.api("POST", "/tools", {"url": str(repository)}, If_Match=etag)
    node.api("POST", "/installations", {"tool": "probe"})
    assert node.installed()["state"] == "installed"


def test_an_installer_that_hangs_is_ended_with_all_it_started(serve: Serve, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(remote, installer="setsid sleep 1000 &\nsleep 1000\n"))
    node = serve(MAO_INSTALL__TIME_LIMIT="0.5")

    failed = node.install(tmp_path / "remotes" / "probe")

    assert "time limit" in failed["attempt"]["detail"]
    assert [line for line in processes_of(node.home) if "sleep 1000" in line] == []


def test_an_installation_can_be_cancelled(serve: Serve, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(remote, installer=f"touch {tmp_path}/begun\nsleep 1000\n"))
    node = serve()
    node.api("POST", "/tools", {"url": str(tmp_path / "remotes" / "probe")})
    node.api("POST", "/installations", {"tool": "probe"})
    eventually((tmp_path / "begun").exists)

    assert node.request("DELETE", "/api/v1/installations/probe").status == 202

    assert node.installed()["attempt"]["error"] == "cancelled"
    assert [line for line in processes_of(node.home) if "sleep 1000" in line] == []


def test_several_tools_install_side_by_side_and_the_server_answers_meanwhile(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    node = serve()
    for name in ("one", "two", "three"):
        installer = f"touch {tmp_path}/{name}\nwhile ! test -e {tmp_path}/go; do sleep 0.02; done\n"
        commit(tmp_path / "remotes" / name, tool_files(remote, name=name, installer=installer))
        files = tmp_path / "remotes" / name
        node.api("POST", "/tools", {"url": str(files)})
        node.api("POST", "/installations", {"tool": name})

    for name in ("one", "two", "three"):
        eventually((tmp_path / name).exists, f"{name} is being installed")
    assert node.request("GET", "/regtools").json == ["one", "three", "two"]
    (tmp_path / "go").touch()

    assert {node.installed(name)["state"] for name in ("one", "two", "three")} == {"installed"}


def test_a_tag_that_moved_is_refused_with_both_commits(serve: Serve, tool: Path) -> None:
    git("tag", "--annotate", "--message", "one", "v1", cwd=tool)
    node = serve()
    old = node.api("POST", "/tools", {"url": str(tool), "ref": "v1"})["commit"]
    new = commit(tool, {"other.txt": "x"})
    git("tag", "--force", "v1", cwd=tool)

    refused = node.request("POST", "/api/v1/installations", {"tool": "probe"})

    assert (refused.status, refused.json["code"]) == (409, "tag-moved")
    assert old in refused.json["detail"]
    assert new in refused.json["detail"]
    assert node.api("GET", "/installations")["items"] == []


def test_an_update_is_shown_before_it_is_done_and_takes_the_shared_data_along(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote, fresh=False, installer="echo one\n"))
    node = serve()
    before = node.install(repository)
    node.ended(node.run("Write", "1", "state.txt"))
    files = tool_files(remote, fresh=False, installer="echo two\n", more="License: CC0-1.0")
    new = commit(repository, files)

    update = node.api("GET", "/installations/probe/update")
    assert (update["old_commit"], update["new_commit"]) == (before["commit"], new)
    assert "+License: CC0-1.0" in update["definition_diff"]
    assert "-echo one\n+echo two" in update["installer_diff"]
    assert [file["path"] for file in update["files"]] == ["install.sh", "mao.yaml"]
    assert node.api("GET", "/installations/probe")["commit"] == before["commit"]

    node.api("POST", "/installations", {"tool": "probe", "commit": new})
    after = node.installed()

    assert after["commit"] == new
    assert (_tree(node, after) / "data" / "state.txt").read_text() == "1"
    eventually(lambda: [path.name for path in (node.home / "tools" / "probe").iterdir()] == [after["tree"]])
    node.ended(node.run("Write", "2", "more.txt"))
    assert published(remote) == {"state.txt": "1", "more.txt": "2"}


def test_an_update_that_fails_leaves_the_installed_commit_at_work(serve: Serve, tmp_path: Path, remote: Path) -> None:
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote, installer="true\n"))
    node = serve()
    before = node.install(repository)
    new = commit(repository, {"install.sh": "exit 1\n"})

    node.api("POST", "/installations", {"tool": "probe", "commit": new})
    after = node.installed()

    assert (after["state"], after["commit"], after["attempt"]["step"]) == ("installed", before["commit"], "failed")
    assert node.ended(node.run("Write", "1", "x.txt"))["state"] == "succeeded"


def test_an_update_waits_for_the_run_that_uses_the_files(serve: Serve, tmp_path: Path, remote: Path) -> None:
    script = f"touch {tmp_path}/begun\nwhile ! test -e {tmp_path}/go; do sleep 0.02; done\n. ./part.sh\n"
    repository = tmp_path / "remotes" / "probe"
    files = tool_files(remote, scripts={"Slow": script}) | {"part.sh": 'printf old > "$MAO_DATA_DIR/which"\n'}
    commit(repository, files)
    node = serve()
    node.install(repository)
    run = node.run("Slow")
    eventually((tmp_path / "begun").exists)
    new = commit(repository, {"part.sh": 'printf new > "$MAO_DATA_DIR/which"\n'})

    node.api("POST", "/installations", {"tool": "probe", "commit": new})
    eventually(lambda: node.api("GET", "/installations/probe")["attempt"]["step"] == "switching")
    (tmp_path / "go").touch()

    assert node.ended(run)["state"] == "succeeded"
    assert node.installed()["commit"] == new
    assert published(remote) == {"which": "old"}


def test_a_dataset_that_cannot_be_cloned_fails_the_installation_in_gits_words(serve: Serve, tmp_path: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(tmp_path / "nowhere.git"))
    node = serve()

    failed = node.install(tmp_path / "remotes" / "probe")

    assert (failed["state"], failed["attempt"]["error"]) == ("failed", "no-such-repository")
    assert "does not appear to be a git repository" in failed["attempt"]["detail"]


def test_help_needs_neither_registry_nor_git(serve: Serve, tool: Path) -> None:
    node = serve()
    node.install(tool)
    tool.rename(tool.with_name("gone"))
    node.api("DELETE", "/tools/probe")
    node.stop()
    node.start()

    found = node.api("GET", "/installations/probe/help")

    assert [command["name"] for command in found["commands"]] == ["Write"]
    assert [argument["name"] for argument in found["commands"][0]["arguments"]] == ["A1", "A2"]


def test_removing_a_tool_keeps_the_files_in_its_data_directory(serve: Serve, tmp_path: Path, remote: Path) -> None:
    commit(tmp_path / "remotes" / "probe", tool_files(remote, fresh=False))
    node = serve()
    node.install(tmp_path / "remotes" / "probe")
    node.ended(node.run("Write", "1", "x.txt"))

    assert node.request("DELETE", "/api/v1/installations/probe").status == 204

    assert node.request("GET", "/api/v1/installations/probe").status == 404
    assert not (node.home / "tools" / "probe").exists()
    assert [path.read_text() for path in (node.home / "kept").rglob("x.txt")] == ["1"]


def test_a_full_disk_while_cloning_fails_the_installation_and_a_later_one_succeeds(
    serve: Serve, tmp_path: Path, remote: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "home-alpha", 40)
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote) | {"large": os.urandom(8_000_000)})
    node = serve()
    node.api("POST", "/tools", {"url": str(repository)})
    fill(tmp_path / "home-alpha", leave=4_000_000)

    node.api("POST", "/installations", {"tool": "probe"})
    failed = node.installed()
    assert failed["state"] == "failed"
    assert failed["attempt"]["error"] == "disk-full", failed
    git("rm", "--quiet", "large", cwd=repository)
    new = commit(repository, {"small": "x"})
    node.api("POST", "/installations", {"tool": "probe", "commit": new})

    assert node.installed()["state"] == "installed"
    assert node.ended(node.run("Write", "1", "x.txt"))["state"] == "succeeded"
    node.stop()


def test_a_hostile_repository_runs_nothing_while_it_is_registered_and_installed(
    serve: Serve, tmp_path: Path, remote: Path
) -> None:
    repository = tmp_path / "remotes" / "probe"
    commit(repository, tool_files(remote) | {".gitattributes": "* filter=evil\n"})
    for name in ("post-checkout", "post-update", "pre-receive", "reference-transaction"):
        hook = repository / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
        hook.chmod(0o755)
    git("config", "core.fsmonitor", f"touch {tmp_path}/pwned", cwd=repository)
    node = serve()

    assert node.install(repository)["state"] == "installed"

    assert not (tmp_path / "pwned").exists()


def test_two_datasets_are_never_mixed_up(serve: Serve, tmp_path: Path) -> None:
    remotes = {name: bare(tmp_path / "remotes" / f"{name}.git") for name in ("one", "two")}
    node = serve()
    for name, remote in remotes.items():
        commit(tmp_path / "remotes" / f"tool-{name}", tool_files(remote, name=name))
        node.install(tmp_path / "remotes" / f"tool-{name}", name)
    for name in remotes:
        node.ended(node.run("Write", name, "x.txt", tool=name))

    assert {name: published(remote) for name, remote in remotes.items()} == {name: {"x.txt": name} for name in remotes}
