"""The shape of the house: modules and functions stay small, every module has its tests."""

from __future__ import annotations

import ast
import re
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
    "audit.py": "test_audit_log.py",
    "bare_cache.py": "test_dataset_cache.py",
    "committing.py": "test_publishing.py",
    "inbox.py": "test_folding.py",
    "recording.py": "test_publishing.py",
    "agreeing.py": "test_registering.py",
    "admission.py": "test_clustering.py",
    "alarm.py": "test_checking.py",
    "alarming.py": "test_checking.py",
    "ancestry.py": "test_clone_directory.py",
    "approval.py": "test_consenting.py",
    "approving.py": "test_consenting.py",
    "attempting.py": "test_reckoning.py",
    "authority.py": "test_stolen_key.py",
    "building.py": "test_installing.py",
    "caretaking.py": "test_clustering.py",
    "caller.py": "web/test_guard.py",
    "catalogue.py": "test_registering.py",
    "change.py": "test_changing.py",
    "daemon.py": "test_crashes.py",
    "cli/demo_cluster.py": "cli/test_demo.py",
    "cli/planning.py": "cli/test_schedule.py",
    "cli/stage.py": "cli/test_demo.py",
    "texts.py": "test_config.py",
    "cluster_directory.py": "test_clustering.py",
    "cluster_settings.py": "test_clustering.py",
    "finding.py": "test_registering.py",
    "definition_terms.py": "test_definition.py",
    "probing.py": "cli/test_doctor.py",
    "health.py": "test_diagnosing.py",
    "definition_schema.py": "test_definition.py",
    "denials.py": "test_errors.py",
    "document.py": "test_store.py",
    "ending.py": "test_publishing.py",
    "enlisting.py": "test_clustering.py",
    "examining.py": "test_clustering.py",
    "etcd/users.py": "test_stolen_key.py",
    "etcd_program.py": "test_etcd_member.py",
    "granting.py": "test_stolen_key.py",
    "seating.py": "test_stolen_key.py",
    "etcd/watch.py": "registries/test_etcd.py",
    "etcd/words.py": "etcd/test_client.py",
    "executor.py": "executors/test_contract.py",
    "executors/bubblewrap.py": "executors/test_contract.py",
    "executors/control_groups.py": "executors/test_escapes.py",
    "executors/flushing.py": "executors/test_contract.py",
    "executors/forkserver.py": "executors/test_supervisor.py",
    "executors/job_log.py": "executors/test_supervisor.py",
    "exchange.py": "test_git.py",
    "executors/sandbox.py": "executors/test_escapes.py",
    "executors/supervised.py": "executors/test_process.py",
    "executors/watch.py": "executors/test_escapes.py",
    "fields.py": "test_definition_file.py",
    "git_environment.py": "test_git.py",
    "invitation.py": "test_admitting.py",
    "installation.py": "test_store.py",
    "kinds.py": "test_errors.py",
    "outages.py": "test_errors.py",
    "ledger.py": "test_reckoning.py",
    "schedule.py": "test_scheduling.py",
    "screening.py": "test_unveiling.py",
    "cli/secret.py": "test_unveiling.py",
    "web/secret_routes.py": "test_unveiling.py",
    "local_node.py": "test_crashes.py",
    "settings.py": "test_config.py",
    "settling.py": "test_verifying.py",
    "ranking.py": "test_claiming.py",
    "registry.py": "registries/test_contract.py",
    "retry.py": "test_failures.py",
    "web/protocols.py": "web/test_peers.py",
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


# Those that call git, or hold words for it.
CALLERS = [module for module in MODULES if re.search(r"mao\.git import|git\.run\(", (SOURCE / module).read_text())]
GIT_VERBS = {
    *("cat-file", "checkout", "clone", "config", "fast-import", "fetch", "init", "log", "ls-files", "ls-remote"),
    *("ls-tree", "merge-base", "push", "read-tree", "repack", "reset", "rev-list", "rev-parse", "update-ref"),
}
ENDED = {"--", "--end-of-options"}
# Ids of commits, which were checked to be that: `git reset` and `git checkout` have no end of options before a commit.
IDS = {"head", "attempt.commit"}
# Words of our own that are held in variables.
OUR_WORDS = {"FETCH", "chosen", "depth", "fetch", "flags", "leases", "more", "options"}


@pytest.mark.parametrize("module", CALLERS, ids=str)
def test_nothing_foreign_can_be_an_option_of_git(module: Path) -> None:
    """What is no word of ours comes after the end of options, wherever a command of git is written down."""
    tree = ast.parse((SOURCE / module).read_text())
    lists = [words for node in ast.walk(tree) for words in _words(node)]
    assert [ast.unparse(word) for words in lists for word in _open_words(words)] == []


def _words(node: ast.AST) -> list[list[ast.expr]]:
    """What may be the words of a command: a list of them, or what a caller of git is given."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return [node.args] if node.func.attr in {"attempt", "bring", "run", "start"} else []
    return [node.elts] if isinstance(node, ast.Tuple | ast.List) else []


def _open_words(words: list[ast.expr]) -> list[ast.expr]:
    """Those of the words of a command of git that follow its name, and that git could take for options."""
    words = [word for word in words if ast.unparse(word) not in IDS]
    texts = [word.value if isinstance(word, ast.Constant) else None for word in words]
    verb = next((place for place, text in enumerate(texts) if text in GIT_VERBS), len(words))
    end = next((place for place, text in enumerate(texts) if text in ENDED and place > verb), len(words))
    return [word for word in words[verb + 1 : end] if not _is_ours(word)]


def _is_ours(word: ast.expr) -> bool:
    if isinstance(word, ast.JoinedStr):  # `--depth={...}`
        first = word.values[0]
        return isinstance(first, ast.Constant) and str(first.value).startswith("-")
    if isinstance(word, ast.Starred):
        return not isinstance(word.value, ast.Name) or word.value.id.lstrip("_") in OUR_WORDS
    return isinstance(word, ast.Constant)
