from __future__ import annotations

import importlib.util
import json
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from mao.definition_file import load
from mao.definition_schema import json_schema

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parent.parent
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)
MAO_MD = (ROOT / "MAO.md").read_text(encoding="utf-8")
EXAMPLES = [textwrap.dedent(text) for text in re.findall(r"^ *```yaml\n(.*?)^ *```$", MAO_MD, re.MULTILINE | re.DOTALL)]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(keys, schema.values()))


def test_the_generated_files_are_up_to_date() -> None:
    assert generator().stale() == ""


def test_the_schema_is_a_valid_json_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


def test_the_shipped_schema_is_the_one_of_the_model() -> None:
    shipped = json.loads((ROOT / "src/mao/schema/mao.yaml.json").read_text(encoding="utf-8"))
    assert shipped == json_schema()


def test_every_key_of_the_schema_has_a_description() -> None:
    schema = json_schema()
    for part in [*schema["oneOf"], *schema["$defs"].values()]:
        for key, about in part.get("properties", {}).items():
            described = about.get("description") or schema["$defs"][about["$ref"].rsplit("/", 1)[-1]]["description"]
            assert described.endswith("."), key


@pytest.mark.parametrize("key", sorted(keys(json_schema())))
def test_every_key_is_explained_in_the_specification(key: str) -> None:
    assert re.search(rf"`([A-Za-z]+\.)?{key}(: [a-z0-9]+)?`", MAO_MD)


def test_the_specification_has_an_example_of_every_format() -> None:
    assert {load(text).version for text in EXAMPLES} == {"0.1", "0.2", "1"}


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_specification_loads(text: str) -> None:
    assert load(text).commands


def test_the_example_with_all_keys_has_all_keys() -> None:
    longest = max(EXAMPLES, key=len)
    for key in keys(json_schema()) - {"Datadir", "Datarepo"}:
        assert re.search(rf"\b{key}:", longest), key


def test_every_error_is_in_the_reference() -> None:
    from mao.errors import by_code  # noqa: PLC0415

    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert all(f"`{code}`" in page for code in by_code() if code != "mao-error")


def test_every_line_of_what_is_defended_names_tests_that_there_are() -> None:
    lines = (ROOT / "SECURITY.md").read_text("utf-8").split("## What is defended")[1].split("## What is not")[0]
    rows = [line for line in lines.splitlines() if line.startswith("| ")][2:]
    there = {name for path in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text("utf-8"))}
    named = [set(re.findall(r"`(test_\w+)`", row.split("|")[3])) for row in rows]
    assert all(named)
    assert set().union(*named) <= there
