"""What the commits of a dataset say they added is counted without their files, and each of them once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

import pytest

from mao.dataset_history import DatasetHistory
from mao.errors import MaoError, RemoteRefused
from mao.git import Git
from mao.growth import Added
from support import bare, git

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400
START = 1_790_000_000  # 2026-09-21


@pytest.fixture
def caller(tmp_path: Path) -> Git:
    return Git(tmp_path / "home", 60)


@pytest.fixture
def history(tmp_path: Path, caller: Git, remote: Path) -> DatasetHistory:
    return made(tmp_path, caller, remote)


def made(tmp_path: Path, caller: Git, url: Path | str, name: str = "data.history") -> DatasetHistory:
    (tmp_path / "datasets").mkdir(exist_ok=True)
    return DatasetHistory(caller, tmp_path / "datasets" / name, str(url))


def said(files: object, size: object, tool: str = "probe", node: str = "alpha") -> str:
    return f"sync\n\nMAO-Tool: {tool}\nMAO-Files: {files}\nMAO-Bytes: {size}\nMAO-Node: {node}\n"


def add(remote: Path, *messages: str, day: int = 0, branch: str = "main", afresh: bool = False) -> None:
    """Add a commit with each of these messages to the branch; each brings a file of 1 kB."""
    stream = []
    for number, message in enumerate(messages):
        words = message.encode()
        stream.append(f"commit refs/heads/{branch}\ncommitter T <t@e.org> {START + day * DAY} +0000\n".encode())
        stream.append(b"data %d\n%s\n" % (len(words), words))
        if number == 0 and not afresh and git("for-each-ref", f"refs/heads/{branch}", cwd=remote):
            stream.append(f"from refs/heads/{branch}^0\n".encode())
        path = b"%d/%s-%d" % (number % 64, words.hex()[-40:].encode(), number)  # no tree is long, so git is quick
        stream.append(b"M 100644 inline %s\ndata 1000\n%s\n" % (path, b"x" * 1000))
    git("fast-import", "--quiet", "--force", cwd=remote, given=b"".join(stream))


def totals(history: DatasetHistory, branch: str | None = None) -> tuple[int, int, int, int]:
    """Commits, files, bytes, and commits that do not say."""
    rows = history.count(branch).added
    return (
        sum(row.commits for row in rows),
        sum(row.files for row in rows),
        sum(row.size for row in rows),
        sum(row.unsaid for row in rows),
    )


def objects(path: Path) -> Counter[str]:
    """How many objects of each type a repository holds."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", cwd=path)
    return Counter(listed.split())


def test_the_messages_tell_what_was_added_by_whom_on_which_day(history: DatasetHistory, remote: Path) -> None:
    add(remote, said(2, 300), said(1, 50))
    add(remote, said(1, 7, tool="other", node="beta"), day=1)

    assert history.count(None).added == (
        Added(day=date(2026, 9, 21), tool="probe", node="alpha", commits=2, files=3, size=350),
        Added(day=date(2026, 9, 22), tool="other", node="beta", commits=1, files=1, size=7),
    )


def test_no_tree_and_no_file_is_brought(history: DatasetHistory, remote: Path, tmp_path: Path) -> None:
    add(remote, *(said(1, 1000) for _ in range(20)))
    history.count(None)
    assert objects(tmp_path / "datasets" / "data.history") == Counter(commit=20)
    add(remote, said(1, 1000))
    assert totals(history) == (21, 21, 21_000, 0)
    assert objects(tmp_path / "datasets" / "data.history") == Counter(commit=21)


def test_commits_that_do_not_say_are_counted_as_such(history: DatasetHistory, remote: Path) -> None:
    add(
        remote,
        "by hand",
        "older\n\nMAO-Run: 1\nMAO-Tool: probe\nMAO-Node: alpha\n",
        said("many", 5),
        said(1, -5),
        said(1, "9" * 5000),
        said("\N{ARABIC-INDIC DIGIT ONE}", 1),
        "half\n\nMAO-Files: 3\n",
        said(1, 10),
        "\n",
    )
    assert totals(history) == (9, 1, 10, 8)


def test_a_commit_made_of_several_says_so_several_times(history: DatasetHistory, remote: Path) -> None:
    trailers = said(1, 10).split("\n\n")[1]
    add(remote, f"squashed\n\n{trailers}{trailers}")
    assert totals(history) == (1, 2, 20, 0)


def test_what_was_counted_is_known_when_the_remote_is_away(
    history: DatasetHistory, remote: Path, tmp_path: Path
) -> None:
    assert history.counted() is None
    add(remote, said(1, 10))
    counted = history.count(None)
    remote.rename(tmp_path / "elsewhere.git")
    with pytest.raises(RemoteRefused):
        history.count(None)
    assert history.counted() == counted


