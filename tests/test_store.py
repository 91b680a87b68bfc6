from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mao.alarm import Alarm, AlarmKind
from mao.definition_file import load
from mao.installation import Attempt, Clone, CloneState, Installation, InstallationState, Step
from mao.run import ENDED, Publication, PublicationState, Run, RunState
from mao.sqlite import SqliteFile
from mao.store import _MIGRATIONS, IdempotentRequest, Store
from mao.values import new_id, now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFINITION = load(
    "Version: 1\nName: Probe\nDescription: x\nData: {Fresh: true, Repo: {Name: data, Remote: 'https://e.org/d.git'}}\n"
    "Commands: [{Name: Run, Description: x, Command: bash, Script: run.sh}]\n"
)


def a_run(state: RunState = RunState.QUEUED, **more: Any) -> Run:
    given = {"id": new_id(), "tool": "Probe", "dataset": "Data"} | more
    return Run(
        tool_commit="c" * 40,
        command="Run",
        arguments={"A": "1", "Key": None},
        node="alpha",
        publish=True,
        fresh=True,
        state=state,
        created_at=now(),
        **given,
    )


def an_installation(step: Step = Step.CLONING, **more: Any) -> Installation:
    attempt = Attempt(
        id=new_id(), commit="c" * 40, url="/r", ref="HEAD", definition=DEFINITION, step=step, started_at=now()
    )
    return Installation(tool="Probe", state=InstallationState.INSTALLING, attempt=attempt, **more)


def a_clone(state: CloneState = CloneState.CLONING) -> Clone:
    return Clone(dataset="Data", url="/r", state=state)


def an_alarm(subject: str = "Probe") -> Alarm:
    return Alarm(kind=AlarmKind.TAG_MOVED, subject=subject, about="x", detail="It moved.", since=now())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store.sqlite")
    yield opened
    opened.close()


def test_a_document_comes_back_as_it_was_saved(store: Store) -> None:
    run, installation, clone, alarm = a_run(), an_installation(), a_clone(), an_alarm()
    store.save(run, installation, clone, alarm)
    assert store.run(run.id) == run
    assert store.installation("pROBE") == installation
    assert store.clone("dATA") == clone
    assert store.alarm("tag-moved:probe") == alarm
    assert store.alarms(AlarmKind.TAG_MOVED) == [alarm]
    assert json.loads(store.body("run", run.id) or "")["arguments"] == {"A": "1", "Key": None}
    assert (store.run("other"), store.installation("other"), store.clone("other")) == (None, None, None)


def test_a_document_that_is_saved_again_replaces_what_it_was(store: Store) -> None:
    run = a_run()
    store.save(run)
    store.save(run.moved(RunState.RUNNING))
    assert store.counts("run") == {"running": 1}
    assert store.run(run.id) == run.moved(RunState.RUNNING)


def test_documents_survive_being_closed(tmp_path: Path) -> None:
    run = a_run()
    for _ in range(2):
        store = Store(tmp_path / "store.sqlite")
        store.save(run)
        store.close()
    store = Store(tmp_path / "store.sqlite")
    assert (store.run(run.id), store.last_seq()) == (run, 2)
    store.close()


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("publication", [None, *PublicationState])
def test_a_run_lives_until_nothing_is_to_be_done_by_itself(
    store: Store, state: RunState, publication: PublicationState | None
) -> None:
    waits = publication in {
        PublicationState.COLLECTING,
        PublicationState.PENDING,
        PublicationState.DELIVERED,
        PublicationState.WAITING,
    }
    held = Publication(dataset="Data", remote="/r", state=publication) if publication else None
    store.save(a_run(state, publication=held))
    assert len(store.live_runs()) == int(state not in ENDED or waits)


def test_an_installation_lives_until_its_attempt_has_ended(store: Store) -> None:
    for step in Step:
        store.save(an_installation(step))
        assert bool(store.live_installations()) == (step not in {Step.DONE, Step.FAILED})


def test_a_clone_lives_while_git_works_on_it(store: Store) -> None:
    for state in CloneState:
        store.save(a_clone(state))
        assert bool(store.live_clones()) == (state in {CloneState.CLONING, CloneState.REFRESHING})


