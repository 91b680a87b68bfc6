from __future__ import annotations

import json
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from conftest import settings
from keys import put
from mao import announcing, finding, registering
from mao.catalogue import TOOLS, Dataset, Tool, dataset_key
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
    ValueTooLarge,
)
from mao.kept_mirror import Head
from mao.local_node import opened
from mao.values import now
from support import bare, commit, git, tool_files

if TYPE_CHECKING:
    from pathlib import Path

    from mao.local_node import LocalNode


def contents(node: LocalNode) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in node.registry.entries("/mao/v1/")[0]}


def test_what_a_later_version_says_of_a_dataset_besides_is_kept(node: LocalNode, tool: Path) -> None:
    registering.register_tool(node, str(tool))
    entry = node.registry.get(dataset_key("probe-data"))
    assert entry is not None
    more = json.dumps(json.loads(entry.value) | {"weather": "fine"}).encode()
    node.mirror.catch_up(put(node.registry, entry.key, more, if_revision=entry.revision))

    registering.withdraw_tool(node, "probe")

    entry = node.registry.get(dataset_key("probe-data"))
    assert entry is not None
    assert json.loads(entry.value)["weather"] == "fine"
    assert finding.find_dataset(node, "probe-data").produced_by == ()


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_tool_is_registered_at_the_commit_that_its_repository_is_at(
    node: LocalNode, tool: Path, remote: Path, prefix: str
) -> None:
    head = git("rev-parse", "HEAD", cwd=tool)

    registered = registering.register_tool(node, f"{prefix}{tool}")

    assert (registered.name, registered.commit, registered.ref) == ("probe", head, "refs/heads/main")
    assert registered.definition.commands[0].name == "Write"
    assert finding.find_tool(node, "PROBE") == registered
    dataset = finding.find_dataset(node, "probe-data")
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

    assert finding.names(node, TOOLS) == names
    assert sorted(finding.find_dataset(node, "common").produced_by) == names


def test_what_a_name_was_meant_to_be_is_found_without_reading_all_that_is_registered(node: LocalNode) -> None:
    put(node.registry, "/mao/v1/tools/other", b"this cannot be read", if_revision=0)
    node.mirror.catch_up(put(node.registry, "/mao/v1/tools/probe", b'{"name": "Probe"}', if_revision=0))
    with pytest.raises(ToolNotFound, match="did you mean 'Probe'"):
        finding.find_tool(node, "prob")


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


def test_a_tool_that_is_replaced_or_withdrawn_leaves_its_dataset_in_the_same_write(
    node: LocalNode, tool: Path, tmp_path: Path
) -> None:
    registering.register_tool(node, str(tool))
    files = tool_files(tmp_path / "another.git")
    files["mao.yaml"] = files["mao.yaml"].replace("probe-data", "brand-new")
    commit(tool, files)
    entry = node.mirror.get("/mao/v1/tools/probe")
    assert entry is not None

    registering.register_tool(node, str(tool), if_revision=entry.revision)

    assert finding.find_dataset(node, "probe-data").produced_by == ()
    assert finding.find_dataset(node, "brand-new").produced_by == ("probe",)
    registering.withdraw_dataset(node, "probe-data")
    registering.withdraw_tool(node, "probe")
    assert finding.find_dataset(node, "brand-new").produced_by == ()
    registering.withdraw_dataset(node, "brand-new")
    assert contents(node) == {}


def test_who_was_slower_leaves_nothing_behind(node: LocalNode, tmp_path: Path) -> None:
    for number in range(4):
        files = tool_files(bare(tmp_path / f"{number}.git"))
        files["mao.yaml"] = files["mao.yaml"].replace("probe-data", f"data-{number}")
        commit(tmp_path / f"tool-{number}", files)
    won: list[Tool] = []
    lost: list[NameTaken] = []
    barrier = threading.Barrier(4)

    def register(number: int) -> None:
        barrier.wait()
        try:
            won.append(registering.register_tool(node, str(tmp_path / f"tool-{number}")))
        except NameTaken as error:
            lost.append(error)

    threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = won
    kept = {f"/mao/v1/{kind}/{winner.dataset}" for kind in ("datasets", "heads")}
    assert contents(node).keys() == {"/mao/v1/tools/probe", *kept}
    assert len(lost) == 3
    assert all(winner.url in error.detail and winner.commit[:12] in error.detail for error in lost)


def give_away(node: LocalNode) -> None:
    """Have the tool and its dataset be another node's."""
    for key, kind in (("tools/probe", Tool), ("datasets/probe-data", Dataset)):
        entry = node.mirror.get(f"/mao/v1/{key}")
        assert entry is not None
        value = kind.model_validate_json(entry.value).model_copy(update={"registered_by": "beta"})
        revision = put(
            node.registry, entry.key, value.model_dump_json(by_alias=True).encode(), if_revision=entry.revision
        )
        node.mirror.catch_up(revision)


def revision_of(node: LocalNode, key: str) -> int:
    entry = node.mirror.get(f"/mao/v1/{key}")
    assert entry is not None
    return entry.revision


