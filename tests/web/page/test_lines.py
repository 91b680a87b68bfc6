from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from click import Context
from hypothesis import given
from hypothesis import strategies as st

from mao.cli.running import arguments_of, run_tool
from mao.definition import Command
from mao.errors import BadArguments
from mao.web.page.lines import lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mao.web.page.lines import Lines

ADDRESS = "http://127.0.0.1:8080"
HOSTILE = [
    "-rf",
    "--",
    "--no-publish",
    "'; reboot #",
    '"$(reboot)`x`',
    "a\nb",
    "<script>",
    "\u202etxt",
    "*",
    "~",
    " ",
    "ä",
]


def command(*arguments: dict[str, Any], name: str = "Write") -> Command:
    return Command.model_validate({"Name": name, "Command": "bash", "Script": "x.sh", "Arguments": list(arguments)})


def made(of: Command, *texts: str, publish: bool = True) -> Lines:
    return lines("probe", of, texts, publish=publish, address=ADDRESS)


def asked_by_cli(line: str) -> dict[str, Any]:
    """What the command line would ask the node for, if a shell ran `line`."""
    program, noun, verb, *words = shlex.split(line)
    assert (program, noun, verb) == ("mao", "tool", "run")
    given = Context(run_tool)
    run_tool.parse_args(given, words)
    options = given.params
    return {
        "tool": options["tool"],
        "command": options["command"],
        "arguments": arguments_of(options["named"], options["arguments"]),
        "publish": not options["no_publish"],
    }


def asked_by_curl(line: str) -> dict[str, Any]:
    words = shlex.split(line.replace("\\\n", ""))
    assert words[:5] == ["curl", "-sS", "-X", "POST", f"{ADDRESS}/api/v1/runs"]
    assert words[5:7] == ["-H", "Authorization: Bearer $MAO_TOKEN"]
    return {"publish": True, **json.loads(words[-1])}


def given_texts(of: Command, texts: Sequence[str]) -> dict[str, str]:
    return {argument.name: text for argument, text in zip(of.arguments, texts, strict=False) if text}


def test_the_lines_say_what_the_form_says() -> None:
    made_lines = made(command({"Name": "Station"}, {"Name": "Days", "Default": "7"}), "Zugspitze 2", "3")
    assert made_lines.cli == "mao tool run probe Write -- 'Zugspitze 2' 3"
    assert made_lines.curl.split(" \\\n  ") == [
        f"curl -sS -X POST {ADDRESS}/api/v1/runs",
        '-H "Authorization: Bearer $MAO_TOKEN"',
        "-H 'Content-Type: application/json'",
        """-d '{"tool": "probe", "command": "Write", "arguments": {"Station": "Zugspitze 2", "Days": "3"}}'""",
    ]
    assert made_lines.faults == ()


def test_a_command_without_arguments_is_run_by_its_name() -> None:
    assert made(command(), publish=False).cli == "mao tool run --no-publish probe Write"
    assert asked_by_curl(made(command(), publish=False).curl)["publish"] is False


def test_what_is_still_to_be_given_stands_there_in_capitals_and_is_told() -> None:
    of = command({"Name": "Station"}, {"Name": "Key", "Type": "secret"}, {"Name": "n", "Required": False})
    made_lines = made(of)
    assert made_lines.cli == "mao tool run probe Write -- STATION @keyring:NAME"
    assert made_lines.faults == ("Argument 'Station' is missing.", "Argument 'Key' is missing.")


def test_a_secret_itself_stands_nowhere() -> None:
    made_lines = made(command({"Name": "Key", "Type": "secret"}), "hunter2-hunter2")
    assert "hunter2" not in repr(made_lines)
    assert "must be a reference" in made_lines.faults[0]
    assert made(command({"Name": "Key", "Type": "secret"}), "@env:KEY").cli == "mao tool run probe Write -- @env:KEY"


def test_what_is_wrong_with_an_argument_is_told_as_the_node_would() -> None:
    of = command({"Name": "n", "Type": "integer"}, {"Name": "p", "Pattern": "[a-z]+"})
    with pytest.raises(BadArguments) as refused:
        of.resolve(["x", "1"])
    assert "\n".join(made(of, "x", "1").faults) == refused.value.detail


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["Write", "-x", "--help", "a b"])
def test_nothing_in_a_value_or_a_name_is_an_option_or_another_command(text: str, name: str) -> None:
    of = command({"Name": "A"}, {"Name": "B", "Required": False}, {"Name": "C", "Type": "path"}, name=name)
    for texts in ((text, text, text), (text, "", text)):
        made_lines = made(of, *texts, publish=False)
        assert made_lines.cli is not None
        wanted = {"tool": "probe", "command": name, "publish": False}
        for asked in (asked_by_cli(made_lines.cli), asked_by_curl(made_lines.curl)):
            assert of.resolve(asked.pop("arguments")) == of.resolve(given_texts(of, texts))
            assert asked == wanted
        assert made_lines.curl.replace("\n", "").isprintable()


def test_what_is_left_out_in_between_is_said_by_name() -> None:
    of = command({"Name": "n", "Type": "integer", "Required": False}, {"Name": "x"})
    assert made(of, "", "1").cli == "mao tool run probe Write --arg x=1"
    of = command({"Name": "n", "Type": "integer", "Required": False}, {"Name": "x=y"})
    assert made(of, "", "1").cli is None, "--arg would take another name"


ARGUMENTS = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(["string", "integer", "number", "boolean", "path", "secret"]),
        "Required": st.just(value=False),
    }
)
TEXTS = st.sampled_from(["", "1", "-1", "true", "@env:X", "a b"]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=8
)


@given(st.lists(st.tuples(ARGUMENTS, TEXTS), max_size=6))
def test_both_lines_mean_what_the_form_means(fields: list[tuple[dict[str, Any], str]]) -> None:
    of = command(*({"Name": f"A{place}", **argument} for place, (argument, _) in enumerate(fields)))
    texts = [text for _, text in fields]
    made_lines = made(of, *texts)
    assert made_lines.cli is not None
    if not made_lines.faults:
        meant = of.resolve(given_texts(of, texts))
        assert of.resolve(asked_by_cli(made_lines.cli)["arguments"]) == meant
        assert of.resolve(asked_by_curl(made_lines.curl)["arguments"]) == meant
