from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from keys import put
from mao import registering
from mao.errors import (
    BadDefinition,
    BadName,
    BadRemote,
    DatasetNotFound,
    DatasetTaken,
    Denied,
    GitFailed,
    NameDiffers,
    NameTaken,
    OutsideFailed,
    RemoteRefused,
    StaleRevision,
    ToolNotFound,
)
from support import bare, commit, git, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode


def contents(node: LocalNode) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in node.registry.entries("/mao/v1/")[0]}


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_tool_is_registered_at_the_commit_that_its_repository_is_at(
    node: LocalNode, tool: Path, remote: Path, prefix: str
) -> None:
    head = git("rev-parse", "HEAD", cwd=tool)

    registered = registering.register_tool(node, f"{prefix}{tool}")

    assert (registered.name, registered.commit, registered.ref) == ("probe", head, "refs/heads/main")
    assert registered.definition.commands[0].name == "Write"
    assert registering.find_tool(node, "PROBE") == registered
    dataset = registering.find_dataset(node, "probe-data")
    assert (dataset.url, dataset.produced_by) == (str(remote), ("probe",))


def test_a_branch_a_tag_an_annotated_tag_and_a_commit_name_what_is_registered(
    node: LocalNode, tool: Path, remote: Path
) -> None:
    first = git("rev-parse", "HEAD", cwd=tool)
    git("tag", "light", cwd=tool)
    git("tag", "--annotate", "--message", "a release", "v1/annotated", cwd=tool)
    git("checkout", "--quiet", "-b", "feature/x", cwd=tool)
    on_branch = commit(tool, {"more.txt": "more"})
    git("checkout", "--quiet", "main", cwd=tool)
    commit(tool, tool_files(remote, more="License: MIT"))

    found = {}
    for ref in ("light", "v1/annotated", "feature/x", "refs/heads/feature/x", first):
        found[ref] = registering.register_tool(node, str(tool), ref=ref)
        registering.withdraw_tool(node, "probe")

    assert {ref: (registered.ref, registered.commit) for ref, registered in found.items()} == {
        "light": ("refs/tags/light", first),
        "v1/annotated": ("refs/tags/v1/annotated", first),
        "feature/x": ("refs/heads/feature/x", on_branch),
        "refs/heads/feature/x": ("refs/heads/feature/x", on_branch),
        first: (first, first),
    }


@pytest.mark.parametrize("ref", ["nothing", "refs/heads/nothing", "0" * 40])
def test_a_ref_that_is_not_there_is_an_error_in_words(node: LocalNode, tool: Path, ref: str) -> None:
    with pytest.raises(OutsideFailed) as caught:
        registering.register_tool(node, str(tool), ref=ref)

    assert ref in caught.value.detail
    assert contents(node) == {}


@pytest.mark.parametrize(
    "ref", ["--upload-pack=touch x", "-x", "a b", "a..b", "a~1", "*", "refs/heads/*", "x.lock", "a\n"]
)
def test_what_cannot_be_a_ref_is_refused(node: LocalNode, tool: Path, ref: str) -> None:
    with pytest.raises(BadRemote):
        registering.register_tool(node, str(tool), ref=ref)


def test_an_empty_repository_has_nothing_to_register(node: LocalNode, tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="it is empty"):
        registering.register_tool(node, str(bare(tmp_path / "empty.git")))


def test_a_repository_that_cannot_be_read_is_an_error_in_gits_own_words(node: LocalNode, tmp_path: Path) -> None:
    with pytest.raises(RemoteRefused, match="does not appear to be a git repository"):
        registering.register_tool(node, str(tmp_path / "nowhere"))
    assert contents(node) == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "EXT::sh",
        "fd::17",
        "http://example.org/x",
        "HTTP://example.org/x",
        "git://example.org/x",
        "ftp://example.org/x",
        "https://",
        "ssh://-oProxyCommand=x/y",
        "user@host:-x",
        "../tool",
        "./tool",
        "tool",
    ],
)
def test_what_is_no_remote_or_could_run_a_command_is_refused(node: LocalNode, tmp_path: Path, url: str) -> None:
    repository = tmp_path / "tool"
    commit(repository, tool_files(url))

    with pytest.raises(BadRemote):
        registering.register_tool(node, url)
    with pytest.raises(BadRemote):
        registering.register_dataset(node, "d", url)
    with pytest.raises((BadRemote, BadDefinition)):
        registering.register_tool(node, str(repository))
    assert contents(node) == {}


def test_a_tool_is_registered_under_its_own_name_only(node: LocalNode, tool: Path) -> None:
    with pytest.raises(NameDiffers, match="is of 'probe', not 'other'"):
        registering.register_tool(node, str(tool), name="other")
    assert contents(node) == {}

    assert registering.register_tool(node, str(tool), name="PROBE").name == "probe"


def test_a_name_that_is_taken_is_refused_with_who_has_it(node: LocalNode, tool: Path, tmp_path: Path) -> None:
    registering.register_tool(node, str(tool))
    before = contents(node)
    commit(tmp_path / "second", tool_files(tmp_path / "another.git", name="Probe"))

    with pytest.raises(NameTaken) as caught:
        registering.register_tool(node, str(tmp_path / "second"))

    assert all(word in caught.value.detail for word in ("'probe'", "'alpha'", str(tool)))
    assert contents(node) == before


