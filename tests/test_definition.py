from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mao.catalogue import Tool
from mao.definition import Definition
from mao.errors import CommandNotFound
from mao.fields import Part, path_fault
from mao.values import now

COMMAND = {"Name": "Run", "Command": "bash", "Script": "run.sh"}


def content(**changes: Any) -> dict[str, Any]:
    data = {"Local": "data", "Repo": {"Name": "d", "Remote": "https://example.org/d"}}
    return {"Version": "1", "Name": "hello", "Data": data, "Commands": [COMMAND]} | changes


def made(**changes: Any) -> Definition:
    return Definition.model_validate(content(**changes))


def message(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(**changes)
    return str(caught.value)


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        made().name = "other"  # type: ignore[misc]


def test_it_travels_in_the_keys_of_the_file_and_without_what_is_not_set() -> None:
    assert made().model_dump(mode="json") == {
        "Version": "1",
        "Name": "hello",
        "Data": {"Local": "data", "Fresh": False, "Repo": {"Name": "d", "Remote": "https://example.org/d"}},
        "Commands": [COMMAND],
    }


def test_it_travels_inside_a_registered_tool() -> None:
    tool = Tool(
        name="hello",
        url="https://example.org/hello",
        ref="refs/heads/main",
        commit="0" * 40,
        definition=made(),
        dataset="d",
        registered_by="n",
        registered_at=now(),
    )
    assert tool.model_dump(mode="json")["definition"]["Commands"] == [COMMAND]
    assert Tool.model_validate_json(tool.model_dump_json()) == tool


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), ("90", 90), ("90 s", 90), ("1.5 min", 90), ("30m", 1800), ("2 Hours", 7200), ("7d", 604_800)],
)
def test_a_duration_is_normalised_to_seconds(written: object, seconds: float) -> None:
    assert made(Timeout=written).timeout == seconds


@pytest.mark.parametrize("written", [0, -1, "100ms", "soon", True, "1h 30m", "400 d", float("inf"), float("nan")])
def test_what_is_no_duration_is_refused(written: object) -> None:
    assert "Timeout" in message(Timeout=written)


@pytest.mark.parametrize(("written", "size"), [(5, 5), ("2 GiB", 2**31), ("500 MB", 500_000_000), ("1.5kB", 1500)])
def test_a_size_is_normalised_to_bytes(written: object, size: int) -> None:
    resources = made(Resources={"Memory": written}).resources
    assert resources is not None
    assert resources.memory == size


@pytest.mark.parametrize(
    "path", ["/etc", "..", "a/../../b", "a\\b", "C:/x", ".git/hooks", "a/.GIT", "a\0b", "a\nb", "", ".", "./", "./."]
)
def test_no_path_reaches_outside_the_tool_or_names_its_root(path: str) -> None:
    data = {"Local": path, "Repo": {"Name": "d", "Remote": "d"}}
    assert "Data.Local" in message(Data=data)
    assert "Commands.0.Script" in message(Commands=[COMMAND | {"Script": path}])


@given(st.text(alphabet=st.sampled_from("ab./\\ :~")))
def test_a_path_that_passes_stays_below_the_root(path: str) -> None:
    if path_fault(path) is None:
        parts = [part for part in path.split("/") if part not in {"", "."}]
        assert parts
        assert ".." not in parts
        assert not path.startswith("/")


def test_the_data_folder_is_normalised() -> None:
    assert made(Data={"Local": "./data//x/", "Repo": {"Name": "d", "Remote": "d"}}).data.local == "data/x"


def test_fresh_data_needs_no_folder() -> None:
    assert made(Data={"Fresh": True, "Repo": {"Name": "d", "Remote": "d"}}).data.fresh
    assert "is required, unless" in message(Data={"Repo": {"Name": "d", "Remote": "d"}})


