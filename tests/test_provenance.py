from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from mao import __version__, provenance
from mao.fields import Label
from mao.run import Publication, PublicationState, PublishedFile, Run, RunState
from mao.values import Value
from support import git

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 3, 1, 23, 59, 59, 250_000, tzinfo=UTC)
HOSTILE = {
    "Line": "one\nMAO-Run: forged\n\ntwo\r\n",
    "Quotes": """'"`$(x)\\""",
    "Greek": "\N{GREEK SMALL LETTER ALPHA}\N{LINE SEPARATOR}",
    "Empty": "",
    "Secret": None,
    "Absent": None,
    "Long": "x" * 100_000,
}


class Named(Value):
    name: Label


def a_run(command: str = "Measure all", arguments: dict[str, str | None] | None = None, **more: object) -> Run:
    return Run(
        id="019a0000-0000-7000-8000-000000000001",
        tool="probe",
        tool_commit="c" * 40,
        command=command,
        arguments=arguments or {},
        dataset="probe-data",
        node="alpha",
        publish=True,
        fresh=True,
        state=RunState.PUBLISHING,
        created_at=START,
    ).model_copy(update={"started_at": START, "ended_at": START + timedelta(seconds=90), **more})


def parsed(message: str) -> dict[str, str]:
    """The trailers as git reads them."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=message.encode(), capture_output=True, check=True, cwd="/"
    )
    lines = done.stdout.decode().splitlines()
    found = dict(line.split(": ", 1) for line in lines)
    assert len(found) == len(lines)
    return found


def test_git_reads_every_trailer() -> None:
    message = provenance.message(a_run(arguments={"A": "1"}))
    assert message.splitlines()[:2] == ["sync 2026-03-01: probe Measure all", ""]
    assert parsed(message) == {
        "MAO-Run": "019a0000-0000-7000-8000-000000000001",
        "MAO-Tool": "probe",
        "MAO-Tool-Commit": "c" * 40,
        "MAO-Command": "Measure all",
        "MAO-Arguments": '{"A":"1"}',
        "MAO-Files": "0",
        "MAO-Bytes": "0",
        "MAO-Node": "alpha",
        "MAO-Started": "2026-03-01T23:59:59.250Z",
        "MAO-Ended": "2026-03-02T00:01:29.250Z",
        "MAO-Version": __version__,
    }


def test_the_message_says_how_much_the_run_added() -> None:
    files = (PublishedFile(path="a", size=1_000), PublishedFile(path="b", size=24, published_as="b.conflict"))
    run = a_run(publication=Publication(dataset="probe-data", remote="/r", files=files))
    message = provenance.message(run)
    assert (parsed(message)["MAO-Files"], parsed(message)["MAO-Bytes"]) == ("2", "1024")
    later = run.with_publication(state=PublicationState.WAITING, attempts=3, commit="c" * 40)
    assert provenance.message(later) == message


def test_arguments_come_back_whatever_is_in_them() -> None:
    trailers = parsed(provenance.message(a_run(arguments=HOSTILE)))
    assert json.loads(trailers["MAO-Arguments"]) == HOSTILE
    assert trailers["MAO-Run"].startswith("019a")
    assert trailers["MAO-Arguments"].isascii()


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(min_size=1), st.none() | st.text()))
def test_any_arguments_come_back_in_their_order(arguments: dict[str, str | None]) -> None:
    trailers = parsed(provenance.message(a_run(arguments=arguments)))
    assert list(json.loads(trailers["MAO-Arguments"]).items()) == list(arguments.items())
    assert len(trailers) == 11


@settings(deadline=None, max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=100))
def test_any_command_stays_on_the_line_of_the_subject(command: str) -> None:
    Named(name=command)
    message = provenance.message(a_run(command))
    assert message.split("\n")[0] == f"sync 2026-03-01: probe {command}"
    assert len(parsed(message)) == 11


def test_the_day_is_that_of_utc_on_which_the_run_started() -> None:
    there = timezone(timedelta(hours=-3))
    assert provenance.message(a_run(started_at=START.astimezone(there))).startswith("sync 2026-03-01:")
    queued_the_day_before = a_run(started_at=START + timedelta(seconds=1))
    assert provenance.message(queued_the_day_before).startswith("sync 2026-03-02:")


def test_git_lists_the_trailers_of_a_commit_that_has_the_message(tmp_path: Path) -> None:
    git("init", "--quiet", ".", cwd=tmp_path)
    tree = git("mktree", cwd=tmp_path, given=b"")
    message = provenance.message(a_run("Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n", HOSTILE))
    commit = git("commit-tree", tree, cwd=tmp_path, given=message.encode())
    written = git("log", "-1", "--format=%(trailers:key=MAO-Arguments,valueonly)", commit, cwd=tmp_path)
    assert json.loads(written) == HOSTILE
    assert git("log", "-1", f"--grep={provenance.RUN_TRAILER}: 019a0000", "--format=%H", commit, cwd=tmp_path) == commit


def test_a_run_of_a_slot_says_which_and_another_does_not() -> None:
    planned = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
    told = parsed(provenance.message(a_run(schedule="019a", slot=planned)))
    assert (told["MAO-Schedule"], told["MAO-Slot"]) == ("019a", "2026-03-01T23:00:00.000Z")
    assert not {"MAO-Schedule", "MAO-Slot"} & parsed(provenance.message(a_run())).keys()