def test_what_another_node_registered_is_its_own(node: LocalNode, tool: Path, remote: Path) -> None:
    registering.register_tool(node, str(tool))
    give_away(node)
    before = contents(node)

    with pytest.raises(Denied, match="beta"):
        registering.withdraw_tool(node, "probe")
    with pytest.raises(Denied, match="beta"):
        registering.withdraw_dataset(node, "probe-data")
    with pytest.raises(Denied, match="beta"):
        registering.register_tool(node, str(tool), if_revision=revision_of(node, "tools/probe"))
    with pytest.raises(Denied, match="beta"):
        registering.register_dataset(
            node, "probe-data", str(remote), if_revision=revision_of(node, "datasets/probe-data")
        )
    assert contents(node) == before


def test_a_node_whose_name_is_written_otherwise_is_the_same_node(node: LocalNode, tool: Path) -> None:
    registering.register_tool(node, str(tool))
    node.config.values["node.name"] = "Alpha"

    registering.withdraw_tool(node, "probe")
    registering.withdraw_dataset(node, "probe-data")

    assert contents(node) == {}


def test_who_asks_as_administrator_and_is_none_is_told_how_to_become_one(
    node: LocalNode, tool: Path, remote: Path
) -> None:
    registering.register_tool(node, str(tool))
    give_away(node)
    before = contents(node)

    for ask in (
        partial(registering.withdraw_tool, node, "probe"),
        partial(registering.withdraw_dataset, node, "probe-data"),
        partial(registering.register_tool, node, str(tool), if_revision=1),
        partial(registering.register_dataset, node, "probe-data", str(remote), if_revision=1),
    ):
        with pytest.raises(Denied, match=r"node\.administrator = true"):
            ask(as_administrator=True)
    assert contents(node) == before


def test_an_administrator_replaces_and_withdraws_when_it_says_so(
    tmp_path: Path, tool: Path, remote: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(settings(tmp_path / "home", **{"node.administrator": "true"})) as node:
        registering.register_tool(node, str(tool))
        give_away(node)
        with pytest.raises(Denied, match="--as-administrator"):
            registering.withdraw_tool(node, "probe")
        commit(tool, tool_files(remote, more="License: MIT"))

        new = registering.register_tool(
            node, str(tool), if_revision=revision_of(node, "tools/probe"), as_administrator=True
        )

        assert (new.registered_by, new.definition.license) == ("beta", "MIT")
        assert "'probe' of node 'beta' is changed by this node, as administrator" in caplog.text
        registering.withdraw_tool(node, "probe", as_administrator=True)
        registering.withdraw_dataset(node, "probe-data", as_administrator=True)
        assert contents(node) == {}


def test_a_dataset_is_replaced_by_who_has_seen_what_it_replaces(node: LocalNode, remote: Path, tmp_path: Path) -> None:
    registering.register_dataset(node, "Data", str(remote), "old")
    first = revision_of(node, "datasets/data")
    other = bare(tmp_path / "other.git")

    replaced = registering.register_dataset(node, "data", str(other), "new", if_revision=first)

    assert (replaced.name, replaced.url, replaced.description) == ("Data", str(other), "new")
    assert finding.find_dataset(node, "data") == replaced
    for stale in (first, 0, 10_000):
        with pytest.raises(StaleRevision):
            registering.register_dataset(node, "data", str(remote), if_revision=stale)
        with pytest.raises(StaleRevision):
            registering.withdraw_dataset(node, "data", if_revision=stale)
    with pytest.raises(StaleRevision):
        registering.register_dataset(node, "nothing", str(remote), if_revision=1)
    assert finding.find_dataset(node, "data") == replaced


def test_the_head_of_the_old_remote_is_not_that_of_the_new_one(node: LocalNode, remote: Path, tmp_path: Path) -> None:
    registering.register_dataset(node, "data", str(remote))
    node.kept.remember("data", Head("1" * 40, None, now()))
    announcing.announce_head(node, "data")

    same = registering.register_dataset(
        node, "data", str(remote), "new words", if_revision=revision_of(node, "datasets/data")
    )
    assert same.head == "1" * 40
    other = registering.register_dataset(
        node, "data", str(bare(tmp_path / "other.git")), if_revision=revision_of(node, "datasets/data")
    )
    assert (other.head, other.updated_at) == (None, None)


def test_what_is_more_than_the_registry_takes_is_refused_with_the_limit(node: LocalNode, remote: Path) -> None:
    with pytest.raises(ValueTooLarge, match="1500000"):
        registering.register_dataset(node, "data", str(remote), "x" * 1_500_001)
    assert contents(node) == {}


def test_a_dataset_can_be_registered_by_itself(node: LocalNode, remote: Path) -> None:
    registered = registering.register_dataset(node, "Mine", str(remote), "What I measured")

    assert finding.find_dataset(node, "mine") == registered
    with pytest.raises(NameTaken, match="'alpha'"):
        registering.register_dataset(node, "MINE", str(remote))
    registering.withdraw_dataset(node, "mine")
    with pytest.raises(DatasetNotFound):
        finding.find_dataset(node, "mine")


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
        finding.find_tool(node, "prope")
    with pytest.raises(ToolNotFound, match="did you mean 'probe'"):
        registering.withdraw_tool(node, "prope")
    with pytest.raises(DatasetNotFound, match="did you mean 'probe-data'"):
        registering.withdraw_dataset(node, "probe-dta")
    with pytest.raises(ToolNotFound, match=r"'zzz'\.$"):
        finding.find_tool(node, "zzz")
