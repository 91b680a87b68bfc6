from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mao.definition import Definition
from mao.definition_file import MAX_FAULTS, dataset_name, load
from mao.definition_schema import json_schema
from mao.errors import BadDefinition
from mao.yaml_tree import MAX_BYTES
from oracles import check_definition

SCHEMA = Draft202012Validator(json_schema())

FIRST = """\
Name: 'Hello'
Description: 'Sample project to demonstrate the mao execution format.'
Datadir: 'hello_world'                        # relative to the tool's root
Datarepo: 'https://example.org/hello-data'    # git remote
Installer: {Command: 'bash', Script: 'install.sh'}
Commands:
  - Name: 'Run'
    Description: 'Run the program'
    Command: 'bash'
    Script: 'run.sh'
    Arguments:                                # may be absent; positional, in this order
      - {Name: 'Message', Description: 'Message to be printed'}
"""
DATA = "Data: {Local: 'dir_data', Repo: {Name: 'some-static-data', Remote: 'some_URL'}}\n"
SECOND = FIRST.replace("Datadir: 'hello_world'                        # relative to the tool's root\n", DATA).replace(
    "Datarepo: 'https://example.org/hello-data'    # git remote\n", ""
)
NEWEST = "Version: 1\n" + SECOND


def refused(text: bytes | str) -> list[dict[str, Any]]:
    with pytest.raises(BadDefinition) as caught:
        load(text)
    assert caught.value.faults
    return caught.value.faults


def lines(text: bytes | str) -> list[str]:
    with pytest.raises(BadDefinition) as caught:
        load(text)
    return caught.value.detail.split("\n")


def test_the_sample_of_format_0_1_loads() -> None:
    definition = load(FIRST)
    assert definition.version == "0.1"
    assert definition.data.local == "hello_world"
    assert definition.data.repo.name == "hello-data"
    assert definition.data.repo.remote == "https://example.org/hello-data"
    assert definition.commands[0].arguments[0].required


def test_the_sample_of_format_0_2_loads() -> None:
    definition = load(SECOND)
    assert definition.version == "0.2"
    assert (definition.data.repo.name, definition.data.repo.remote) == ("some-static-data", "some_URL")


@pytest.mark.parametrize("mark", ["Version: 1\n", "Version: '1'\n", 'Version: "1"\n'])
def test_version_1_marks_the_newest_format(mark: str) -> None:
    assert load(mark + SECOND).version == "1"


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://example.org/a/hello-data.git", "hello-data"),
        ("https://example.org/a/hello-data/", "hello-data"),
        ("git@example.org:hello.git", "hello"),
        ("some_URL", "some_URL"),
        ("https://example.org", ""),
    ],
)
def test_a_dataset_of_format_0_1_is_named_after_the_end_of_its_remote(remote: str, name: str) -> None:
    assert dataset_name(remote) == name


def test_a_remote_that_gives_no_name_is_a_fault_of_the_remote() -> None:
    (fault,) = refused(FIRST.replace("/hello-data'", "'"))
    assert (fault["path"], fault["line"], fault["column"]) == ("Datarepo", 4, 11)


@pytest.mark.parametrize("text", [FIRST, SECOND, NEWEST])
def test_bytes_a_byte_order_mark_and_line_ends_of_windows_make_no_difference(text: str) -> None:
    assert load(text) == load(text.encode()) == load(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())


def test_text_stays_as_it_is_written() -> None:
    more = "Environment: {A: 1.10, B: no, C: 0x10, D: 2026-01-01, E: ~x, F: !!str 07}\n"
    definition = load(NEWEST.replace("'Hello'", "1.10") + more)
    assert definition.name == "1.10"
    assert definition.environment == {"A": "1.10", "B": "no", "C": "0x10", "D": "2026-01-01", "E": "~x", "F": "07"}


@pytest.mark.parametrize(
    ("word", "value"), [("yes", True), ("on", True), ("True", True), ("no", False), ("off", False)]
)
def test_true_and_false_may_be_written_in_any_way_of_yaml(word: str, value: bool) -> None:  # noqa: FBT001
    assert load(NEWEST.replace("Data: {", f"Data: {{Fresh: {word}, ")).data.fresh is value


def test_all_faults_are_told_at_once_with_their_places_and_what_was_meant() -> None:
    text = """\
Version: 1
Naem: hello
name: hello
Data:
  Local: ../out
  Repo: {Name: d}
Commands:
  - Name: Run
    Command: bash
    Script: run.sh
    Arguments:
      - {Name: a, Type: integre}
Timeout: soon
"""
    place = "Commands[0].Arguments[0].Type"
    kinds = "string, integer, number, boolean, path, choice, secret"
    assert lines(text) == [
        "mao.yaml:1:1: Name is missing",
        "mao.yaml:2:1: Naem is not a key that is known here (did you mean 'Name'?)",
        "mao.yaml:3:1: name is not a key that is known here (did you mean 'Name'?)",
        "mao.yaml:5:10: Data.Local must stay inside the tool: no '..'",
        "mao.yaml:6:9: Data.Repo.Remote is missing",
        f"mao.yaml:12:25: {place} must be one of {kinds}, not 'integre' (did you mean 'integer'?)",
        "mao.yaml:13:10: Timeout must be a duration: seconds, or a number with s, min, h, d or w, such as '2h'",
    ]
    assert refused(text)[1] == {
        "file": "mao.yaml",
        "line": 2,
        "column": 1,
        "path": "Naem",
        "text": "Naem: hello",
        "message": "Naem is not a key that is known here",
        "suggestion": "Name",
    }


