from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from mao.clone_directory import CloneDirectory
from mao.errors import CloneChanged, FolderNotFound
from mao.git import Git, Output, failure
from mao.installation import Clone, CloneState
from mao.values import since
from support import bare, commit, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAYS, FILES = 12, 20
DAY = "2026/01/05"
ORDINARY = (
    "status",
    "log",
    "log --stat",
    "show --stat",
    "diff",
    "grep -c 1",
    "ls-files --sparse",
    "stash list",
    f"blame {DAY}/1.csv",
    f"log -- {DAY}/1.csv",
    "gc",
    "fetch",
)


class Place:
    """A remote with files in dated folders, somebody who writes to it, and a clone of it.

    Args:
        path: of an empty folder.
        filters: whether the remote serves partial clones.
    """

    def __init__(self, path: Path, *, filters: bool = True) -> None:
        self.remote = bare(path / "remote.git", filters=filters)
        self.work = path / "work"
        self.aside = path / "aside"
        self.path = path / "clone"
        self.git = Git(path / "home", 60)
        self.meanwhile: Callable[[], object] = lambda: None
        self.clone = Clone(dataset="data", url=str(self.remote), state=CloneState.CLONING)
        files = {
            f"2026/{m:02}/{d:02}/{i}.csv": f"{m} {d} {i}" for m in (1, 2) for d in range(DAYS) for i in range(FILES)
        }
        self.publish({"README": "read", **files})

    def publish(self, files: dict[str, str], date: str = "2026-03-01T00:00:00Z", *options: str) -> str:
        commit(self.work, files)
        git("commit", "--quiet", "--amend", "--no-edit", f"--date={date}", cwd=self.work)
        self.push(*options)
        return git("rev-parse", "HEAD", cwd=self.work)

    def push(self, *options: str) -> None:
        git("push", "--quiet", *options, self.remote, "HEAD:main", cwd=self.work)

    def _bring(self, *args: str, cwd: Path) -> None:
        self.meanwhile()
        output = self.git.attempt(*args, cwd=cwd)
        if output.status != 0:
            raise failure(Output(output.status, b"", output.err), args)

    @property
    def directory(self) -> CloneDirectory:
        return CloneDirectory(self.git, self.path, self._bring)

    def bring(self, *folders: str, further: tuple[str, ...] | None = None, **more: Any) -> str | None:
        """Clone, or refresh, so that these folders are there; what a refresh says."""
        present = self.path.exists()
        update = {"folders": folders, "further": (() if present else folders) if further is None else further, **more}
        self.clone = self.clone.model_copy(update=update)
        self.aside.mkdir()
        replaced = None
        try:
            if present:
                replaced = self.directory.refresh(self.clone, self.aside)
            else:
                self.directory.make(self.clone, self.aside)
        finally:
            subprocess.run(["rm", "-rf", self.aside], check=True)
        self.clone = self.clone.model_copy(
            update={"further": (), "head": self.directory.head(), "path": str(self.path)}
        )
        return replaced

    def files(self) -> set[str]:
        found = (str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())
        return {name for name in found if not name.startswith(".git/")}

    def objects(self) -> int:
        """How many objects of the remote are here; git makes some of its own for a sparse index."""
        command = ("cat-file", "--batch-all-objects", "--batch-check")
        here, there = (set(git(*command, cwd=path).splitlines()) for path in (self.path, self.remote))
        return len(here & there)

    def commits(self) -> int:
        return int(git("rev-list", "--count", "HEAD", cwd=self.path))

    def changes(self) -> list[str]:
        return self.directory.changes(self.clone.head)


