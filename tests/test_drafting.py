from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mao.definition_file import load
from mao.drafting import Draft, DraftArgument, DraftCommand, draft, quoted

DRAFT = Draft(
    name="pings",
    dataset="pings-data",
    remote="https://example.org/pings-data.git",
    commands=(DraftCommand("Measure", "python3 -u", "pings.py", arguments=(DraftArgument("Host", default="::1"),)),),
)


def test_a_draft_is_a_definition_in_the_newest_format() -> None:
    definition = load(draft(DRAFT))
    assert definition.version == "1"
    assert definition.data.fresh
    assert definition.data.local is None
    assert definition.installer is None
    assert definition.commands[0].argv(["x"]) == ("python3", "-u", "pings.py", "x")
    assert definition.commands[0].arguments[0].default == "::1"


def test_a_draft_may_have_a_folder_that_runs_share_and_an_installer() -> None:
    text = draft(Draft("a", "b", "c", DRAFT.commands, local="data", installer=("bash", "install.sh")))
    definition = load(text)
    assert definition.data.local == "data"
    assert not definition.data.fresh
    assert definition.installer is not None
    assert definition.installer.argv() == ("bash", "install.sh")


@pytest.mark.parametrize("line", ["# Timeout: 30 min", "# License: CC-BY-4.0", "# Installer: {Command: bash, "])
def test_what_a_draft_suggests_can_be_uncommented(line: str) -> None:
    text = draft(DRAFT)
    assert line in text
    assert load(text.replace(line, line.removeprefix("# "))) != load(text)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_any_text_can_be_quoted(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    assert len(quoted(text).splitlines()) == 1


lines = st.text(alphabet=st.characters(exclude_categories=("C", "Zl", "Zp")))
labels = lines.filter(lambda text: text == text.strip() and 0 < len(text) <= 100)


@given(description=lines, name=labels, argument=labels, default=lines | st.none())
def test_a_draft_loads_and_holds_what_was_asked_for(
    description: str, name: str, argument: str, default: str | None
) -> None:
    arguments = (DraftArgument(argument, description, default),)
    command = DraftCommand(name, "bash", "run.sh", description, arguments)
    definition = load(draft(Draft("a", "b", "c", (command,), description)))
    assert definition.description == description
    assert definition.commands[0].name == name
    assert definition.commands[0].arguments[0].name == argument
    assert definition.commands[0].arguments[0].default == default
