from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mao import reading
from mao.errors import BadDefinition
from support import commit, git, tool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mao.local_node import LocalNode

    Read = Callable[[], reading.Reading]


@pytest.fixture
def read(node: LocalNode, tool: Path) -> Read:
    """Read the tool as it is committed now."""

    def read_it() -> reading.Reading:
        return reading.read(node, str(tool), reading.resolve(node, str(tool), None))

    return read_it


def faults(read: Read) -> list[tuple[int, int, str]]:
    with pytest.raises(BadDefinition) as caught:
        read()
    for fault in caught.value.faults:
        assert f"{fault['file']}:{fault['line']}:{fault['column']}: " in caught.value.detail
        assert fault["message"] in caught.value.detail
    return [(fault["line"], fault["column"], fault["path"]) for fault in caught.value.faults]


def link(tool: Path, name: str, target: str) -> None:
    (tool / name).unlink(missing_ok=True)
    (tool / name).symlink_to(target)
    commit(tool, {})


def test_the_definition_and_its_files_are_read(read: Read, tool: Path, remote: Path) -> None:
    head = commit(tool, tool_files(remote, installer="echo installing\n") | {"deep/file.txt": "x"})

    found = read()

    assert found.pinned == reading.Pinned("refs/heads/main", head)
    assert found.definition.name == "probe"
    assert found.text.startswith("Version: 1")
    assert found.installer == "echo installing\n"
    assert sorted(found.files) == ["Write.sh", "deep/file.txt", "install.sh", "mao.yaml"]


def test_the_file_may_end_in_yml_and_the_usual_name_goes_first(read: Read, tool: Path, remote: Path) -> None:
    git("mv", "mao.yaml", "mao.yml", cwd=tool)
    commit(tool, {})
    assert read().definition.name == "probe"

    commit(tool, {"mao.yaml": tool_files(remote, name="newer")["mao.yaml"]})
    assert read().definition.name == "newer"


def test_a_repository_without_a_definition_is_refused(read: Read, tool: Path) -> None:
    git("mv", "mao.yaml", "sub.yaml", cwd=tool)
    commit(tool, {})

    with pytest.raises(BadDefinition, match=r"has no mao.yaml or mao.yml at its root"):
        read()


def test_a_definition_that_is_a_link_is_not_followed(read: Read, tool: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text((tool / "mao.yaml").read_text())
    link(tool, "mao.yaml", str(tmp_path / "outside.yaml"))

    with pytest.raises(BadDefinition, match="not a file in the repository"):
        read()


def test_a_definition_that_is_a_folder_is_refused(read: Read, tool: Path) -> None:
    (tool / "mao.yaml").unlink()
    commit(tool, {"mao.yaml/x": "x"})

    with pytest.raises(BadDefinition, match="not a file in the repository"):
        read()


@pytest.mark.parametrize("size", [300_000, 1_000_000, 3_000_000])
def test_a_definition_that_is_huge_is_refused(read: Read, tool: Path, size: int) -> None:
    commit(tool, {"mao.yaml": "# " + "x" * size})

    with pytest.raises(BadDefinition, match="bytes"):
        read()


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: &a {b: *a}\n",
        "[" * 50_000,
        "\t",
        "",
        "- 1",
        "!!python/object/apply:os.system [x]",
        "a: 1\n---\nb: 2\n",
    ],
)
def test_yaml_that_is_no_plain_definition_is_refused_with_its_place(read: Read, tool: Path, text: str) -> None:
    commit(tool, {"mao.yaml": text})

    assert faults(read)


def test_text_that_is_not_utf_8_is_a_fault_not_a_question_mark(read: Read, tool: Path) -> None:
    text = (tool / "mao.yaml").read_bytes().replace(b"A tool for tests", b"Zur\xfcck")
    commit(tool, {"mao.yaml": text})

    assert faults(read) == [(3, 17, "")]


