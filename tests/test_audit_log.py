from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import apsw
import pytest

from mao.audit import AuditEntry, AuditOutcome
from mao.audit_log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    opened = AuditLog(tmp_path / "audit.sqlite")
    yield opened
    opened.close()


def asked(log: AuditLog, request_id: str, *, hours: int = 0, caller: str = "owner") -> None:
    entry = AuditEntry(
        number=0,
        request_id=request_id,
        at=NOON + timedelta(hours=hours),
        caller=caller,
        origin="socket",
        method="POST",
        path="/api/v1/runs",
        about={"tool": "probe"},
    )
    log.ask(entry)


def test_what_was_asked_is_there_before_what_came_of_it(log: AuditLog) -> None:
    asked(log, "one")
    (entry,) = log.entries()
    assert (entry.outcome, entry.status, entry.about) == (AuditOutcome.UNKNOWN, None, {"tool": "probe"})

    log.answer("one", 202, None, "/api/v1/runs/7")

    (entry,) = log.entries()
    assert (entry.outcome, entry.location, entry.number) == (AuditOutcome.BEGUN, "/api/v1/runs/7", 1)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(201, "done"), (204, "done"), (202, "begun"), (404, "refused"), (401, "refused"), (502, "failed")],
)
def test_an_answer_has_an_outcome(log: AuditLog, status: int, outcome: str) -> None:
    asked(log, "one")
    log.answer("one", status, None, None)
    assert log.entries()[0].outcome == outcome


def test_entries_are_found_by_caller_and_by_moment_in_either_order(log: AuditLog) -> None:
    for hours, caller in enumerate(["owner", "token:ci", "node:beta", "token:ci"]):
        asked(log, f"r{hours}", hours=hours, caller=caller)

    assert [entry.request_id for entry in log.entries()] == ["r3", "r2", "r1", "r0"]
    assert [entry.request_id for entry in log.entries(newest_first=False, after=1, limit=2)] == ["r1", "r2"]
    assert [entry.request_id for entry in log.entries(caller="token:ci")] == ["r3", "r1"]
    between = log.entries(since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=2))
    assert [entry.request_id for entry in between] == ["r2", "r1"]


def test_entries_can_be_neither_changed_nor_removed(log: AuditLog, tmp_path: Path) -> None:
    asked(log, "one")
    log.answer("one", 201, None, None)
    before = log.entries()
    other = apsw.Connection(str(tmp_path / "audit.sqlite"))
    for statement in (
        "UPDATE asked SET caller = 'nobody'",
        "DELETE FROM asked",
        "UPDATE answered SET status = 403",
        "DELETE FROM answered",
    ):
        with pytest.raises(apsw.ConstraintError, match="only ever appended"):
            other.execute(statement)
    with pytest.raises(apsw.ConstraintError):
        log.answer("one", 500, None, None)
    other.close()
    assert log.entries() == before


def test_entries_are_still_there_when_the_log_is_opened_again(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.sqlite")
    asked(log, "one")
    log.close()
    log = AuditLog(tmp_path / "audit.sqlite")
    asked(log, "two")
    assert [(entry.number, entry.request_id) for entry in log.entries()] == [(2, "two"), (1, "one")]
    log.close()