def test_a_dataset_belongs_to_one_remote(node: LocalNode, tool: Path, tmp_path: Path) -> None:
    registering.register_tool(node, str(tool))
    before = contents(node)
    files = tool_files(tmp_path / "another.git", name="second")
    files["mao.yaml"] = files["mao.yaml"].replace("second-data", "Probe-Data")
    commit(tmp_path / "second", files)

    with pytest.raises(DatasetTaken) as caught:
        registering.register_tool(node, str(tmp_path / "second"))

    assert all(word in caught.value.detail for word in ("'probe-data'", "'alpha'", "another.git"))
    assert contents(node) == before


def test_tools_that_share_a_dataset_can_be_registered_at_the_same_time(
    node: LocalNode, tmp_path: Path, remote: Path
) -> None:
    names = [f"tool-{i}" for i in range(6)]
    for name in names:
        files = tool_files(remote, name=name)
        files["mao.yaml"] = files["mao.yaml"].replace(f"{name}-data", "common")
        commit(tmp_path / name, files)

    threads = [threading.Thread(target=registering.register_tool, args=(node, str(tmp_path / name))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [tool.name for tool in registering.tools(node)] == names
    assert sorted(registering.find_dataset(node, "common").produced_by) == names


def test_replacing_needs_the_revision_that_was_read(node: LocalNode, tool: Path, remote: Path, tmp_path: Path) -> None:
    registering.register_tool(node, str(tool))
    entry = node.mirror.get("/mao/v1/tools/probe")
    assert entry is not None
    new = commit(tool, tool_files(remote, more="License: MIT"))

    assert registering.register_tool(node, str(tool), if_revision=entry.revision).commit == new

    files = tool_files(tmp_path / "another.git")
    files["mao.yaml"] = files["mao.yaml"].replace("probe-data", "brand-new")
    commit(tool, files)
    before = contents(node)
    for stale in (entry.revision, 0, 10_000):
        with pytest.raises(StaleRevision):
            registering.register_tool(node, str(tool), if_revision=stale)
        with pytest.raises(StaleRevision):
            registering.withdraw_tool(node, "probe", if_revision=stale)
    assert contents(node) == before


def test_what_another_node_registered_is_its_own(node: LocalNode, tool: Path) -> None:
    registered = registering.register_tool(node, str(tool))
    for key, value in (
        ("tools/probe", registered),
        ("datasets/probe-data", registering.find_dataset(node, "probe-data")),
    ):
        foreign = value.model_copy(update={"registered_by": "beta"}).model_dump_json(by_alias=True).encode()
        entry = node.mirror.get(f"/mao/v1/{key}")
        assert entry is not None
        node.mirror.catch_up(put(node.registry, f"/mao/v1/{key}", foreign, if_revision=entry.revision))

    with pytest.raises(Denied, match="beta"):
        registering.withdraw_tool(node, "probe")
    with pytest.raises(Denied, match="beta"):
        registering.withdraw_dataset(node, "probe-data")


def test_a_dataset_can_be_registered_by_itself(node: LocalNode, remote: Path) -> None:
    registered = registering.register_dataset(node, "Mine", str(remote), "What I measured")

    assert registering.find_dataset(node, "mine") == registered
    with pytest.raises(NameTaken, match="'alpha'"):
        registering.register_dataset(node, "MINE", str(remote))
    registering.withdraw_dataset(node, "mine")
    with pytest.raises(DatasetNotFound):
        registering.find_dataset(node, "mine")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "..", "nul", "x.git", "x" * 101])
def test_a_dataset_needs_a_name_that_every_system_can_hold(node: LocalNode, remote: Path, name: str) -> None:
    with pytest.raises(BadName):
        registering.register_dataset(node, name, str(remote))


def test_a_dataset_needs_a_remote_that_can_be_read(node: LocalNode, tmp_path: Path) -> None:
    with pytest.raises(RemoteRefused, match="does not appear to be a git repository"):
        registering.register_dataset(node, "d", str(tmp_path / "nowhere"))


def test_a_dataset_that_a_tool_publishes_to_stays(node: LocalNode, tool: Path) -> None:
    registering.register_tool(node, str(tool))

    with pytest.raises(DatasetTaken, match="probe"):
        registering.withdraw_dataset(node, "probe-data")

    registering.withdraw_tool(node, "Probe")
    registering.withdraw_dataset(node, "Probe-Data")
    assert contents(node) == {}


def test_what_is_unknown_is_named_with_what_is_near(node: LocalNode, tool: Path) -> None:
    registering.register_tool(node, str(tool))

    with pytest.raises(ToolNotFound, match="did you mean 'probe'"):
        registering.find_tool(node, "prope")
    with pytest.raises(ToolNotFound, match="did you mean 'probe'"):
        registering.withdraw_tool(node, "prope")
    with pytest.raises(DatasetNotFound, match="did you mean 'probe-data'"):
        registering.withdraw_dataset(node, "probe-dta")
    with pytest.raises(ToolNotFound, match=r"'zzz'\.$"):
        registering.find_tool(node, "zzz")