def test_every_fault_of_a_definition_is_told_with_its_line_and_column(read: Read, tool: Path, remote: Path) -> None:
    text = tool_files(remote)["mao.yaml"].replace("\nName:", "\nNmae:").replace("Write.sh", "../x")
    commit(tool, {"mao.yaml": text})

    assert {path for _, _, path in faults(read)} == {"Name", "Nmae", "Commands[0].Script"}


def test_every_script_that_is_missing_is_told_with_its_line_and_column(read: Read, tool: Path, remote: Path) -> None:
    files = tool_files(remote, scripts={"One": "", "Two": "", "Three": ""}, installer="true")
    for name in ("One.sh", "Three.sh", "install.sh"):
        del files[name]
    commit(tool, files)

    found = faults(read)

    assert [path for _, _, path in found] == ["Installer.Script", "Commands[0].Script", "Commands[2].Script"]
    lines = files["mao.yaml"].splitlines()
    assert all(".sh" in lines[line - 1][column - 1 :] for line, column, _ in found)


@pytest.mark.parametrize("script", ["./Write.sh", "sub/../Write.sh", "sub//x.sh"])
def test_a_script_may_be_written_in_more_than_one_way(read: Read, tool: Path, remote: Path, script: str) -> None:
    text = tool_files(remote)["mao.yaml"].replace("Script: Write.sh", f"Script: {script}")
    commit(tool, {"mao.yaml": text, "sub/x.sh": "true"})

    if ".." in script:
        assert faults(read)
    else:
        assert read().definition.commands


def test_a_script_that_is_a_link_or_a_folder_is_refused(read: Read, tool: Path, remote: Path) -> None:
    scripts = {"Link": "", "Below": "", "Folder": ""}
    files = tool_files(remote, scripts=scripts)
    text = files["mao.yaml"].replace("Below.sh", "linked/x.sh")
    for name in ("Link.sh", "Below.sh", "Folder.sh"):
        del files[name]
    (tool / "Link.sh").symlink_to("/bin/sh")
    (tool / "linked").symlink_to("/bin")
    commit(tool, files | {"mao.yaml": text, "Folder.sh/x": "x"})

    assert [path for _, _, path in faults(read)] == [f"Commands[{i}].Script" for i in range(3)]


@pytest.mark.parametrize("local", ["data", "data/below", "./data"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_data_directory_that_is_something_else_is_refused(
    read: Read, tool: Path, remote: Path, tmp_path: Path, local: str, kind: str
) -> None:
    text = tool_files(remote, fresh=False)["mao.yaml"].replace("Local: data", f"Local: {local}")
    match kind:
        case "link":
            (tool / "data").symlink_to(tmp_path)
        case _:
            (tool / "data").write_text("x")
    commit(tool, {"mao.yaml": text})

    assert [path for _, _, path in faults(read)] == ["Data.Local"]


def test_a_data_directory_may_be_there_or_still_to_be_made(read: Read, tool: Path, remote: Path) -> None:
    commit(tool, tool_files(remote, fresh=False))
    assert read().definition.data.local == "data"

    commit(tool, {"data/x": "x"})
    assert read().definition.data.local == "data"


def test_the_oldest_format_is_told_of_its_own_keys(read: Read, tool: Path, remote: Path) -> None:
    text = f"""Name: old
Description: ''
Datadir: data
Datarepo: '{remote}'
Commands:
  - {{Name: Run, Description: '', Command: bash, Script: gone.sh}}
"""
    (tool / "data").symlink_to("/")
    commit(tool, {"mao.yaml": text})

    assert [path for _, _, path in faults(read)] == ["Datadir", "Commands[0].Script"]


def test_an_installer_too_large_to_be_shown_can_be_used(read: Read, tool: Path, remote: Path) -> None:
    commit(tool, tool_files(remote, installer="x" * 2_000_000))

    installer = read().installer
    assert installer is not None
    assert "too large" in installer


def test_nothing_of_a_reading_stays_on_the_disk(read: Read, node: LocalNode) -> None:
    read()

    assert list(node.workspace.temporary.iterdir()) == []