def day(month: int = 1, number: int = 5) -> set[str]:
    return {f"2026/{month:02}/{number:02}/{i}.csv" for i in range(FILES)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_clone_of_a_folder_has_its_files_and_brings_no_others(place: Place) -> None:
    place.bring(DAY)

    assert place.files() == {"README", *day()}
    beside = 1 + DAYS - 1  # the trees of the other month and of the other days, without their files
    assert place.objects() == FILES + 1 + 5 + beside  # the files, README, the trees down to the folder, the commit
    assert place.changes() == []
    assert git("status", "--porcelain", cwd=place.path) == ""


def test_ordinary_commands_in_it_bring_nothing_else(place: Place) -> None:
    place.bring(DAY)
    before = place.objects()

    for command in ORDINARY:
        git(*command.split(), cwd=place.path)
        assert place.objects() == before, command
    assert git("log", "--format=%H", cwd=place.path) == place.directory.head()


def test_git_brings_what_is_asked_for_by_hand(place: Place) -> None:
    place.bring(DAY)

    git("sparse-checkout", "add", "2026/02/03", cwd=place.path)

    assert place.files() == {"README", *day(), *day(2, 3)}


def test_a_pull_by_hand_follows_the_dataset_and_is_no_change(place: Place) -> None:
    place.bring(DAY)
    place.publish({f"{DAY}/new.csv": "new", "2026/03/01/new.csv": "new"})

    before = place.objects()
    git("fetch", "--quiet", cwd=place.path)
    assert place.objects() == before + 1
    git("pull", "--quiet", cwd=place.path)

    assert place.files() == {"README", *day(), f"{DAY}/new.csv"}
    assert place.changes() == []
    place.bring(DAY)
    assert place.changes() == []


def test_a_refresh_brings_what_is_new_in_the_folder_alone(place: Place) -> None:
    place.bring("2026/01")
    before = place.objects()
    place.publish({f"{DAY}/new.csv": "new", "2026/02/05/new.csv": "new", "2026/04/01/new.csv": "new", "note": "new"})

    place.bring("2026/01")

    assert f"{DAY}/new.csv" in place.files()
    assert not any(name.startswith(("2026/02", "2026/04")) for name in place.files())
    assert place.objects() == before + 1 + 1 + 4 + 2  # the one content, the commit, its trees and those beside them
    assert place.changes() == []


@pytest.mark.parametrize("folders", [(), ("2026",)])
def test_a_refresh_is_sent_what_is_new_whatever_the_dataset_holds(place: Place, folders: tuple[str, ...]) -> None:
    place.publish({f"2026/03/{number}/{i}.csv": f"3 {number} {i}" for number in range(40) for i in range(50)})
    place.bring(*folders)
    git("config", "fetch.unpackLimit", "1", cwd=place.path)  # what is sent is kept as it came

    def sent() -> int:
        counted = dict(line.split(": ") for line in git("count-objects", "-v", cwd=place.path).splitlines())
        return int(counted["in-pack"])

    for number in range(3):
        before = sent()
        place.publish({f"{DAY}/new-{number}.csv": str(number)})
        place.bring(*folders)
        assert sent() - before <= 2 * 6  # the commit, four trees, the file; to each what it is a delta of
    before = sent()
    place.bring(*folders)
    assert sent() == before


def test_a_refresh_takes_away_what_is_gone_even_the_folder(place: Place) -> None:
    place.bring(DAY, "2026/02/03")
    git("rm", "-r", "--quiet", "2026/02/03", f"{DAY}/1.csv", cwd=place.work)
    place.publish({})

    place.bring(DAY, "2026/02/03")

    assert place.files() == {"README", *day()} - {f"{DAY}/1.csv"}
    assert place.changes() == []


def test_a_further_folder_comes_besides(place: Place) -> None:
    place.bring(DAY)
    place.publish({f"{DAY}/new.csv": "new"})

    place.bring(DAY, "2026/02", further=("2026/02",))

    whole = {name for number in range(DAYS) for name in day(2, number)}
    assert place.files() == {"README", f"{DAY}/new.csv", *day(), *whole}
    assert place.changes() == []
    assert git("status", "--porcelain", cwd=place.path) == ""


def test_a_clone_of_folders_becomes_one_of_everything(place: Place) -> None:
    place.bring(DAY)
    place.publish({"2026/03/01/new.csv": "new"})

    place.bring()

    assert len(place.files()) == 2 * DAYS * FILES + 2
    assert place.changes() == []
    place.publish({"2026/04/01/new.csv": "newer"})
    place.bring()
    assert "2026/04/01/new.csv" in place.files()
    assert place.changes() == []


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("2026/1", "no folder '2026/1'; did you mean '2026/01'?"),
        ("2027/01", "no folder '2027'"),
        ("README", "'README' is no folder but a file"),
        ("2026/01/05/1.csv", "'2026/01/05/1.csv' is no folder but a file"),
    ],
)
def test_a_folder_that_is_not_there_is_an_error_and_changes_nothing(place: Place, folder: str, words: str) -> None:
    with pytest.raises(FolderNotFound) as caught:
        place.bring(folder)
    assert words in caught.value.detail
    assert not place.path.exists()

    place.clone = place.clone.model_copy(update={"further": ()})
    place.bring(DAY)
    with pytest.raises(FolderNotFound):
        place.bring(DAY, folder, further=(folder,))
    assert place.files() == {"README", *day()}
    git("status", cwd=place.path)


