"""What hostile repositories hold never reaches the disk: it is refused with its path and the reason, or bounded."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hostile import FILE, FOLDER, LINK, SUBMODULE, Entry, Hostile
from mao import reading
from mao.errors import BadRemote, DiskFull, MaoError, RepositoryRefused, RepositoryTooLarge
from mao.foreign_tree import MOST_TOOL_FILES, check_clone
from mao.git import Git
from support import bare, commit, git, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mao.local_node import LocalNode
    from support import ServedNode

    Serve = Callable[..., ServedNode]


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile.at(tmp_path / "remotes" / "hostile.git")


def refused(node: LocalNode, hostile: Hostile, made: str) -> MaoError:
    """The error of registering what is at a commit; nothing of it is left here."""
    with pytest.raises(MaoError) as caught:
        reading.read(node, str(hostile.path), reading.Pinned("refs/heads/main", made))
    assert list(node.workspace.temporary.iterdir()) == []
    return caught.value


def test_what_some_system_takes_for_gits_own_directory_is_refused_when_it_is_fetched(
    node: LocalNode, hostile: Hostile, remote: Path
) -> None:
    inner = hostile.tree(Entry(b"config", hostile.blob(b"[core]\n\tfsmonitor = touch /tmp/ran\n")))
    names = [
        b".git",
        b".GIT",
        b"git~1",
        b".git ",
        b".git.",
        ".g\u200cit".encode(),
        b"a\\.git",
        b".git::$INDEX_ALLOCATION",
    ]
    names += [b"..", b".", b"a/b"]
    for name in names:
        error = refused(node, hostile, hostile.tool(tool_files(remote), Entry(name, inner, FOLDER)))
        assert (type(error), error.cause) == (RepositoryRefused, "repository-refused"), (name, error.detail)
        assert "fsck error in packed object" in error.detail
        below = hostile.tool(tool_files(remote), Entry(b"deep", hostile.tree(Entry(name, inner, FOLDER)), FOLDER))
        assert isinstance(refused(node, hostile, below), RepositoryRefused), name


def test_a_name_that_stands_twice_in_a_folder_is_refused(node: LocalNode, hostile: Hostile, remote: Path) -> None:
    one, other = hostile.blob(b"1"), hostile.blob(b"2")
    made = hostile.tool(tool_files(remote), Entry(b"twice", one), Entry(b"twice", other))
    assert "contains duplicate file entries" in refused(node, hostile, made).detail


def test_what_some_disk_could_not_hold_is_refused_with_its_path_and_the_reason(
    node: LocalNode, hostile: Hostile, remote: Path
) -> None:
    blob = hostile.blob(b"x")
    folder = hostile.tree(Entry(b"x", blob))
    nested = folder
    for _ in range(17):
        nested = hostile.tree(Entry(b"d" * 250, nested, FOLDER))
    wanted: dict[tuple[Entry, ...], tuple[str, ...]] = {
        (Entry(b"n" * 256, blob),): ("'nnn", "a name of more than 255 bytes"),
        (Entry("ü".encode() * 128, folder, FOLDER),): ("'üüü", "a name of more than 255 bytes"),
        (Entry(b"d", nested, FOLDER),): ("'d/dddd", "a path of more than 4,095 bytes"),
        (Entry(b"Data", folder, FOLDER), Entry(b"data", folder, FOLDER)): ("'data' and 'Data'", "Rename one"),
        (Entry(b"A", folder, FOLDER), Entry(b"a", blob, LINK)): ("'a' and 'A'", "one file on systems"),
        (Entry("é".encode(), blob), Entry("e\u0301".encode(), blob)): ("'é' and 'e\u0301'", "one file"),
        (Entry("straße".encode(), blob), Entry(b"STRASSE", blob)): ("'straße' and 'STRASSE'", "one file"),
        (Entry(b"sub", "1" * 40, SUBMODULE),): ("'sub'", "submodules are not brought"),
    }
    for entries, words in wanted.items():
        error = refused(node, hostile, hostile.tool(tool_files(remote), *entries))
        assert isinstance(error, RepositoryRefused)
        assert [word for word in words if word not in error.detail] == [], error.detail
        assert len(error.detail) < 600


def test_a_few_objects_that_stand_for_endless_files_are_counted_no_further_than_the_limit(
    node: LocalNode, hostile: Hostile
) -> None:
    error = refused(node, hostile, hostile.bomb(b"x", wide=50, deep=8))
    assert isinstance(error, RepositoryTooLarge)
    assert f"more than {MOST_TOOL_FILES:,} files" in error.detail


def test_a_definition_that_inflates_to_much_is_refused_by_its_size(
    node: LocalNode, hostile: Hostile, remote: Path
) -> None:
    made = hostile.tool(tool_files(remote) | {"mao.yaml": "#" * 5_000_000})
    assert "5,000,000 bytes; a definition has at most" in refused(node, hostile, made).detail


def test_registering_brings_the_definition_and_no_other_file(node: LocalNode, hostile: Hostile, remote: Path) -> None:
    noise = Entry(b"large", hostile.blob(os.urandom(3_000_000)))
    made = hostile.tool(tool_files(remote), noise)
    with node.workspace.aside("seen") as seen:
        git("init", "--quiet", "--bare", ".", cwd=seen)
        source = reading._Source(node, seen, str(hostile.path))
        source.fetch(reading.Pinned("refs/heads/main", made))
        brought = sum(file.stat().st_size for file in seen.rglob("*") if file.is_file())
    assert brought < 100_000
    found = reading.read(node, str(hostile.path), reading.Pinned("refs/heads/main", made))
    assert found.files["large"] == f"{FILE} blob {noise.oid}"


def test_a_commit_that_is_an_option_is_none(tmp_path: Path) -> None:
    for ref, made in (
        ("main", f"--upload-pack=touch {tmp_path}/ran"),
        (f"--upload-pack=touch {tmp_path}/ran", "a" * 40),
    ):
        with pytest.raises(BadRemote):
            reading.Pinned(ref, made)


def test_git_works_on_large_files_in_little_memory_and_refuses_what_needs_much(
    tmp_path: Path, hostile: Hostile
) -> None:
    git("config", "core.bigFileThreshold", "1m", cwd=hostile.path)  # it is on this machine, and limited, too
    caller = Git(tmp_path, 60, memory_limit=45_000_000)
    zeros = hostile.tree(Entry(b"zeros", hostile.blob(bytes(55_000_000))))
    hostile.commit(zeros)
    clone = tmp_path / "clone"
    caller.run("clone", "--quiet", "--", f"file://{hostile.path}", str(clone), cwd=tmp_path)
    assert (clone / "zeros").stat().st_size == 55_000_000

    hostile.commit(zeros, b"m" * 50_000_000)
    with pytest.raises(RepositoryTooLarge, match="Out of memory") as caught:
        caller.run("fetch", "--quiet", "origin", cwd=clone)
    assert caught.value.cause == "repository-too-large"


def test_more_than_a_tool_may_have_is_not_taken_from_the_remote(tmp_path: Path, hostile: Hostile) -> None:
    hostile.commit(hostile.tree(Entry(b"noise", hostile.blob(os.urandom(2_000_000)))))
    caller = Git(tmp_path, 60)
    into = bare(tmp_path / "into.git")

    with pytest.raises(RepositoryTooLarge):
        caller.run("fetch", "--quiet", "--", f"file://{hostile.path}", "main", cwd=into, largest=1_000_000)
    left = sum(file.stat().st_size for file in into.rglob("*") if file.is_file())
    assert left < 1_100_000


def test_a_dataset_for_which_there_is_no_room_is_not_begun_to_be_checked_out(
    tmp_path: Path, hostile: Hostile, small_disk: Callable[[Path, int], None]
) -> None:
    many = hostile.bomb(bytes(1_000_000), wide=4, deep=3)
    few = hostile.tree(Entry(b"x", hostile.blob(b"x")))
    within = hostile.tree(Entry(b"few", few, FOLDER), Entry(b"beside", hostile.blob(b"y")))
    large = git("rev-parse", f"{many}^{{tree}}", cwd=hostile.path)
    head = hostile.commit(hostile.tree(Entry(b"large", large, FOLDER), Entry(b"in", within, FOLDER)))
    small_disk(tmp_path / "disk", 8)
    clone = tmp_path / "disk" / "clone"
    git("clone", "--quiet", "--no-checkout", f"file://{hostile.path}", clone, cwd=tmp_path)
    caller = Git(tmp_path, 60)

    for folders in ((), ("in/few", "large"), ("large/000",)):
        with pytest.raises(DiskFull, match=r"000,00\d bytes more than is there"):
            check_clone(caller, clone, head, None, folders)
    check_clone(caller, clone, head, None, ("in/few",))
    check_clone(caller, clone, head, head, ())  # it is there already


def test_a_tool_is_installed_byte_for_byte_whatever_filters_the_user_has(
    serve: Serve, tmp_path: Path, tool: Path, remote: Path
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {ran}; cat\n\tclean = touch {ran}; cat\n\trequired = true\n'
        f'[filter "process.of"]\n\tprocess = touch {ran}\n[core]\n\tautocrlf = true\n'
    )
    content = "one\ntwo $Id$\n"
    attributes = "a filter=evil\nb filter=process.of\nc ident text eol=crlf\n*.sh text eol=crlf\n"
    attributes += "d working-tree-encoding=ISO-8859-1\n"
    files = {".gitattributes": attributes, **dict.fromkeys("abc", content)}
    commit(tool, files | {"d": b"\xe9", "sub/.gitattributes": "* filter=evil"})
    commit(tmp_path / "set", files)
    node = serve(GIT_CONFIG_GLOBAL=str(tmp_path / "gitconfig"), MAO_INSTALL__SIZE_LIMIT="1 MB")

    installed = node.install(tool)
    node.api("POST", "/datasets", {"name": "set", "url": str(tmp_path / "set")})
    node.api("POST", "/clones", {"dataset": "set"}, status=202)
    cloned = node.api("GET", "/clones/set", Prefer="wait=60")

    tree = node.home / "tools" / "probe" / installed["tree"] / "tree"
    assert [(tree / name).read_bytes() for name in "abcd"] == [content.encode()] * 3 + ["é".encode()]
    assert b"\r" not in (tree / "Write.sh").read_bytes()
    assert cloned["state"] == "ready"
    clone = node.home / "clones" / "set"
    assert [(clone / name).read_bytes() for name in "ab"] == [content.replace("\n", "\r\n").encode()] * 2
    assert not ran.exists()

    _a_tool_that_is_too_large_leaves_nothing(node, Hostile.at(tmp_path / "remotes" / "large.git"), remote)


def _a_tool_that_is_too_large_leaves_nothing(node: ServedNode, hostile: Hostile, remote: Path) -> None:
    hostile.tool(tool_files(remote, name="large"), Entry(b"zeros", hostile.blob(bytes(5_000_000))))
    node.api("POST", "/tools", {"url": str(hostile.path)})
    node.api("POST", "/installations", {"tool": "large"})

    failed = node.installed("large")

    assert (failed["state"], failed["attempt"]["error"]) == ("failed", "repository-too-large")
    assert "more than 1,000,000 bytes (install.size_limit), counted up to 'zeros'" in failed["attempt"]["detail"]
    assert not (node.home / "tools" / "large" / failed["attempt"]["id"] / "tree").exists()


def test_nothing_that_a_repository_on_this_machine_has_configured_is_run(
    node: LocalNode, hostile: Hostile, remote: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for key in ("core.fsmonitor", "core.sshCommand", "core.gitProxy", "core.alternateRefsCommand", "core.pager"):
        git("config", key, f"touch {ran}", cwd=hostile.path)
    for key in ("uploadpack.packObjectsHook", "credential.helper", "filter.x.smudge", "diff.external"):
        git("config", key, f"touch {ran}", cwd=hostile.path)
    hooks = hostile.path / "hooks"
    for name in ("post-checkout", "pre-receive", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (hooks / name).chmod(0o755)
    made = Hostile(hostile.path)
    (hostile.path / "hooks").rename(hostile.path / "kept")
    head = made.tool(tool_files(remote))
    (hostile.path / "kept").rename(hostile.path / "hooks")
    ran.unlink(missing_ok=True)

    pinned = reading.resolve(node, str(hostile.path), None)
    assert pinned == reading.Pinned("refs/heads/main", head)
    assert reading.read(node, str(hostile.path), pinned).definition.name == "probe"
    node.git.run("clone", "--quiet", "--", f"file://{hostile.path}", str(tmp_path / "clone"), cwd=tmp_path)
    assert not ran.exists()
