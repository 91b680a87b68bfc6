from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mao import diagnosing, probing
from mao.approving import approve
from mao.building import advance
from mao.catalogue import tool_key
from mao.consenting import awaited
from mao.diagnosing import Checkup
from mao.health import Finding, Result
from mao.installing import request_install
from mao.registering import register_tool
from support import commit

if TYPE_CHECKING:
    from pathlib import Path

    from mao.health import Health
    from mao.local_node import LocalNode


def of(health: Health, check: str) -> Finding:
    (found,) = [finding for finding in health.findings if finding.check == check]
    return found


def test_a_node_checks_its_machine_and_itself(node: LocalNode) -> None:
    health = Checkup(node, {"cluster": lambda name: Finding(name, Result.OK, "reached")}).health()

    assert [finding.check for finding in health.findings] == [*probing.CHECKS, *diagnosing.CHECKS, "cluster"]
    assert of(health, "home").found.startswith(f"{node.config.home}, ")
    assert of(health, "executor").advice.endswith("runs.executor is 'process'.")
    assert of(health, "announced").found == "other nodes do not see this one", "it is open, and does not serve"
    assert health.troubles == tuple(each for each in health.findings if each.result is Result.WARN)


def test_what_hangs_is_told_of_and_not_begun_again_before_it_has_ended(node: LocalNode) -> None:
    leave, begun = threading.Event(), threading.Semaphore(0)

    def hang(name: str) -> Finding:
        begun.release()
        leave.wait()
        return Finding(name, Result.OK, "in the end")

    checkup = Checkup(node, {"disk": hang}, patience=0.1)
    for _ in range(2):
        found = of(checkup.health(), "disk")
        assert (found.result, found.found) == (Result.WARN, "not known: no answer for 0.1 s")
    assert begun.acquire(blocking=False)
    assert not begun.acquire(blocking=False)
    leave.set()
    while of(health := checkup.health(), "disk").result is not Result.OK:
        pass
    assert of(health, "disk").found == "in the end"
    assert not begun.acquire(blocking=False), "it is known for some seconds"


def test_what_cannot_be_looked_at_fails_and_comes_first(node: LocalNode) -> None:
    def refuse(name: str) -> Finding:
        raise PermissionError(13, f"no {name}")

    health = Checkup(node, {"quota": refuse}).health()

    assert "no quota" in of(health, "quota").found
    assert health.troubles[0] == of(health, "quota")


def test_what_is_set_anew_is_told_until_the_node_is_started_with_it(node: LocalNode) -> None:
    node.config.values["runs.limit"] = 1234
    found = of(Checkup(node, {}).health(), "configuration")
    assert found.result is Result.WARN
    assert found.found.endswith("changed since the node was started: runs.limit")


def test_a_commit_that_waits_to_be_approved_is_a_decision(node: LocalNode, tool: Path) -> None:
    register_tool(node, str(tool))
    request_install(node, "probe")
    while advance(node, "probe"):
        pass
    newer = commit(tool, {"more.txt": ""})
    entry = node.mirror.get(tool_key("probe"))
    assert entry is not None
    register_tool(node, str(tool), if_revision=entry.revision)
    assert of(Checkup(node, {}).health(), "decisions").found == "none"

    node.config.values["policy.approve"] = "updates"

    assert awaited(node) == [("probe", newer)]
    found = of(Checkup(node, {}).health(), "decisions")
    assert (found.result, found.found) == (Result.WARN, "1 commit of tools to approve")
    approve(node, "probe", newer, "owner")
    assert of(Checkup(node, {}).health(), "decisions").found == "none"