def test_an_empty_dataset_has_no_folder(place: Place, tmp_path: Path) -> None:
    empty = bare(tmp_path / "empty.git")
    place.clone = place.clone.model_copy(update={"url": str(empty)})

    with pytest.raises(FolderNotFound, match="no commit yet"):
        place.bring(DAY)


@pytest.mark.parametrize("folder", ["-dash", "a b", '"quoted"', "back\\slash", "sta*r", "[x]", "#hash", "!bang", "ü"])
def test_a_folder_may_have_an_odd_name(place: Place, folder: str) -> None:
    place.publish({f"{folder}/1.csv": "1", f"{folder}x/2.csv": "2"})

    place.bring(folder)

    assert place.files() == {"README", f"{folder}/1.csv"}
    place.bring(folder, DAY, further=(DAY,))
    assert place.files() == {"README", f"{folder}/1.csv", *day()}
    assert place.changes() == []


def test_folders_within_one_another_and_files_of_the_same_content_are_no_trouble(place: Place) -> None:
    place.publish({"same/1.csv": "1", "same/2.csv": "1", "2026/02/1.csv": "1", "same/below/1.csv": "1"})

    place.bring("same/below", "same", DAY)

    assert place.files() == {"README", "same/1.csv", "same/2.csv", "same/below/1.csv", *day()}
    place.publish({"same/below/3.csv": "2 5 1", "same/2.csv": "1 1 1"})
    place.bring("same/below", "same", DAY)
    assert (place.path / "same/below/3.csv").read_text() == "2 5 1"
    assert place.changes() == []


def test_a_remote_that_serves_no_partial_clones_does_as_well(tmp_path: Path) -> None:
    place = Place(tmp_path, filters=False)

    place.bring(DAY)
    assert place.files() == {"README", *day()}
    place.publish({f"{DAY}/new.csv": "new", "2026/02/05/new.csv": "newer"})
    place.bring(DAY, "2026/02/03", further=("2026/02/03",))

    assert place.files() == {"README", f"{DAY}/new.csv", *day(), *day(2, 3)}
    assert place.changes() == []


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_the_history_goes_back_to_a_date_and_further_on_request(place: Place, folders: tuple[str, ...]) -> None:
    for number in range(1, 6):
        (place.work / "note").write_text(str(number))
        git("add", ".", cwd=place.work)
        moment = f"2037-01-0{number}T12:00:00Z"
        git("-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", "x", f"--date={moment}", cwd=place.work)
        _redate(place.work, moment)
    place.push()

    place.bring(*folders, since=since("2037-01-04"))
    assert place.commits() == 2
    place.bring(*folders, since=since("2037-01-02"))
    assert place.commits() == 4
    git("log", "--stat", cwd=place.path)
    place.bring(*folders, history=True)
    assert place.commits() == 6
    assert place.changes() == []


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_a_date_with_nothing_after_it_gives_the_newest_commit(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders, since=since("2099-01-01"))
    head = place.publish({f"{DAY}/new.csv": "new"})
    assert place.commits() == 1

    place.bring(*folders, since=since("2099-01-01"))

    assert (place.directory.head(), place.commits()) == (head, 1)


