from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mao import choosing
from mao.run import RunState
from mao.store import Store
from test_run import a_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mao.run import Run

KEYS = st.none() | st.integers(0, 11).map("run-{:02}".format)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, list[Run]]]:
    store = Store(tmp_path_factory.mktemp("store") / "store.sqlite")
    runs = [
        a_run().model_copy(
            update={
                "id": f"run-{i:02}",
                "tool": f"t{i % 2}",
                "dataset": f"d{i % 3}",
                "state": RunState("failed" if i % 5 > 2 else "lost"),
            }
        )
        for i in range(12)
    ]
    store.save(*runs)
    store.remove(runs.pop())
    yield store, runs
    store.close()


@settings(deadline=None)
@given(
    filters=st.fixed_dictionaries(
        {"tool": st.sampled_from([None, "t0", "t1"]), "dataset": st.sampled_from([None, "d0", "d2"])},
        optional={"state": st.sampled_from([None, "lost", "failed", "gone"])},
    ),
    after=KEYS,
    before=KEYS,
    limit=st.sampled_from([-1, 0, 1, 4, 50]),
    newest_first=st.booleans(),
)
def test_what_is_chosen_is_what_fits_in_its_order(
    kept: tuple[Store, list[Run]],
    filters: dict[str, str | None],
    after: str | None,
    before: str | None,
    limit: int,
    *,
    newest_first: bool,
) -> None:
    store, runs = kept
    low, high = (before, after) if newest_first else (after, before)
    fitting = [
        run.id
        for run in runs
        if all(value in {None, str(getattr(run, column))} for column, value in filters.items())
        and (low is None or run.id > low)
        and (high is None or run.id < high)
    ]
    expected = fitting[::-1] if newest_first else fitting

    found = store.bodies("run", after=after, before=before, limit=limit, newest_first=newest_first, **filters)

    assert [key for key, _ in found] == (expected if limit < 0 else expected[:limit])


@pytest.mark.parametrize("filters", [{"tool": "t"}, {"state": "s"}, {"dataset": "d", "state": "s", "tool": "t"}])
def test_a_page_is_found_in_an_index_alone(kept: tuple[Store, list[Run]], filters: dict[str, str | None]) -> None:
    sql, values = choosing.query("run", (None, "z"), 51, newest_first=True, filters=filters)

    plan = [str(row[3]) for row in kept[0]._file.rows(f"EXPLAIN QUERY PLAN {sql}", *values)]

    assert any("COVERING INDEX documents_by_" in step for step in plan), plan
    assert any("PRIMARY KEY (kind=? AND key=?)" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