@pytest.mark.parametrize("command", ["/bin/sh", "", "''", "bash '", "../sh", "a\nb", "bin/../../sh"])
def test_a_command_names_a_program_on_the_path_or_in_the_tool(command: str) -> None:
    assert "Commands.0.Command" in message(Commands=[COMMAND | {"Command": command}])


def test_what_is_executed_is_the_words_of_the_command_the_script_and_the_arguments_as_they_are() -> None:
    definition = made(
        Commands=[COMMAND | {"Command": ".venv/bin/python3 -u 'a b'"}], Installer={"Command": "bash -e", "Script": "i"}
    )
    assert definition.commands[0].argv(("$(x) ", "")) == (".venv/bin/python3", "-u", "a b", "run.sh", "$(x) ", "")
    assert definition.installer is not None
    assert definition.installer.argv() == ("bash", "-e", "i")


@pytest.mark.parametrize("remote", ["-x", "ext::sh -c x", "ftp://example.org/x", ""])
def test_a_remote_that_could_run_a_command_is_refused(remote: str) -> None:
    assert "Remote" in message(Data={"Local": "d", "Repo": {"Name": "d", "Remote": remote}})


@pytest.mark.parametrize("name", ["MAO_RUN_ID", "1A", "A-B", "", "Ä"])
def test_a_variable_that_cannot_be_set_is_refused(name: str) -> None:
    assert "Environment" in message(Environment={name: "x"})


def test_a_variable_that_is_too_long_for_the_system_is_refused() -> None:
    assert "131,071" in message(Environment={"A": "x" * 131_070})


def test_text_without_control_characters_cannot_steer_a_terminal() -> None:
    assert "U+001B" in message(Description="\x1b[2J")


def test_names_of_commands_are_unique_regardless_of_case() -> None:
    assert "Commands.1.Name" in message(Commands=[COMMAND, COMMAND | {"Name": "RUN"}])


def test_a_definition_has_a_command() -> None:
    assert "at least one" in message(Commands=[])


@pytest.mark.parametrize("path", ["data", "data/in", "inputs/a", "inputs"])
def test_inputs_are_apart_from_the_data_and_from_each_other(path: str) -> None:
    first = {"Dataset": "d", "Commit": "0" * 40, "Path": "inputs"}
    assert "Inputs.1.Path" in message(Inputs=[first, first | {"Path": path}])


def test_an_input_is_pinned_to_a_whole_commit() -> None:
    assert "Commit" in message(Inputs=[{"Dataset": "d", "Commit": "main", "Path": "in"}])


def test_authors_may_be_just_names() -> None:
    authors = made(Authors=["Ada", {"Name": "Ben", "Orcid": "0000-0002-1825-0097"}]).authors
    assert [author.name for author in authors] == ["Ada", "Ben"]


def test_a_command_is_found_regardless_of_case() -> None:
    assert made().command("RUN").name == "Run"


def test_a_command_that_is_not_there_is_answered_with_the_nearest_and_all_there_are() -> None:
    definition = made(Commands=[COMMAND, COMMAND | {"Name": "Summarise"}])
    with pytest.raises(CommandNotFound) as caught:
        definition.command("Sumarize")
    assert caught.value.detail == "hello has no command 'Sumarize' (did you mean 'Summarise'?). It has: Run, Summarise."


def parts(part: type[Part]) -> set[type[Part]]:
    return {part}.union(*(parts(child) for child in part.__subclasses__()))


def test_every_part_is_frozen_and_knows_no_other_keys() -> None:
    assert all(part.model_config["frozen"] and part.model_config["extra"] == "forbid" for part in parts(Part))


def test_the_patterns_of_a_definition_may_be_only_so_large_in_all() -> None:
    # Each alone could be used; a file of 50 kB would have gigabytes made of them, for many minutes.
    commands = [
        COMMAND | {"Name": f"c{number}", "Arguments": [{"Name": "a", "Pattern": rf"\w{{50}}{number}"}]}
        for number in range(4)
    ]
    made(Commands=commands[:3])
    assert "patterns that are too large in all" in message(Commands=commands)
