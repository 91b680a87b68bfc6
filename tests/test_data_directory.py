from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mao.data_directory import DataFile, make_durable, publishable, read, scan, set_aside, written
from mao.errors import DiskFull, OutsideFailed
from support import bare, git

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = [
    b"plain",
    b"with space",
    b"new\nline",
    b"tab\t",
    b"quote\"'\\",
    b"\xff\xfe",
    "gr\u00fcn".encode(),
    b"-n",
    b" ",
    b"*",
]


def at(root: Path, path: bytes) -> Path:
    return root / os.fsdecode(path)


def put(root: Path, path: bytes, content: bytes = b"x") -> Path:
    file = at(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


def test_every_file_is_found_by_the_bytes_of_its_path(data: Path) -> None:
    paths = {*ODD, *(b"folder/" + name for name in ODD), b"a/b/c/d"}
    for path in paths:
        put(data, path)
    assert set(scan(data)) == paths
    assert read(written(scan(data))) == scan(data)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.binary(min_size=1).map(lambda path: path.replace(b"\0", b"-")),
        st.tuples(st.integers(0), st.integers(), st.integers(max_value=0), st.integers(0)),
    )
)
def test_a_snapshot_comes_back_whatever_is_in_it(stamps: dict[bytes, tuple[int, int, int, int]]) -> None:
    assert read(written(stamps)) == stamps


def test_folders_and_what_is_not_there_have_no_stamp(data: Path) -> None:
    (data / "empty" / "below").mkdir(parents=True)
    assert scan(data) == {}
    assert scan(data / "absent") == {}


def test_a_file_that_is_written_again_is_noticed_however_alike(data: Path) -> None:
    for number in range(20):
        file = put(data, b"file", b"%05d" % number)
        status = file.stat()
        before = read(written(scan(data)))
        with file.open("r+b") as opened:
            opened.write(b"%05d" % (number if number % 2 else number + 1))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert scan(data) != before


@pytest.mark.parametrize("change", [lambda f: f.chmod(0o700), lambda f: f.rename(f.with_name("y")), Path.unlink])
def test_other_changes_are_noticed_too(data: Path, change: object) -> None:
    file = put(data, b"x")
    before = read(written(scan(data)))
    assert callable(change)
    change(file)
    assert scan(data) != before


def test_what_nobody_touches_keeps_its_stamp(data: Path) -> None:
    put(data, b"a/x").read_bytes()
    before = read(written(scan(data)))
    put(data, b"a/y")
    assert scan(data)[b"a/x"] == before[b"a/x"]


def test_files_are_set_aside_as_they_are(data: Path, tmp_path: Path) -> None:
    for path in ODD:
        put(data, b"folder/" + path, path * 1000)
    put(data, b"left")
    at(data, b"folder/plain").chmod(0o555)
    (data / "link").symlink_to("folder/plain")
    (data / "dangling").symlink_to("nowhere")
    paths = [*(b"folder/" + path for path in ODD), b"link", b"dangling"]
    destination = tmp_path / "aside"
    set_aside(data, paths, destination)
    assert set(scan(destination)) == set(paths)
    for path in ODD:
        assert at(destination, b"folder/" + path).read_bytes() == path * 1000
    assert stat.S_IMODE((destination / "folder" / "plain").stat().st_mode) == 0o555
    assert (destination / "link").readlink() == Path("folder/plain")
    put(data, b"folder/plain2", b"later")
    set_aside(data, [b"folder/plain2"], destination)
    assert set(scan(destination)) == set(paths)


def test_what_cannot_be_copied_is_set_aside_as_something_that_is_left_out(data: Path, tmp_path: Path) -> None:
    os.mkfifo(data / "pipe")
    put(data, b"file")
    set_aside(data, [b"file", b"pipe"], tmp_path / "aside")
    files, left_out = publishable(tmp_path / "aside")
    assert [file.path for file in files] == [b"file"]
    assert left_out == ["pipe: neither a link nor a file that can be read"]


SET_ASIDE = """
import sys
from pathlib import Path
from mao.data_directory import scan, set_aside
root, destination = map(Path, sys.argv[1:])
paths = list(scan(root))
print("begun", flush=True)
set_aside(root, paths, destination)
print("done", flush=True)
"""


