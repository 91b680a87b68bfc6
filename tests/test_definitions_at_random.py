"""Definitions as nobody would write them, and what must be true of the loader whatever it is given (`oracles.py`).

`make fuzz` goes on where these end: `fuzz/definition.py` asks the same of what libFuzzer finds, and what it has found
is asked again here.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mao.definition_file import load
from mao.errors import BadDefinition
from oracles import check_definition
from test_definition_file import FIRST, NEWEST, SECOND, contents

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "fuzz" / "corpus"
SAMPLES = [FIRST, SECOND, NEWEST, *(path.read_text() for path in sorted((ROOT / "examples").glob("*/mao.yaml")))]

WORDS = [
    *":-?[]{},&*!|>'\"%@`#\n\n\n\t~<= \x85\u2028\r\ufeff\0\x1b",
    *("\n  ", "\n- ", "---", "...", "<<: ", "? ", "&a ", "*a", "!!binary ", "!<x> ", "%YAML 1.2\n---\n", "%TAG ! x:\n"),
    *("Name: ", "Data: ", "Version: 1\n", "Version: 2\n", "Commands:", "Arguments: ", "Datadir: ", "Datarepo: "),
    *("null", "1e999", "9" * 400, "0x7f", ".inf", "2h", "5 GiB", "MAO_X", "../", ".git", "ext::sh", "-x", "con"),
    *('"\\ud800"', '"\\U00110000"', '"\\U0010ffff"', '"\\0"', "(?x)a", r"\w{900}", "😀" * 30, "x" * 3_000, "[" * 30),
]


@given(st.binary(max_size=300) | st.text(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=60).map("".join))
def test_of_any_text_come_faults_with_their_places(text: bytes | str) -> None:
    check_definition(text)


@given(st.data())
def test_a_damaged_definition_loads_or_is_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 20))
        text = text[:at] + data.draw(st.sampled_from(WORDS) | st.text(max_size=5)) + text[at + length :]
    check_definition(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner),
    max_leaves=5,
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Each mapping and list in `node`, with each of its keys or indices."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [(node, key) for key in keys] + [place for key in keys for place in places(node[key])]


@given(contents(), st.data())
@settings(max_examples=max(50, settings().max_examples // 2))
def test_a_definition_with_other_values_keys_and_nesting_loads_or_is_refused(
    written: dict[str, Any], data: st.DataObject
) -> None:
    content: Any = json.loads(json.dumps(written))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(content) or [({0: 0}, 0)]))
        match data.draw(st.sampled_from(["value", "swap", "key", "away", "wrap"])):
            case "value":
                holder[key] = data.draw(VALUES)
            case "swap":
                other, its = data.draw(st.sampled_from(places(content)))
                holder[key] = json.loads(json.dumps(other[its]))
            case "key" if isinstance(holder, dict):
                holder[data.draw(st.sampled_from(WORDS) | st.text(max_size=9))] = holder.pop(key)
            case "away":
                del holder[key]
            case _:
                holder[key] = data.draw(st.sampled_from([[holder[key]], {"Name": holder[key]}, [holder[key]] * 20]))
    check_definition(yaml.safe_dump(content, allow_unicode=data.draw(st.booleans()), sort_keys=False))
    check_definition(json.dumps(content, ensure_ascii=data.draw(st.booleans())))


def test_what_libfuzzer_has_found_is_answered_as_everything_is() -> None:
    found = sorted(CORPUS.iterdir())
    assert len(found) > 100
    loaded = [check_definition(path.read_bytes()) for path in found]
    assert sum(definition is not None for definition in loaded) > 10


HEAD = "Version: 1\nName: x\nData: {Fresh: true, Repo: {Name: d, Remote: 'https://example.org/d'}}\nCommands:\n"
COMMAND = "  - Name: c\n    Command: bash\n    Script: x\n"
LARGE: dict[str, Callable[[int], str]] = {
    "unknown keys": lambda n: "".join(f"k{i}: v\n" for i in range(n)),
    "one key again and again": lambda n: "Name: a\n" * n,
    "aliases": lambda n: "Name: [" + "*a," * n + "]",
    "anchors": lambda n: "".join(f"- &a{i} x\n" for i in range(n)),
    "keys without a value": lambda n: HEAD + COMMAND + "Environment:\n" + "".join(f"  A{i}:\n" for i in range(n)),
    "variables": lambda n: HEAD + COMMAND + "Environment:\n" + "".join(f"  A{i}: a\n" for i in range(n)),
    "ends of lines": lambda n: HEAD + COMMAND + "\n" * n,
    "comments": lambda n: HEAD + COMMAND + "# x\n" * n,
    "folded text": lambda n: HEAD + COMMAND + "Citation: >\n" + "  a\n\n" * n,
    "escapes": lambda n: HEAD + COMMAND + 'Citation: "' + "\\x41" * n + '"',
    "a long key": lambda n: "a" * n + ": x",
    "arguments": lambda n: HEAD + COMMAND + "    Arguments:\n" + "".join(f"      - {{Name: a{i}}}\n" for i in range(n)),
    "inputs that clash": lambda n: (
        HEAD + COMMAND + "Inputs:\n" + "".join(f"- {{Dataset: d, Path: a, Commit: {'0' * 40}}}\n" for _ in range(n))
    ),
}


def cost(text: str) -> tuple[int, int]:
    """How many functions are called to load `text`, and how many bytes are taken at most."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:  # noqa: ARG001  # sys.setprofile calls it
        nonlocal calls
        calls += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        load(text)
    except BadDefinition:
        pass
    finally:
        sys.setprofile(None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return calls, most


@pytest.mark.parametrize("kind", LARGE)
def test_a_definition_of_four_times_the_size_takes_four_times_as_much(kind: str) -> None:
    calls, memory = cost(LARGE[kind](150))
    calls_of_four, memory_of_four = cost(LARGE[kind](600))

    assert calls_of_four < 4.5 * calls
    assert memory_of_four < 7 * memory  # tables grow by leaps