def test_a_history_that_was_rewritten_is_counted_afresh(history: DatasetHistory, remote: Path) -> None:
    add(remote, said(1, 10), said(1, 10))
    assert totals(history) == (2, 2, 20, 0)
    add(remote, said(5, 500), afresh=True)
    assert totals(history) == (1, 5, 500, 0)
    add(remote, said(1, 1))
    assert totals(history) == (2, 6, 501, 0)


def test_the_branch_that_is_published_to_is_counted(history: DatasetHistory, remote: Path) -> None:
    add(remote, said(1, 10), said(1, 10))
    add(remote, said(7, 70), branch="other")
    assert totals(history, "other") == (1, 7, 70, 0)
    assert totals(history, "main") == (2, 2, 20, 0)
    assert totals(history, "gone") == (2, 2, 20, 0)


def test_an_empty_dataset_has_an_empty_history(history: DatasetHistory, remote: Path) -> None:
    assert totals(history) == (0, 0, 0, 0)
    add(remote, said(1, 10))
    assert totals(history) == (1, 1, 10, 0)


def test_merges_count_both_sides_once(history: DatasetHistory, remote: Path) -> None:
    add(remote, said(1, 10))
    git("branch", "side", "main", cwd=remote)
    add(remote, said(1, 100), branch="side")
    add(remote, said(1, 1000))
    tree = git("rev-parse", "main^{tree}", cwd=remote)
    assert totals(history) == (2, 2, 1010, 0)
    merge = git("commit-tree", tree, "-p", "main", "-p", "side", "-m", "merge", cwd=remote)
    git("update-ref", "refs/heads/main", merge, cwd=remote)
    assert totals(history) == (4, 3, 1110, 1)


def test_a_remote_that_would_send_all_files_is_not_asked_for_them(tmp_path: Path, caller: Git) -> None:
    remote = bare(tmp_path / "plain.git", filters=False)
    add(remote, said(1, 10))
    history = made(tmp_path, caller, remote)
    with pytest.raises(RemoteRefused) as refused:
        history.count(None)
    assert refused.value.cause == "no-filter"
    assert objects(tmp_path / "datasets" / "data.history") == Counter()


def test_another_remote_of_the_same_name_is_counted_by_itself(tmp_path: Path, caller: Git, remote: Path) -> None:
    add(remote, said(1, 10), said(1, 10))
    assert totals(made(tmp_path, caller, remote)) == (2, 2, 20, 0)
    other = bare(tmp_path / "other.git")
    add(other, said(3, 30))
    assert made(tmp_path, caller, other).counted() is None
    assert totals(made(tmp_path, caller, other)) == (1, 3, 30, 0)


def test_packs_stay_few_and_nothing_else_comes_along(history: DatasetHistory, remote: Path, tmp_path: Path) -> None:
    for number in range(1, 36):
        add(remote, said(1, number))
        assert totals(history)[0] == number
    path = tmp_path / "datasets" / "data.history"
    assert len(list(path.glob("objects/pack/*.pack"))) <= 31
    assert objects(path) == Counter(commit=35)
    add(remote, said(1, 0))
    assert totals(history) == (36, 36, 630, 0)


def test_what_is_damaged_is_made_again(history: DatasetHistory, remote: Path, tmp_path: Path) -> None:
    add(remote, said(1, 10))
    history.count(None)
    path = tmp_path / "datasets" / "data.history"
    (path / "counted.json").write_text('{"half')
    assert totals(history) == (1, 1, 10, 0)
    for pack in path.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"rubbish")
    add(remote, said(1, 10))
    try:
        history.count(None)
    except MaoError:
        assert history.counted() is None
    assert totals(history) == (2, 2, 20, 0)


def test_locks_of_a_git_that_was_killed_are_no_hindrance(history: DatasetHistory, remote: Path, tmp_path: Path) -> None:
    add(remote, said(1, 10))
    history.count(None)
    path = tmp_path / "datasets" / "data.history"
    for lock in ("refs/mao/history.lock", "config.lock", "packed-refs.lock", "shallow.lock"):
        (path / lock).touch()
    add(remote, said(1, 10))
    assert totals(history) == (2, 2, 20, 0)


@pytest.mark.parametrize("after", [0.05, 0.1, 0.15, 0.2, 0.3])
def test_counting_may_be_killed_at_any_moment_and_counts_each_commit_once(
    tmp_path: Path, caller: Git, remote: Path, after: float
) -> None:
    add(remote, *(said(1, 1) for _ in range(3000)))
    history = made(tmp_path, caller, remote)
    program = (
        "import sys; from pathlib import Path; from mao.git import Git; from mao.dataset_history import DatasetHistory;"
        "print(flush=True);"
        "DatasetHistory(Git(Path(sys.argv[1]), 60), Path(sys.argv[2]), sys.argv[3]).count(None)"
    )
    for _ in range(2):
        arguments = [tmp_path / "home", tmp_path / "datasets" / "data.history", remote]
        with subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        add(remote, said(1, 1))
    assert totals(history) == (3002, 3002, 3002, 0)
