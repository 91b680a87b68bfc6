from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from keys import delete, put
from mao.errors import StaleRevision
from mao.registries.sqlite import SqliteRegistry

if TYPE_CHECKING:
    from pathlib import Path


def test_revisions_and_entries_survive_being_closed(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.sqlite")
    first = put(registry, "/a", b"1", if_revision=0)
    second = put(registry, "/b", b"2", if_revision=0)
    gone = delete(registry, "/b", if_revision=second)
    registry.close()
    registry = SqliteRegistry(tmp_path / "registry.sqlite")
    entries, revision = registry.entries("/")
    assert [(entry.key, entry.revision) for entry in entries] == [("/a", first)]
    assert revision == gone
    with pytest.raises(StaleRevision):
        put(registry, "/a", b"3", if_revision=0)
    assert put(registry, "/a", b"3", if_revision=first) == gone + 1
    registry.close()


def test_a_watch_goes_on_where_it_was_after_the_file_was_closed(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.sqlite")
    seen = [put(registry, f"/{number}", b"", if_revision=0) for number in range(3)]
    registry.close()
    registry = SqliteRegistry(tmp_path / "registry.sqlite")
    watch = registry.watch("/", after=seen[0])
    assert [change.revision for change in next(watch).changes] == seen[1:]
    put(registry, "/more", b"", if_revision=0)
    assert [change.key for change in next(watch).changes] == ["/more"]
    registry.close()


def test_a_watch_that_is_too_far_behind_says_so_instead_of_leaving_changes_out(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path / "registry.sqlite", kept_changes=10)
    revisions = [put(registry, f"/{number}", b"", if_revision=0) for number in range(15)]
    with pytest.raises(StaleRevision, match="revision 4 are no longer kept"):
        next(registry.watch("/", after=revisions[3]))
    watch = registry.watch("/", after=revisions[4])
    assert [change.revision for change in next(watch).changes] == revisions[5:]
    registry.close()


WRITER = """
import sys
from pathlib import Path
from mao.registries.sqlite import SqliteRegistry
from mao.registry import Edit
registry = SqliteRegistry(Path(sys.argv[1]))
while True:
    revision = registry.entries("/")[1] + 1
    print(registry.write(Edit(f"/{revision:06}", b"", 0)), flush=True)
"""


def test_what_was_put_is_there_after_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    for patience in (1, 20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        last = [int(writer.stdout.readline()) for _ in range(patience)][-1]
        writer.kill()
        writer.communicate()
        registry = SqliteRegistry(path)
        entries, revision = registry.entries("/", limit=10_000)
        assert revision >= last
        assert [entry.revision for entry in entries] == list(range(1, revision + 1))
        registry.close()
