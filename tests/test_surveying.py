"""A dataset is surveyed with what can be found out, and what cannot be is said."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from conftest import settings
from keys import put
from mao.catalogue import Dataset, dataset_key
from mao.errors import DatasetNotFound
from mao.growth import Source, WarningKind
from mao.local_node import LocalNode, opened
from mao.registering import register_dataset
from mao.run import PublicationState, RunState
from mao.surveying import survey
from mao.values import now
from serving import hanging_server
from support import bare, commit, git
from test_dataset_history import said
from test_tally import a_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1000**2


@pytest.fixture
def node(tmp_path: Path, remote: Path) -> Iterator[LocalNode]:
    """A node that knows the dataset `data`."""
    with opened(settings(tmp_path / "home")) as opened_node:
        register_dataset(opened_node, "data", str(remote), "")
        yield opened_node


def push(tmp_path: Path, remote: Path, *messages: str) -> None:
    for number, message in enumerate(messages):
        commit(tmp_path / "work", {f"{message}-{number}".replace("\n", " ")[-99:].replace("/", " "): "x"}, message)
    git("push", "--quiet", "--force", remote, "HEAD:main", cwd=tmp_path / "work")


def published(node: LocalNode, *sizes: int, path: str = "log.csv", days: float = 0) -> None:
    """Runs that published a file at `path`, evenly over the last `days`."""
    for number, size in enumerate(sizes):
        at = now() - timedelta(days=days * (1 - number / len(sizes)))
        run = a_run({path: size}, dataset="data")
        node.store.save(run.model_copy(update={"created_at": at, "ended_at": at}))


def kinds(node: LocalNode) -> list[tuple[WarningKind, str | None]]:
    return [(warning.kind, warning.path) for warning in survey(node, "data").warnings]


def test_the_history_tells_what_any_node_has_published(node: LocalNode, tmp_path: Path, remote: Path) -> None:
    push(tmp_path, remote, said(2, 5 * MB), said(1, MB, node="beta"), "by hand")
    grown = survey(node, "DATA")
    assert (grown.dataset, grown.source, grown.problem) == ("data", Source.HISTORY, None)
    assert (grown.commits, grown.unsaid, grown.files, grown.size) == (3, 1, 3, 6 * MB)
    assert grown.counted_at is not None
    assert {share.node for share in grown.shares} == {"alpha", "beta", ""}
    assert grown.limit == 10_000 * MB


def test_a_remote_that_is_away_leaves_what_was_counted_before(node: LocalNode, tmp_path: Path, remote: Path) -> None:
    push(tmp_path, remote, said(2, 5 * MB))
    before = survey(node, "data")
    remote.rename(tmp_path / "away.git")
    grown = survey(node, "data")
    assert (grown.source, grown.size, grown.counted_at) == (Source.HISTORY, 5 * MB, before.counted_at)
    assert grown.problem is not None
    assert "data.git" in grown.problem


def test_a_remote_that_never_answers_is_not_waited_for_without_end(tmp_path: Path) -> None:
    hasty = {"git.allow_http": "true", "git.time_limit": "0.5"}
    with hanging_server() as (url, _), opened(settings(tmp_path / "home", **hasty)) as node:
        dataset = Dataset(name="data", url=url, registered_by="alpha", registered_at=now())
        node.mirror.catch_up(put(node.registry, dataset_key("data"), dataset.model_dump_json().encode(), if_revision=0))
        published(node, 3 * MB)
        grown = survey(node, "data")
        assert (grown.source, grown.size) == (Source.OWN_RUNS, 3 * MB)
        assert grown.problem is not None
        assert "timed out" in grown.problem


def test_without_any_history_this_nodes_own_runs_tell(node: LocalNode, tmp_path: Path, remote: Path) -> None:
    published(node, 3 * MB, 4 * MB)
    remote.rename(tmp_path / "away.git")
    grown = survey(node, "data")
    assert (grown.source, grown.commits, grown.size, grown.counted_at) == (Source.OWN_RUNS, 2, 7 * MB, None)
    assert grown.problem


def test_a_remote_that_cannot_leave_files_out_is_not_counted(node: LocalNode, tmp_path: Path) -> None:
    remote = bare(tmp_path / "plain.git", filters=False)
    register_dataset(node, "plain", str(remote), "")
    push(tmp_path, remote, said(1, MB))
    grown = survey(node, "plain")
    assert (grown.source, grown.commits) == (Source.OWN_RUNS, 0)
    assert grown.problem is not None
    assert "allowFilter" in grown.problem


def test_a_history_that_says_nothing_gives_way_to_own_runs(node: LocalNode, tmp_path: Path, remote: Path) -> None:
    push(tmp_path, remote, "of an older MAO")
    assert (survey(node, "data").source, survey(node, "data").unsaid) == (Source.HISTORY, 1)
    published(node, 3 * MB)
    grown = survey(node, "data")
    assert (grown.source, grown.size) == (Source.OWN_RUNS, 3 * MB)
    assert grown.problem is not None


def test_a_dataset_that_nobody_has_written_to_has_no_growth(node: LocalNode) -> None:
    grown = survey(node, "data")
    assert (grown.commits, grown.size, grown.size_per_day, grown.days_to_limit) == (0, 0, 0, None)
    assert grown.warnings == ()


def test_a_dataset_that_is_not_registered_is_not_surveyed(node: LocalNode) -> None:
    with pytest.raises(DatasetNotFound, match="did you mean 'data'"):
        survey(node, "dat")


def test_one_file_that_is_appended_to_for_ever_is_told(node: LocalNode) -> None:
    published(node, *range(MB, 31 * MB, MB), days=100)
    assert kinds(node) == [(WarningKind.APPENDED_FILE, "log.csv")]


def test_one_file_that_grows_to_what_hosts_refuse_is_told(node: LocalNode) -> None:
    published(node, *range(MB, 31 * MB, MB), days=30)
    assert kinds(node) == [(WarningKind.LARGE_FILE, "log.csv"), (WarningKind.APPENDED_FILE, "log.csv")]


def test_one_file_that_is_overwritten_again_and_again_is_told(node: LocalNode) -> None:
    published(node, *[20 * MB] * 12, days=12)
    assert kinds(node) == [(WarningKind.OVERWRITTEN_FILE, "log.csv")]


def test_many_files_that_are_written_again_are_told_together(node: LocalNode) -> None:
    for _ in range(12):
        node.store.save(a_run({f"station-{number}.csv": 10_000 for number in range(1_000)}, dataset="data"))
    assert kinds(node) == [(WarningKind.REPEATED_FILES, None)]


def test_a_large_file_is_told(node: LocalNode) -> None:
    published(node, 80 * MB)
    assert kinds(node) == [(WarningKind.LARGE_FILE, "log.csv")]


def test_a_folder_with_many_files_is_told(node: LocalNode) -> None:
    node.store.save(a_run({f"a/{number}": 1 for number in range(9_999)}, dataset="data"))
    assert kinds(node) == []
    node.store.save(a_run({"a/one-more": 1}, dataset="data"))
    assert kinds(node) == [(WarningKind.MANY_FILES, "a")]


def test_a_dataset_near_the_limit_of_its_host_is_told(tmp_path: Path, remote: Path) -> None:
    with opened(settings(tmp_path / "home", **{"publishing.dataset_limit": "100 MB"})) as node:
        register_dataset(node, "data", str(remote), "")
        push(tmp_path, remote, said(2, 90 * MB))
        grown = survey(node, "data")
        assert (grown.limit, grown.days_to_limit) == (100 * MB, 0)
        assert [warning.kind for warning in grown.warnings] == [WarningKind.NEAR_LIMIT]
        push(tmp_path, remote, said(2, 20 * MB))
        assert [warning.kind for warning in survey(node, "data").warnings] == [WarningKind.PAST_LIMIT]


def test_files_named_once_by_each_run_give_no_warning(node: LocalNode) -> None:
    for day in range(100):
        published(node, MB, path=f"2026/{day}.csv", days=100 - day)
    assert kinds(node) == []


def test_what_was_not_published_counts_nowhere(node: LocalNode, tmp_path: Path, remote: Path) -> None:
    remote.rename(tmp_path / "away.git")
    waiting: dict[str, Any] = {"state": RunState.UNPUBLISHED}
    run = a_run({"a": 90 * MB}, dataset="data", state=PublicationState.WAITING)
    node.store.save(run.model_copy(update=waiting))
    grown = survey(node, "data")
    assert (grown.commits, grown.size, grown.warnings) == (0, 0, ())