def _redate(work: Path, moment: str) -> None:
    """Give the newest commit this date of its committer."""
    body = git("cat-file", "commit", "HEAD", cwd=work)
    seconds = int(since(moment).timestamp())
    lines = [
        f"{line.rsplit(' ', 2)[0]} {seconds} +0000" if line.startswith("committer") else line
        for line in body.split("\n")
    ]
    made = git("hash-object", "-t", "commit", "-w", "--stdin", cwd=work, given="\n".join([*lines, ""]).encode())
    git("reset", "--quiet", "--soft", made, cwd=work)


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_a_refresh_says_if_the_branch_was_rewritten_and_only_then(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders)
    place.publish({"note": "1"})
    place.publish({"note": "2"})
    _redate(place.work, "1999-01-01T00:00:00Z")  # a run that was published late
    place.publish({"note": "3"}, "2026-03-01T00:00:00Z", "--force")
    assert place.bring(*folders) is None
    before = place.directory.head()
    git("commit", "--quiet", "--amend", "--message", "another", cwd=place.work)
    place.push("--force")

    assert place.bring(*folders) == before

    assert place.directory.head() == git("rev-parse", "HEAD", cwd=place.work)
    assert place.bring(*folders) is None
    git("reset", "--quiet", "--hard", "HEAD~1", cwd=place.work)
    place.push("--force")
    before = place.directory.head()
    assert place.bring(*folders) == before
    assert place.commits() == 1


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_what_is_changed_by_hand_while_it_is_refreshed_stays(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders)
    place.publish({f"{DAY}/1.csv": "theirs", f"{DAY}/new.csv": "theirs"})
    for name in ("1.csv", "new.csv"):
        (place.path / DAY / name).write_text("mine")

        with pytest.raises(CloneChanged, match=name):
            place.bring(*folders)

        assert (place.path / DAY / name).read_text() == "mine"
        (place.path / DAY / name).unlink()
        git("checkout", ".", cwd=place.path)
    place.bring(*folders)
    assert (place.path / DAY / "1.csv").read_text() == "theirs"


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_a_commit_made_by_hand_while_it_is_refreshed_stays(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders)
    place.publish({f"{DAY}/new.csv": "theirs"})
    (place.path / DAY / "1.csv").write_text("mine")
    place.meanwhile = lambda: git("commit", "--allow-empty", "--all", "--quiet", "--message", "mine", cwd=place.path)

    with pytest.raises(CloneChanged, match="commits"):
        place.bring(*folders)

    assert git("show", f"HEAD:{DAY}/1.csv", cwd=place.path) == "mine"


@pytest.mark.parametrize("folders", [(), (DAY,)])
def test_a_switch_that_was_killed_is_finished(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders)
    head = place.publish({f"{DAY}/1.csv": "theirs", f"{DAY}/new.csv": "theirs"})
    (place.path / ".git" / "mao-switching").touch()
    (place.path / ".git" / "index.lock").touch()
    (place.path / ".git" / "mao-promisor").unlink(missing_ok=True)
    (place.path / DAY / "1.csv").write_text("the")
    (place.path / DAY / "new.csv").write_text("the")
    assert place.changes() == []

    place.bring(*folders)

    assert (place.directory.head(), place.changes()) == (head, [])
    assert (place.path / DAY / "new.csv").read_text() == "theirs"
    if folders:
        git("ls-files", cwd=place.path)  # the rest can be brought again


@pytest.mark.parametrize("folders", [(), (DAY,)])
@pytest.mark.long
def test_many_refreshes_leave_one_end_of_the_history_and_few_packs(place: Place, folders: tuple[str, ...]) -> None:
    place.bring(*folders)
    for number in range(15):
        place.publish({f"{DAY}/new.csv": str(number)})
        place.bring(*folders)

    assert (place.path / ".git" / "shallow").read_text().split() == [place.directory.head()]
    assert len(list(place.path.glob(".git/objects/pack/*.pack"))) <= 60
    assert place.changes() == []
    if folders:
        assert place.objects() < 2 * DAYS * FILES


def test_a_branch_of_ones_own_keeps_its_end(place: Place) -> None:
    place.bring()
    git("branch", "mine", cwd=place.path)
    mine = place.directory.head()
    place.publish({"note": "1"})

    place.bring()

    assert git("rev-list", "mine", cwd=place.path) == mine
    assert place.commits() == 1