def test_a_name_of_the_file_is_used_in_faults() -> None:
    with pytest.raises(BadDefinition, match=r"^tool/mao\.yml:1:1: "):
        load("", "tool/mao.yml")


@pytest.mark.parametrize("version", ["2", "0.1", "0.2", "1.0", "one", "[1]"])
def test_any_other_version_is_a_fault(version: str) -> None:
    (fault,) = refused(f"Version: {version}\n" + SECOND)
    assert fault["path"] == "Version"


@pytest.mark.parametrize("text", [FIRST, SECOND])
@pytest.mark.parametrize("more", ["Timeout: 5\n", "Environment: {A: b}\n", "License: MIT\n", "Inputs: []\n"])
def test_a_key_of_the_newest_format_in_an_older_one_is_a_fault(text: str, more: str) -> None:
    (fault,) = refused(text + more)
    assert "needs `Version: 1`" in fault["message"]


def test_a_newer_key_further_down_is_a_fault_too() -> None:
    (fault,) = refused(FIRST.replace("{Name: 'Message',", "{Name: 'Message', Default: x,"))
    assert fault["path"] == "Commands[0].Arguments[0].Default"
    (fault,) = refused(SECOND.replace("Data: {", "Data: {Fresh: true, "))
    assert fault["path"] == "Data.Fresh"


def test_without_any_data_the_missing_key_is_named_for_both_formats() -> None:
    fault = refused(SECOND.replace(DATA, ""))[0]
    assert fault["path"] == "Data"
    assert "`Datadir` and `Datarepo`" in fault["message"]


def test_half_of_the_data_of_format_0_1_is_a_fault() -> None:
    (fault,) = refused(FIRST.replace("Datadir: 'hello_world'", ""))
    assert fault["message"] == "Datadir is missing"


def test_a_key_of_format_0_1_beside_data_says_what_it_is_called_now() -> None:
    (fault,) = refused(SECOND + "Datadir: x\n")
    assert "`Data.Local`" in fault["message"]


@pytest.mark.parametrize("key", ["Description", "Installer", "    Arguments"])
def test_some_keys_without_a_value_count_as_left_out(key: str) -> None:
    text = "\n".join(line for line in FIRST.split("\n") if "Message" not in line)
    name = key.strip()
    emptied = "\n".join(f"{key}:" if line.startswith(key + ":") else line for line in text.split("\n"))
    assert load(emptied).commands
    assert f"{name}:\n" in emptied


@pytest.mark.parametrize("empty", ["", " ~", " null"])
def test_other_keys_without_a_value_are_a_fault(empty: str) -> None:
    (fault,) = refused(NEWEST.replace("Name: 'Hello'", "Name:" + empty))
    assert "has no value" in fault["message"]


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("Name: a\n\tData: b\n", (2, 1), "tab"),
        ("Name: [a\n", (2, 1), "not YAML"),
        ("Name: a\nName: b\n", (2, 1), "twice; the first is on line 1"),
        ("Name: &x a\n", (1, 7), "anchor"),
        ("Name: *x\n", (1, 7), "alias"),
        ("Name: !x a\n", (1, 7), "tag"),
        ("Name: !!python/object/apply:os.system [x]\n", (1, 7), "tag"),
        ("Name: a\n---\nName: b\n", (2, 1), "second document"),
        ("? [a]\n: b\n", (1, 3), "a key must be text"),
        ("*x : b\n", (1, 1), "a key must be text"),
        ("- a\n", (1, 1), "keys and values"),
        ("text", (1, 1), "keys and values"),
        ("", (1, 1), "keys and values"),
        ("---\n", (2, 1), "keys and values"),
        ("---\n  ", (2, 3), "keys and values"),
        ("Name: a\u2028X: *y\n", (1, 12), "alias"),  # to YAML, not to editors, it begins a line
        ("Name: a\rX: *y\r\nY: \x1b", (3, 4), "U+001B"),
        ("Name: a\rX: *y\r\nY: *z", (3, 4), "Y has an anchor or alias"),
        ("Name: a\0b\n", (1, 8), "U+0000"),
        ("Name: \ud800\n", (1, 7), "lone surrogate"),
        ("Name: a\nX: \x1b\n", (2, 4), "U+001B"),
        (b"Name: a\nX: \xff\n", (2, 4), "UTF-8"),
        ("Name: a".encode("utf-16"), (1, 1), "UTF-8"),
        ("a: " + "[" * 50_000, (1, 23), "deeper"),
        ("{a: " * 50_000, (1, 81), "deeper"),
    ],
)
def test_what_yaml_allows_or_breaks_on_is_a_fault_with_its_place(
    text: bytes | str, place: tuple[int, int], word: str
) -> None:
    found = [(fault["line"], fault["column"]) for fault in refused(text) if word in fault["message"]]
    assert found == [place]


