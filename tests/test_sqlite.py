from __future__ import annotations

import os
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from mao.errors import DiskFull, Unavailable
from mao.sqlite import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = "CREATE TABLE words (word TEXT PRIMARY KEY); INSERT INTO words VALUES ('one');"
SECOND = "ALTER TABLE words ADD COLUMN length INTEGER; UPDATE words SET length = length(word);"


def words(file: SqliteFile) -> set[str]:
    return {str(word) for (word,) in file.rows("SELECT word FROM words")}


def add(file: SqliteFile, word: str) -> None:
    with file.transaction():
        file.rows("INSERT INTO words (word) VALUES (?)", word)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqliteFile]:
    opened = SqliteFile(tmp_path / "file.sqlite", [FIRST])
    yield opened
    opened.close()


def test_a_file_gets_those_migrations_that_it_has_not_had(tmp_path: Path) -> None:
    path = tmp_path / "file.sqlite"
    for scripts in ([FIRST], [FIRST], [FIRST, SECOND], [FIRST, SECOND]):
        file = SqliteFile(path, scripts)
        assert file.rows("PRAGMA user_version") == [(len(scripts),)]
        assert words(file) == {"one"}
        file.close()
    file = SqliteFile(path, [FIRST, SECOND])
    assert file.rows("SELECT word, length FROM words") == [("one", 3)]
    file.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.sqlite"
    SqliteFile(path, [FIRST]).close()
    with pytest.raises(Exception, match="no such table: nowhere"):
        SqliteFile(path, [FIRST, SECOND, "INSERT INTO nowhere VALUES (1)"])
    file = SqliteFile(path, [FIRST])
    assert file.rows("PRAGMA user_version") == [(1,)]
    assert file.rows("SELECT * FROM words") == [("one",)]
    file.close()


def test_a_file_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file.sqlite"
    SqliteFile(path, [FIRST, SECOND]).close()
    with pytest.raises(Unavailable, match=r"newer MAO \(its schema is 2, this one knows 1\)"):
        SqliteFile(path, [FIRST])
    file = SqliteFile(path, [FIRST, SECOND])
    assert words(file) == {"one"}
    file.close()


def test_a_file_is_for_its_owner_alone_and_safe_from_power_loss(file: SqliteFile, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "file.sqlite").stat().st_mode) == 0o600
    assert file.rows("PRAGMA journal_mode") == [("wal",)]
    assert file.rows("PRAGMA synchronous") == [(2,)]


def test_all_of_a_transaction_is_stored_or_nothing(file: SqliteFile) -> None:
    add(file, "two")

    def fail() -> None:
        with file.transaction():
            add(file, "three")
            with file.transaction():
                add(file, "four")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert words(file) == {"one", "two"}
    with file.transaction():
        add(file, "three")
        with file.transaction():
            add(file, "four")
    assert words(file) == {"one", "two", "three", "four"}


def test_each_transaction_says_whether_a_power_loss_may_undo_it(file: SqliteFile) -> None:
    with file.transaction(flush=False):
        assert file.rows("PRAGMA synchronous") == [(1,)]
        with file.transaction():
            assert file.rows("PRAGMA synchronous") == [(1,)], "it is part of the one around it"
    with file.transaction():
        assert file.rows("PRAGMA synchronous") == [(2,)]


def test_a_constraint_that_is_broken_takes_the_transaction_back(file: SqliteFile) -> None:
    with pytest.raises(Exception, match="UNIQUE"), file.transaction():
        file.rows("INSERT INTO words VALUES ('two'), ('one')")
    assert words(file) == {"one"}
    add(file, "two")
    assert words(file) == {"one", "two"}


def test_threads_do_not_see_each_others_halves(file: SqliteFile) -> None:
    seen: list[int] = []

    def write(name: str) -> None:
        for number in range(50):
            with file.transaction():
                file.rows("INSERT INTO words VALUES (?)", f"{name} {number} a")
                file.rows("INSERT INTO words VALUES (?)", f"{name} {number} b")

    def read() -> None:
        for _ in range(200):
            ((count,),) = file.rows("SELECT count(*) FROM words")
            assert isinstance(count, int)
            seen.append(count)

    threads = [threading.Thread(target=write, args=(name,)) for name in "xyz"] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 200
    assert all(count % 2 == 1 for count in seen)
    assert len(words(file)) == 301


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


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_on_a_full_disk_nothing_is_changed_and_afterwards_all_goes_on(small_disk: Path) -> None:
    file = SqliteFile(small_disk / "file.sqlite", [FIRST])
    add(file, "two")
    filler = fill(small_disk)
    stored = {"one", "two"}
    for number in range(100):
        word = f"{number} " + "x" * 5000
        try:
            add(file, word)
        except DiskFull as error:
            assert "file.sqlite" in error.detail  # noqa: PT017  # whether it is raised is asserted below
            break
        stored.add(word)
    else:
        pytest.fail("the disk was never full")
    assert words(file) == stored
    os.truncate(filler, 0)
    add(file, "three")
    file.close()
    file = SqliteFile(small_disk / "file.sqlite", [FIRST])
    assert words(file) == stored | {"three"}
    file.close()


def test_a_file_cannot_be_opened_on_a_full_disk_until_there_is_room(small_disk: Path) -> None:
    filler = fill(small_disk)
    with pytest.raises(DiskFull):
        SqliteFile(small_disk / "file.sqlite", [FIRST])
    os.truncate(filler, 0)
    file = SqliteFile(small_disk / "file.sqlite", [FIRST])
    assert words(file) == {"one"}
    file.close()
