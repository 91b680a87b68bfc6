"""What this node has published is counted from its runs: each once, whenever it is looked at."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mao.growth import Added
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.store import Store
from mao.tally import Tally
from mao.values import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 9, 21, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def tally(tmp_path: Path) -> Iterator[Tally]:
    with Tally(tmp_path / "tally.sqlite") as opened:
        yield opened


def a_run(
    files: dict[str, int],
    day: float = 0,
    state: PublicationState = PublicationState.PUBLISHED,
    dataset: str = "Data",
    **beside: str,
) -> Run:
    at = START + timedelta(days=day)
    published = tuple(
        PublishedFile(path=path, size=size, published_as=beside.get(path)) for path, size in files.items()
    )
    return Run(
        id=new_id(),
        tool="Probe",
        tool_commit="c" * 40,
        command="Run",
        arguments={},
        dataset=dataset,
        node="alpha",
        publish=True,
        fresh=True,
        state=RunState.SUCCEEDED,
        created_at=at,
        ended_at=at,
        publication=Publication(dataset=dataset, remote="/r", state=state, files=published),
    )


def test_what_runs_have_published_is_counted_by_day(store: Store, tally: Tally) -> None:
    store.save(a_run({"a": 1, "b": 2}), a_run({"c": 4}), a_run({"d": 8}, day=1), a_run({"e": 16}, dataset="Other"))
    tally.follow(store)
    assert tally.days("data", "alpha") == [
        Added(day=date(2026, 9, 21), tool="Probe", node="alpha", commits=2, files=3, size=7),
        Added(day=date(2026, 9, 22), tool="Probe", node="alpha", commits=1, files=1, size=8),
    ]
    assert [row.size for row in tally.days("other", "alpha")] == [16]
    assert tally.days("none", "alpha") == []


def test_only_what_the_dataset_is_known_to_hold_is_counted(store: Store, tally: Tally) -> None:
    for state in PublicationState:
        store.save(a_run({"a": 1}, state=state))
    store.save(a_run({"a": 1}).model_copy(update={"publication": None, "state": RunState.FAILED}))
    tally.follow(store)
    assert [row.commits for row in tally.days("data", "alpha")] == [1]


def test_a_run_is_counted_once_however_often_it_changes(store: Store, tally: Tally) -> None:
    run = a_run({"a": 1}, state=PublicationState.WAITING)
    store.save(run)
    tally.follow(store)
    published = run.with_publication(state=PublicationState.PUBLISHED)
    for changed in (published, published.model_copy(update={"reason": "x"}), published):
        store.save(changed)
        tally.follow(store)
        tally.follow(store)
    assert [(row.commits, row.files, row.size) for row in tally.days("data", "alpha")] == [(1, 1, 1)]


def test_a_file_that_is_published_again_and_again_is_known_with_its_history(store: Store, tally: Tally) -> None:
    for number in range(10):
        store.save(a_run({"log.csv": 100 + number, "state.json": 50 - 10 * (number % 2), f"{number}": 1}, day=number))
        tally.follow(store)
    log, state = tally.repeated("data")
    assert (log.path, log.times, log.total, log.size, log.first_size) == ("log.csv", 10, 1045, 109, 100)
    assert (log.grew, log.shrank, log.first_at, log.last_at) == (9, 0, START, START + timedelta(days=9))
    assert (state.path, state.total, state.grew, state.shrank) == ("state.json", 450, 4, 5)
    assert log.is_appended
    assert not state.is_appended
    assert tally.older_versions("data") == (2, 1045 - 109 + 450 - 40)


def test_a_file_is_counted_where_the_dataset_has_it(store: Store, tally: Tally) -> None:
    for number in range(10):
        store.save(a_run({"a": 1}, a=f"a.conflict-{number}"))
    tally.follow(store)
    assert tally.repeated("data") == []


def test_names_are_counted_in_their_folder_and_folders_in_theirs(store: Store, tally: Tally) -> None:
    for first in range(0, 10_000, 2_500):
        store.save(a_run({f"flat/{number}.csv": 1 for number in range(first, first + 2_500)}))
        store.save(a_run({f"runs/{number}/a.csv": 1 for number in range(first, first + 2_500)}))
        store.save(a_run({"flat/0.csv": 1, f"top-{first}": 1, f"small/{first}": 1}))
        tally.follow(store)
    assert dict(tally.folders("data")) == {"flat": 10_000, "runs": 10_000}
    store.save(a_run({f"{number}.csv": 1 for number in range(10_000)}))
    tally.follow(store)
    assert dict(tally.folders("data"))[""] == 10_000 + 4 + 3


def test_large_files_come_first(store: Store, tally: Tally) -> None:
    store.save(a_run({"a": 60_000_000, "b": 90_000_000, "c": 49_000_000}), a_run({"d": 60_000_000}), a_run({"d": 1}))
    tally.follow(store)
    assert [file.path for file in tally.large("data")] == ["b", "a"]


def test_a_store_that_was_restored_is_counted_afresh(store: Store, tally: Tally, tmp_path: Path) -> None:
    store.save(*[a_run({"a": 1}) for _ in range(5)])
    tally.follow(store)
    older = Store(tmp_path / "older.sqlite")
    older.save(a_run({"a": 1}))
    tally.follow(older)
    older.close()
    assert [row.commits for row in tally.days("data", "alpha")] == [1]


def test_many_changes_are_counted_page_after_page(store: Store, tally: Tally) -> None:
    store.save(*[a_run({f"{number}": 1}, day=number % 7) for number in range(2_500)])
    tally.follow(store)
    assert sum(row.files for row in tally.days("data", "alpha")) == 2_500


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.2])
def test_counting_may_be_killed_at_any_moment(store: Store, tmp_path: Path, after: float) -> None:
    store.save(*[a_run({f"{number}": 1, "log": number}) for number in range(5_000)])
    program = (
        "import sys; from pathlib import Path; from mao.store import Store; from mao.tally import Tally;"
        "store, tally = Store(Path(sys.argv[1])), Tally(Path(sys.argv[2])); print(flush=True); tally.follow(store)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "store.sqlite", tmp_path / "tally.sqlite"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    with Tally(tmp_path / "tally.sqlite") as tally:
        tally.follow(store)
        assert [(row.commits, row.files) for row in tally.days("data", "alpha")] == [(5_000, 10_000)]
        assert [file.times for file in tally.repeated("data")] == [5_000]