def test_setting_aside_is_whole_or_not_at_all_when_it_is_killed(data: Path, tmp_path: Path) -> None:
    for number in range(300):
        put(data, b"%d/%d" % (number % 7, number), b"%d" % number * 1000)
    destination = tmp_path / "aside"
    part = tmp_path / "aside.part"
    for seen in (1, 50, 200, 299, 300):
        process = subprocess.Popen([sys.executable, "-c", SET_ASIDE, data, destination], stdout=subprocess.PIPE)
        while process.poll() is None and len(scan(part)) < seen and not destination.exists():
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not destination.exists() or len(scan(destination)) == 300
    set_aside(data, list(scan(data)), destination)
    assert {path: at(destination, path).read_bytes() for path in scan(destination)} == {
        path: at(data, path).read_bytes() for path in scan(data)
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside", "data"] or part.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"NO SMALL DISK TO FILL: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_gets_its_room_back(data: Path, small_disk: Path) -> None:
    put(data, b"small")
    put(data, b"zzz/large", bytes(2_000_000))
    with pytest.raises(DiskFull, match="the files of the run"):
        set_aside(data, sorted(scan(data)), small_disk / "aside")
    assert list(small_disk.iterdir()) == []
    put(data, b"zzz/large", b"not so large any more")
    set_aside(data, sorted(scan(data)), small_disk / "aside")
    assert set(scan(small_disk / "aside")) == {b"small", b"zzz/large"}


def test_files_are_published_in_order_with_the_modes_of_git(data: Path) -> None:
    put(data, b"b", b"12345")
    put(data, b"a/z").chmod(0o755)
    put(data, b"secret").chmod(0o600)
    (data / "link").symlink_to("a/z")
    files, left_out = publishable(data)
    assert [(file.path, file.mode, file.size) for file in files] == [
        (b"a/z", "100755", 1),
        (b"b", "100644", 5),
        (b"link", "120000", 3),
        (b"secret", "100644", 1),
    ]
    assert left_out == []


def test_links_may_lead_to_where_they_lead_to_everywhere(data: Path, tmp_path: Path) -> None:
    put(data, b"a/b/file")
    put(tmp_path, b"outside")
    (data / "up").symlink_to(".")
    links = {
        "inside": "a/b/file",
        "folder": "a",
        "a/b/inside": "../../inside",
        "dangling": "not/there",
        "self": "self",
        "out": "../outside",
        "absolute": str(tmp_path / "outside"),
        "absolute-inside": str(data / "a"),
        "a/b/out": "../../../outside",
        "through": "up/../outside",
        "by-another": "out",
        "root": "/etc/passwd",
    }
    for name, target in links.items():
        (data / name).symlink_to(target)
    files, left_out = publishable(data)
    assert {os.fsdecode(file.path) for file in files if file.mode == "120000"} == {
        *("up", "inside", "folder", "a/b/inside", "dangling", "self"),
    }
    reason = ": a link that leaves the data directory"
    assert {line.removesuffix(reason) for line in left_out} == {
        *("out", "absolute", "absolute-inside", "a/b/out", "through", "by-another", "root"),
    }


def test_what_git_keeps_to_itself_is_left_out_with_the_reason(data: Path) -> None:
    mine = [b".git", b"a/.git/config", b".GIT/x", b"git~1", b".git ./x", b".git::$INDEX_ALLOCATION", b"x\\.git"]
    mine += [".g\u200cit/x".encode()]
    fine = [b".gitignore", b"git", b"a.git", b".gitx/y", b"git~10", b".github/x"]
    for path in (*mine, *fine):
        put(data, path)
    files, left_out = publishable(data)
    assert {file.path for file in files} == set(fine)
    assert len(left_out) == len(mine)
    assert all(line.endswith(": git keeps '.git' to itself") for line in left_out)
    assert "a/.git/config: git keeps '.git' to itself" in left_out


def test_a_strict_host_takes_what_is_published(data: Path, tmp_path: Path) -> None:
    remote = bare(tmp_path / "remote.git")
    git("config", "receive.fsckObjects", "true", cwd=remote)
    for path in (*ODD, b".git ", b"git~1", b"GIT~1 .", b"a\\.git\\b", ".gi\u200dt".encode(), b"\\", b"..."):
        put(data, path)
    work = tmp_path / "work"
    work.mkdir()
    git("init", "--quiet", "--initial-branch=main", ".", cwd=work)
    git("config", "core.protectNTFS", "false", cwd=work)
    files, _ = publishable(data)
    index = b"".join(b"%s %s\t%s\0" % (f.mode.encode(), _stored(work, f).encode(), f.path) for f in files)
    git("update-index", "-z", "--index-info", cwd=work, given=index)
    git("commit", "--quiet", "-m", "x", cwd=work)
    git("push", "--quiet", remote, "main", cwd=work)
    assert len(files) == len(ODD) + 2


def _stored(work: Path, file: DataFile) -> str:
    stored = git("hash-object", "-w", "--stdin", cwd=work, given=b"".join(file.chunks()))
    assert file.blob() == stored
    return stored


def test_a_blob_has_the_name_that_git_gives_it(data: Path) -> None:
    put(data, b"empty", b"")
    put(data, b"large", os.urandom(3_000_000))
    (data / "link").symlink_to("gr\u00fcn")
    for file in publishable(data)[0]:
        assert file.blob() == git("hash-object", "--stdin", cwd=data, given=b"".join(file.chunks()))


@pytest.mark.parametrize("content", [b"", b"1234", b"123456", bytes(3 << 20)])
def test_a_file_that_changes_while_it_is_read_is_not_taken_for_what_it_was(data: Path, content: bytes) -> None:
    put(data, b"file", b"12345")
    (file,), _ = publishable(data)
    put(data, b"file", content)
    given: list[bytes] = []
    with pytest.raises(OutsideFailed, match="'file' changed while it was read") as changed:
        given.extend(file.chunks())
    assert changed.value.cause == "file-changed"
    assert len(b"".join(given)) <= 5
    (data / "file").unlink()
    with pytest.raises(OutsideFailed, match="'file' cannot be read"):
        list(file.chunks())


def unprivileged(program: str, *args: Path) -> str:
    """What a program prints that modes of files do not let through, as they would root."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*drop, sys.executable, "-c", program, *map(str, args)], capture_output=True, check=True)
    return done.stdout.decode()


PUBLISH = """
import sys
from pathlib import Path
from mao.data_directory import make_durable, publishable, scan, set_aside
root, destination = map(Path, sys.argv[1:])
for directory in (root, destination):
    make_durable(directory)
    files, left_out = publishable(directory)
    print([file.path for file in files], left_out)
    if directory == root:
        set_aside(root, list(scan(root)), destination)
"""


def test_what_may_not_be_read_is_left_out_and_holds_nothing_up(data: Path, tmp_path: Path) -> None:
    put(data, b"file")
    put(data, b"closed/file")
    put(data, b"secret").chmod(0o200)
    (data / "closed").chmod(0o000)
    found = "[b'file'] ['{0}: {2}', '{1}: {2}']\n".format(
        "closed", "secret", "neither a link nor a file that can be read"
    )
    assert unprivileged(PUBLISH, data, tmp_path / "aside") == found * 2
    (data / "closed").chmod(0o700)


def test_folders_deeper_than_a_path_can_be_are_left_out_and_hold_nothing_up(data: Path) -> None:
    put(data, b"file")
    folder = os.open(data, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=folder)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=folder)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(folder)
        folder = below
    os.close(folder)
    make_durable(data)
    files, left_out = publishable(data)
    assert 30 < len(files) < 60
    assert len(left_out) in {1, 2}
    assert all("can be read" in line for line in left_out)


def test_everything_below_is_put_on_stable_storage_whatever_it_is(data: Path) -> None:
    put(data, b"a/b/file")
    (data / "dangling").symlink_to("nowhere")
    (data / "empty").mkdir()
    os.mkfifo(data / "pipe")
    make_durable(data)
    make_durable(data / "empty")
