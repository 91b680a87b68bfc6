from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.place import Place


def test_the_audit_log_is_listed_and_exported(place: Place) -> None:
    place.mao("dataset", "withdraw", "nothing-of-that-name")

    head, row, *_ = place.mao.ok("audit", "list", "--limit", "1").stdout.splitlines()
    assert head.split() == ["TIME", "WHO", "FROM", "OUTCOME", "WHAT"]
    assert row.endswith("refused (dataset-not-found)  DELETE /api/v1/datasets/nothing-of-that-name")
    assert " owner " in row

    exported = [json.loads(line) for line in place.mao.ok("audit", "export", "-o", "ndjson").stdout.splitlines()]
    assert [entry["number"] for entry in exported] == list(range(1, len(exported) + 1))
    assert exported[0]["path"] == "/api/v1/tools"
    assert exported[-1]["code"] == "dataset-not-found"

    none = place.mao.ok("audit", "list", "--who", "token:nobody")
    assert (none.stdout, none.stderr) == ("", "The audit log has no such entry.\n")
