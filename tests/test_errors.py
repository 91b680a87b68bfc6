from __future__ import annotations

import re

import pytest

from mao import errors
from mao.errors import MaoError, by_code

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, MaoError)]
KINDS = [value for value in CLASSES if MaoError in value.__bases__]
LEAVES = [value for value in CLASSES if value is not MaoError and value not in KINDS]


def test_there_are_six_kinds_with_numbers_of_their_own() -> None:
    assert {kind.__name__: (kind.status, kind.exit_status) for kind in KINDS} == {
        "InvalidRequest": (422, 2),
        "NotFound": (404, 3),
        "Conflict": (409, 4),
        "OutsideFailed": (502, 5),
        "Unavailable": (503, 6),
        "Denied": (403, 7),
    }
    assert (MaoError.status, MaoError.exit_status) == (500, 1)


@pytest.mark.parametrize("leaf", LEAVES)
def test_an_error_is_of_one_kind_and_has_its_numbers(leaf: type[MaoError]) -> None:
    (kind,) = (kind for kind in KINDS if issubclass(leaf, kind))
    own = {"NotSignedIn": 401, "TooManyAttempts": 429, "BadRange": 416}
    assert (leaf.status, leaf.exit_status) == (own.get(leaf.__name__, kind.status), kind.exit_status)


@pytest.mark.parametrize("error", CLASSES)
def test_an_error_has_a_title_and_a_code_from_which_it_is_found(error: type[MaoError]) -> None:
    assert error.__dict__["__doc__"]
    assert re.fullmatch(r"\w[^\n.]+", error.title())
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code())
    assert error.code().replace("-", "") == error.__name__.lower()
    assert by_code()[error.code()] is error


def test_every_code_belongs_to_one_class() -> None:
    assert len(by_code()) == len(CLASSES)


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn: dict[str, set[str]] = {}
    numbers: dict[str, tuple[int, int]] = {}
    kind = ""
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r" {4}[├└]── (\w+) +(\d+), exit (\d)   .+", line):
            kind = found[1]
            numbers[kind] = int(found[2]), int(found[3])
        elif re.match(r"[ │]{4,}[├└]── ", line):
            drawn.setdefault(kind, set()).update(re.findall(r"\w+", line))
    assert drawn == {kind.__name__: {leaf.__name__ for leaf in LEAVES if issubclass(leaf, kind)} for kind in KINDS}
    assert numbers == {kind.__name__: (kind.status, kind.exit_status) for kind in KINDS}


def test_every_branch_of_the_drawing_ends_where_it_ends() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        column = line.index("──") - 1
        assert (line[column] == "├") == (below[column : column + 1] in {"├", "└", "│"}), line


def test_an_error_carries_its_sentence_its_faults_and_its_cause() -> None:
    plain = errors.ToolNotFound("No such tool.")
    assert (str(plain), plain.detail, plain.faults, plain.cause) == (
        *("No such tool.", "No such tool."),
        [],
        "tool-not-found",
    )
    exact = errors.RemoteRefused("git push: no", [{"line": 1}], cause="hook-declined")
    assert (exact.faults, exact.cause, exact.code()) == ([{"line": 1}], "hook-declined", "remote-refused")