@pytest.mark.parametrize("text", ["x" * (MAX_BYTES + 1), "a: b\n" * 300_000])
def test_a_file_that_is_too_long_is_not_read(text: str) -> None:
    (fault,) = refused(text)
    assert "at most 262,144" in fault["message"]


def test_more_values_than_any_definition_has_are_not_read() -> None:
    (fault,) = refused(NEWEST + "Authors: [" + "a," * 10_000 + "]")
    assert "more than 10,000 values" in fault["message"]


def test_no_more_faults_are_told_than_anybody_reads() -> None:
    told = lines("".join(f"k{number}: v\n" for number in range(5_000)))
    assert len(told) == MAX_FAULTS + 1
    assert told[-1] == "mao.yaml: and 4,953 more"


def test_a_key_cannot_steer_a_terminal() -> None:
    assert all(line.isprintable() for line in lines('"\\e[2J": x\n' + NEWEST))


names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(lambda n: n not in {"con", "nul", "aux", "prn"})
texts = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("C", "Z"))) | names
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
durations = st.floats(min_value=0.001, max_value=1e6)


@st.composite
def arguments(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["string", "integer", "choice", "secret"]))
    argument: dict[str, Any] = {"Name": name, "Type": kind, "Description": draw(texts)}
    default: str | None = None
    if kind == "choice":
        argument["Choices"] = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
        default = argument["Choices"][0]
    elif kind != "secret":
        default = draw(texts) if kind == "string" else str(draw(st.integers()))
    if default is not None and draw(st.booleans()):
        return argument | {"Default": default}
    return argument | {"Required": draw(st.booleans())}


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid definitions as JSON, in the shape of format 1."""
    commands = []
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        taken = draw(st.lists(st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), max_size=3, unique=True))
        commands.append(
            {
                "Name": name,
                "Command": draw(st.sampled_from(["bash", "python3 -u", ".venv/bin/python"])),
                "Script": draw(paths),
                "Arguments": [draw(arguments(each)) for each in taken],
                "Description": draw(texts),
            }
        )
    fresh = draw(st.booleans())
    data = {"Fresh": fresh, "Repo": {"Name": draw(names), "Remote": f"https://example.org/{draw(names)}"}}
    return {
        "Version": "1",
        "Name": draw(names),
        "Description": draw(texts),
        "Data": data if fresh else data | {"Local": "data/" + draw(paths)},
        "Commands": commands,
        "Environment": draw(st.dictionaries(st.from_regex(r"[A-LN-Z_][A-Z0-9_]{0,9}", fullmatch=True), texts)),
        "Timeout": draw(durations),
        "Lateness": {"Backfill": draw(st.sampled_from(["never", "allowed"])), "Max": draw(durations)},
        "Resources": {"Memory": draw(st.integers(1, 2**40)), "Processes": draw(st.integers(1, 1000))},
        "License": draw(texts),
        "Authors": draw(st.lists(names, max_size=2)),
    }


@given(contents())
@settings(max_examples=50)
def test_a_definition_written_as_yaml_is_read_as_the_same_values(written: dict[str, Any]) -> None:
    expected = Definition.model_validate(written)
    assert check_definition(yaml.safe_dump(written, allow_unicode=True, sort_keys=False)) == expected
    assert load(json.dumps(written, ensure_ascii=False)) == expected
    assert SCHEMA.is_valid(written)


@pytest.mark.parametrize("text", [FIRST, SECOND, NEWEST])
def test_the_schema_accepts_what_loads_and_refuses_unknown_keys_at_every_depth(text: str) -> None:
    def surprises(node: Any) -> Any:
        """Each copy of the node with one unknown key in one of its mappings."""
        if isinstance(node, dict):
            yield node | {"Surprise": 1}
            for key, value in node.items():
                yield from (node | {key: changed} for changed in surprises(value))
        elif isinstance(node, list):
            for place, item in enumerate(node):
                yield from ([*node[:place], changed, *node[place + 1 :]] for changed in surprises(item))

    content = yaml.safe_load(text)
    SCHEMA.validate(content)
    for changed in surprises(content):
        assert not SCHEMA.is_valid(changed)
        assert any("Surprise" in fault["path"] for fault in refused(yaml.safe_dump(changed)))


@pytest.mark.parametrize(
    "text",
    [
        SECOND + "Timeout: 5\n",
        NEWEST.replace("Version: 1", "Version: 2"),
        NEWEST.replace("Local: 'dir_data', ", ""),
        FIRST.replace("Datadir", "Data"),
        NEWEST.replace("'Hello'", "'a b'"),
    ],
)
def test_the_schema_refuses_what_does_not_load(text: str) -> None:
    assert refused(text)
    assert not SCHEMA.is_valid(yaml.safe_load(text))
