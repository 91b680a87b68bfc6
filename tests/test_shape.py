"""The shape of the house: modules and functions stay small, every module has its tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "mao"
TESTS = Path(__file__).parent
MODULES = sorted(
    path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.stem not in {"__init__", "__main__", "rpc_pb2"}
)

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40

# Modules whose behaviour is that of the thing above them, and which are tested there.
TESTED_ELSEWHERE = {
    "bare_cache.py": "test_dataset_cache.py",
    "committing.py": "test_publishing.py",
    "inbox.py": "test_folding.py",
    "recording.py": "test_publishing.py",
    "agreeing.py": "test_registering.py",
    "admission.py": "test_clustering.py",
    "alarm.py": "test_checking.py",
    "alarming.py": "test_checking.py",
    "ancestry.py": "test_clone_directory.py",
    "attempting.py": "test_reckoning.py",
    "building.py": "test_installing.py",
    "caretaking.py": "test_clustering.py",
    "caller.py": "web/test_guard.py",
    "catalogue.py": "test_registering.py",
    "change.py": "test_changing.py",
    "daemon.py": "test_crashes.py",
    "cli/demo_cluster.py": "cli/test_demo.py",
    "cli/planning.py": "cli/test_schedule.py",
    "cli/stage.py": "cli/test_demo.py",
    "cluster_directory.py": "test_clustering.py",
    "definition_schema.py": "test_definition.py",
    "document.py": "test_store.py",
    "ending.py": "test_publishing.py",
    "enlisting.py": "test_clustering.py",
    "examining.py": "test_clustering.py",
    "etcd/watch.py": "registries/test_etcd.py",
    "etcd/words.py": "etcd/test_client.py",
    "executor.py": "executors/test_contract.py",
    "executors/bubblewrap.py": "executors/test_contract.py",
    "executors/control_groups.py": "executors/test_escapes.py",
    "executors/flushing.py": "executors/test_contract.py",
    "executors/forkserver.py": "executors/test_supervisor.py",
    "executors/job_log.py": "executors/test_supervisor.py",
    "executors/sandbox.py": "executors/test_escapes.py",
    "executors/supervised.py": "executors/test_process.py",
    "executors/watch.py": "executors/test_escapes.py",
    "fields.py": "test_definition_file.py",
    "invitation.py": "test_admitting.py",
    "installation.py": "test_store.py",
    "kinds.py": "test_errors.py",
    "ledger.py": "test_reckoning.py",
    "schedule.py": "test_scheduling.py",
    "local_node.py": "test_crashes.py",
    "settings.py": "test_config.py",
    "settling.py": "test_verifying.py",
    "ranking.py": "test_claiming.py",
    "registry.py": "registries/test_contract.py",
    "retry.py": "test_failures.py",
    "web/routing.py": "web/test_app.py",
    "yaml_tree.py": "test_definition_file.py",
}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_are_short(module: Path) -> None:
    assert len((SOURCE / module).read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_functions_are_short(module: Path) -> None:
    tree = ast.parse((SOURCE / module).read_text())
    lengths = {
        node.name: _length(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_has_its_tests(module: Path) -> None:
    mirrored = TESTS / module.parent / f"test_{module.name}"
    elsewhere = TESTS / TESTED_ELSEWHERE.get(module.as_posix(), "nowhere")
    assert mirrored.exists() or elsewhere.is_file(), f"{mirrored.relative_to(TESTS)} is missing"