def test_what_lives_comes_oldest_first_and_without_what_was_removed(store: Store) -> None:
    runs = [a_run(id=f"{number}") for number in (3, 1, 2)]
    store.save(*runs)
    store.remove(runs[2])
    assert [run.id for run in store.live_runs()] == ["1", "3"]


def test_documents_are_listed_in_pages_newest_first(store: Store) -> None:
    runs = [a_run(id=f"{number:02}") for number in range(7)]
    store.save(*runs)
    pages = []
    after: str | None = None
    while page := store.bodies("run", after=after, limit=3, newest_first=True):
        pages.append([key for key, _ in page])
        after = page[-1][0]
    assert pages == [["06", "05", "04"], ["03", "02", "01"], ["00"]]
    assert [Run.model_validate_json(body) for _, body in store.bodies("run")] == runs
    assert [key for key, _ in store.bodies("run", after="04")] == ["05", "06"]


def test_documents_are_filtered(store: Store) -> None:
    store.save(
        a_run(id="1", tool="A"),
        a_run(id="2", tool="b", dataset="Other"),
        a_run(RunState.LOST, id="3", tool="a"),
        an_installation(dataset="Other"),
    )

    def found(**filters: Any) -> list[str]:
        return [key for key, _ in store.bodies("run", **filters)]

    assert found(tool="a") == ["1", "3"]
    assert found(dataset="other") == ["2"]
    assert found(tool="a", state="lost") == ["3"]
    assert found(tool=None, state="queued") == ["1", "2"]
    assert found(tool="a", dataset="other") == []
    assert [key for key, _ in store.bodies("installation", dataset="other")] == ["probe"]
    assert store.counts("run") == {"queued": 2, "lost": 1}


def test_documents_are_counted_between_two_keys(store: Store) -> None:
    store.save(a_run(id="1"), a_run(id="2"), a_run(RunState.LOST, id="3"), a_run(id="4"))
    assert store.counts("run", "1", "4") == {"queued": 1, "lost": 1}
    assert store.counts("run", "4", "9") == {}


def test_what_was_removed_from_an_older_store_is_not_counted(tmp_path: Path) -> None:
    older = SqliteFile(tmp_path / "older.db", _MIGRATIONS[:1])
    with older.transaction():
        for seq, body in enumerate(("NULL", "'{}'")):
            values = f"'installation', '{seq}', {seq}, 0, 'installed', NULL, NULL, {body}"
            older.rows(f"INSERT INTO documents VALUES ({values})")  # noqa: S608  # a test's own words
    older.close()
    store = Store(tmp_path / "older.db")
    assert store.counts("installation") == {"installed": 1}
    store.close()


def test_every_change_has_a_number_and_the_feed_tells_the_newest_of_each_document(store: Store) -> None:
    run, clone = a_run(id="1"), a_clone()
    store.save(run)
    store.save(clone)
    store.save(run.moved(RunState.RUNNING))
    assert [(event.seq, event.kind, event.key) for event in store.events(0)] == [(2, "clone", "data"), (3, "run", "1")]
    assert [event.seq for event in store.events(2)] == [3]
    assert store.events(3) == []
    assert Run.model_validate_json(store.events(2)[0].body or "") == run.moved(RunState.RUNNING)
    assert [event.seq for event in store.events(0, limit=1)] == [2]


def test_the_feed_tells_of_removals_and_of_what_comes_after_them(store: Store) -> None:
    installation = an_installation()
    store.save(installation)
    store.remove(installation)
    (event,) = store.events(0)
    assert (event.seq, event.kind, event.key, event.body) == (2, "installation", "probe", None)
    assert store.installation("probe") is None
    assert store.bodies("installation") == []
    assert store.live_installations() == []
    assert store.counts("installation") == {}
    store.save(installation)
    assert [(event.seq, event.body is None) for event in store.events(0)] == [(3, False)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30))
