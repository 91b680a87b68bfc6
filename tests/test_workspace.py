from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mao.errors import BadSetting, DiskFull, NodeRunning
from mao.workspace import Workspace, disk_errors, flush_all, remove_tree, write_durably

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from mao.workspace import Workspace
with Workspace(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
WRITE = """
import sys
from pathlib import Path
from mao.workspace import write_durably
path = Path(sys.argv[1])
for number in range(10**9):
    write_durably(path, b"%d " % number * 20_000)
    print(number, flush=True)
"""
ASIDE = """
import sys
from pathlib import Path
from mao.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
with workspace.aside("a") as directory:
    (directory / "file").write_text("x")
    print("there", flush=True)
    sys.stdin.read()
"""


def python(program: str, *args: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.communicate()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "home")
    made.prepare()
    return made


def test_a_home_is_made_for_its_owner_alone(workspace: Workspace) -> None:
    assert stat.S_IMODE(workspace.home.stat().st_mode) == 0o700
    assert stat.S_ISFIFO(workspace.wake.stat().st_mode)
    assert all(path.is_dir() for path in (workspace.tools, workspace.runs, workspace.datasets, workspace.clones))


def test_preparing_again_keeps_all_but_what_is_temporary(workspace: Workspace) -> None:
    (workspace.runs / "a").mkdir()
    (workspace.temporary / "b").mkdir()
    wake = workspace.wake.stat().st_ino
    workspace.prepare()
    assert (workspace.runs / "a").is_dir()
    assert list(workspace.temporary.iterdir()) == []
    assert workspace.wake.stat().st_ino == wake


def test_a_home_is_held_by_one_process_until_that_is_killed(workspace: Workspace) -> None:
    holder = python(HOLD, workspace.home)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(NodeRunning, match=rf"pid {holder.pid}\)"), workspace.locked():
        pass
    end(holder)
    with workspace.locked():
        assert (workspace.home / "lock").read_text() == f"pid {os.getpid()}"


def test_a_home_is_free_when_its_holder_is_done(workspace: Workspace) -> None:
    for _ in range(2):
        with workspace.locked(), pytest.raises(NodeRunning), workspace.locked():
            pass


def test_a_process_that_is_started_does_not_inherit_the_home(workspace: Workspace) -> None:
    with workspace.locked():
        child = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        with workspace.locked():
            pass
    finally:
        end(child)


def test_a_file_has_its_old_or_its_new_content_when_its_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for patience in range(5):
        writer = python(WRITE, path)
        assert writer.stdout is not None
        for _ in range(3 + patience):
            last = int(writer.stdout.readline())
        end(writer)
        number = int(path.read_bytes().split()[0])
        assert number >= last
        assert path.read_bytes() == b"%d " % number * 20_000


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    write_durably(tmp_path / "secret", b"x", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_full_disk_has_a_name(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(DiskFull, match="for the thing"), disk_errors("the thing"):
            raise OSError(number, os.strerror(number))
    with pytest.raises(PermissionError), disk_errors("the thing"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "absent" / "file", b"")


def test_what_is_set_aside_is_gone_afterwards(workspace: Workspace) -> None:
    with workspace.aside("a") as directory:
        (directory / "file").write_text("x")
    with pytest.raises(ZeroDivisionError), workspace.aside("a"):
        raise ZeroDivisionError
    assert list(workspace.temporary.iterdir()) == []


def test_what_is_set_aside_is_gone_at_the_next_start_if_its_process_was_killed(workspace: Workspace) -> None:
    process = python(ASIDE, workspace.home)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    end(process)
    assert (workspace.temporary / "a" / "file").exists()
    workspace.prepare()
    assert list(workspace.temporary.iterdir()) == []


def unprivileged(program: str, *args: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program as somebody whom modes of files do not let through, as they would root."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    return subprocess.run([*drop, sys.executable, "-c", program, *map(str, args)], capture_output=True, check=False)


REMOVE = "import sys; from pathlib import Path; from mao.workspace import remove_tree; remove_tree(Path(sys.argv[1]))"


@pytest.mark.parametrize("mode", [0o500, 0o000, 0o300])
def test_a_tree_of_folders_that_may_not_be_changed_is_removed(tmp_path: Path, mode: int) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("x")
    for folder in (tree / "a" / "b", tree / "a", tree):
        folder.chmod(mode)
    done = unprivileged(REMOVE, tree)
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_tree_deeper_than_a_path_can_be_is_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    folder = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)  # pathlib cannot name it
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_may_be_half_removed_or_not_there(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")
    for name in (".gone-tree", "tree"):
        (tmp_path / name / "below").mkdir(parents=True)
    remove_tree(tmp_path / "tree")
    (tmp_path / ".gone-tree").mkdir()
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept" / "below").mkdir(parents=True)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "tree")
    remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "below").is_dir()


def test_the_rooms_of_names_that_differ_by_case_are_one_where_the_registry_says_so(workspace: Workspace) -> None:
    assert workspace.cache("Data") == workspace.cache("data")
    assert workspace.tree("Probe", "1") == workspace.tree("probe", "1")


def test_what_cannot_be_flushed_is_said(tmp_path: Path) -> None:
    flush_all(tmp_path)
    with pytest.raises(DiskFull, match="No such file"):
        flush_all(tmp_path / "absent")


@pytest.mark.parametrize("name", ["tools", "runs", "datasets", "clones", "kept", "tmp", "wake", "lock"])
@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_a_nodes_is_neither_taken_nor_touched(tmp_path: Path, name: str, kind: str) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for directory in (home, other):
        directory.mkdir()
    (other / "mine").write_text("mine")
    match kind:
        case "folder":
            (home / name).mkdir()
            (home / name / "mine").write_text("mine")
        case "file":
            (home / name).write_text("mine")
        case _:
            (home / name).symlink_to(other)
    home.chmod(0o755)

    with pytest.raises(BadSetting, match=f"'{name}'"), Workspace(home).locked():
        pass

    assert [path.name for path in home.iterdir()] == [name]
    kept = home / name if kind == "file" else home / name / "mine"
    assert kept.read_text() == "mine"
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


@pytest.mark.parametrize("made", [(), ("tools",), ("tools", "runs", "datasets", "clones", "tmp")])
def test_a_first_start_that_was_cut_short_is_taken_up(tmp_path: Path, made: tuple[str, ...]) -> None:
    workspace = Workspace(tmp_path / "home")
    with workspace.locked():
        for name in made:
            (workspace.home / name).mkdir()
    with workspace.locked():
        workspace.prepare()


@pytest.mark.parametrize("left", ["store.sqlite", "wake"])
def test_a_home_that_is_a_nodes_is_taken_whatever_is_in_it(workspace: Workspace, left: str) -> None:
    (workspace.temporary / "work").mkdir()
    (workspace.tools / "probe").mkdir()
    if left == "store.sqlite":  # a backup need not hold the pipe
        workspace.wake.unlink()
        workspace.store.touch()
    with workspace.locked():
        workspace.prepare()
    assert list(workspace.temporary.iterdir()) == []
    assert (workspace.tools / "probe").is_dir()