def test_who_follows_the_feed_knows_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bool]]
) -> None:
    store = Store(tmp_path_factory.mktemp("store") / "store.sqlite")
    known: dict[str, str] = {}
    seen = 0
    for number, (key, removed) in enumerate(changes):
        run = a_run(id=str(key))
        store.remove(run) if removed else store.save(run)
        if number % 3 == 0:
            continue
        for event in store.events(seen):
            assert event.seq > seen
            seen = event.seq
            known.pop(event.key, None)
            if event.body is not None:
                known[event.key] = event.body
        assert known == dict(store.bodies("run"))
    assert store.last_seq() == len(changes)
    store.close()


def test_listeners_hear_of_each_change_when_it_can_be_read(store: Store) -> None:
    heard: list[int] = []
    reader: list[threading.Thread] = []

    def changed() -> None:
        heard.append(store.last_seq())
        reader.append(threading.Thread(target=store.last_seq))
        reader[-1].start()
        reader[-1].join(10)
        assert not reader[-1].is_alive(), "the change was told of before it was stored"

    store.listen(changed)
    run = a_run()
    store.save(run)
    store.published((run, {b"a": "1" * 40}))
    store.remove(run)
    assert heard == [1, 2, 3]


def test_a_request_is_remembered_with_what_it_made_or_not_at_all(store: Store) -> None:
    request = IdempotentRequest("key", "digest", "/api/v1/runs/1")
    assert store.remembered("key") is None
    store.save(a_run(id="1"), request=request)
    assert store.remembered("key") == request
    store.remember(IdempotentRequest("key", "other", "/elsewhere"))
    assert store.remembered("key") == request
    broken = a_run(id="2").model_copy(update={"state": ["no", "column"]})
    with pytest.raises(TypeError):
        store.save(broken, request=IdempotentRequest("second", "digest", "/"))
    assert (store.remembered("second"), store.run("2")) == (None, None)


def test_the_node_knows_its_own_files_by_their_bytes(store: Store) -> None:
    run = a_run(dataset="Data")
    odd = b"gr\xfc\n'\"\xff"
    store.published((run, {odd: "1" * 40, b"plain": "2" * 40}))
    store.published((run, {b"plain": "3" * 40}))
    assert store.own_blobs("data", [odd, b"plain", b"other"]) == {odd: "1" * 40, b"plain": "3" * 40}
    assert store.own_blobs("elsewhere", [b"plain"]) == {}
    assert store.run(run.id) == run


def test_what_is_below_a_folder_is_known_and_can_be_set_right(store: Store) -> None:
    inside = {b"a": "1" * 40, b"a/b": "2" * 40, b"a/\xff/c": "3" * 40}
    store.published((a_run(dataset="Data"), {**inside, b"a.b": "4" * 40, b"a0": "5" * 40, b"b/a/b": "6" * 40}))

    assert store.own_below("DATA", b"a") == inside
    assert store.own_below("data", b"a/b") == {b"a/b": "2" * 40}
    assert store.own_below("elsewhere", b"a") == {}
    store.own("Data", {b"a": None, b"a/b": "7" * 40, b"never": None, b"new": "8" * 40})
    assert store.own_below("data", b"a") == {b"a/b": "7" * 40, b"a/\xff/c": "3" * 40}
    assert store.own_blobs("data", [b"new", b"never", b"a.b"]) == {b"new": "8" * 40, b"a.b": "4" * 40}


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import a_run
from mao.store import IdempotentRequest, Store
store = Store(Path(sys.argv[1]))
while True:
    run = a_run()
    store.save(run, request=IdempotentRequest(run.id, "digest", "/"))
    store.published((run, {run.id.encode(): "1" * 40}))
    print(run.id, flush=True)
"""


def test_all_that_was_acknowledged_is_there_after_the_writer_is_killed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "store.sqlite"
    acknowledged: list[str] = []
    for patience in (1, 7, 30):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, request.path.parent], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged += [writer.stdout.readline().strip() for _ in range(patience)]
        writer.kill()
        acknowledged += [
            line.strip() for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")
        ]
        store = Store(path)
        assert all(store.run(key) is not None for key in acknowledged)
        assert len(store.own_blobs("data", [key.encode() for key in acknowledged])) == len(acknowledged)
        for key, _ in store.bodies("run"):
            assert store.remembered(key) is not None
        assert store.last_seq() >= 2 * len(acknowledged)
        store.close()
