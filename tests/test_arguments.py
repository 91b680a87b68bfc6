from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mao.arguments import MAX_PATTERNS, Argument, ResolvedArguments, pattern_size, resolve
from mao.definition import Command
from mao.errors import BadArguments


def argument(name: str = "A", **changes: Any) -> Argument:
    return Argument.model_validate({"Name": name, **changes})


def refused(arguments: list[Argument], given: Any) -> list[dict[str, Any]]:
    with pytest.raises(BadArguments) as caught:
        resolve(arguments, given)
    assert caught.value.detail == "\n".join(fault["message"] for fault in caught.value.faults)
    return caught.value.faults


def only_message(arguments: list[Argument], given: Any) -> str:
    (fault,) = refused(arguments, given)
    return str(fault["message"])


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_text_reaches_the_tool_exactly_as_given(text: str) -> None:
    assert resolve([argument()], [text]).argv == (text,)


@pytest.mark.parametrize("text", ["", " ", "a b", "'\"", "$(reboot)", "`x`", "a\nb", "-rf", "--", "*", "ä"])
def test_nothing_in_an_argument_means_anything(text: str) -> None:
    assert resolve([argument()], {"A": text}) == ResolvedArguments((text,), {"A": text})


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (-1.5, "-1.5"), (True, "true"), (False, "false"), (0.1, "0.1"), (10**30, "1" + "0" * 30)],
)
def test_numbers_and_booleans_of_json_become_the_text_that_json_has_for_them(value: object, text: str) -> None:
    assert resolve([argument()], [value]).argv == (text,)


@pytest.mark.parametrize("value", [[], {}, ["x"], b"x"])
def test_what_is_neither_text_nor_a_number_is_refused(value: object) -> None:
    assert only_message([argument()], [value]) == "Argument 'A' must be text, a number, true or false."


def test_a_mapping_is_passed_in_the_order_of_the_definition() -> None:
    assert resolve([argument("A"), argument("B")], {"B": "2", "A": "1"}).argv == ("1", "2")


def test_all_faults_are_told_at_once() -> None:
    arguments = [
        argument("Station", Type="integer"),
        argument("Day"),
        argument("Unit", Type="choice", Choices=["m", "s"]),
    ]
    faults = refused(arguments, {"Station": "x", "Statoin": "1", "Unit": "S"})
    assert [fault["argument"] for fault in faults] == ["Statoin", "Station", "Day", "Unit"]
    assert [fault["message"] for fault in faults] == [
        "There is no argument 'Statoin' (did you mean 'Station'?).",
        "Argument 'Station' must be a whole number, not 'x'.",
        "Argument 'Day' is missing.",
        "Argument 'Unit' must be one of 'm', 's', not 'S' (did you mean 's'?).",
    ]


def test_too_many_arguments_are_refused() -> None:
    assert only_message([argument()], ["1", "2"]) == "There are 2 arguments where the command takes 'A'."
    assert only_message([], ["1"]) == "There are 1 arguments where the command takes none."


def test_bare_text_is_no_list_of_arguments() -> None:
    assert "must be a list" in refused([argument()], "x")[0]["message"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("integer", ["0", "-3", "+007", 5], ["", "1.0", "1e3", " 1", "0x1", "١", True, 5.0]),
        ("number", ["0", "-3.5", ".5", "5.", "1e-3", 2, 1.5], ["", "nan", "inf", "1_000", "e5", "."]),
        ("boolean", ["true", "false", True], ["", "yes", "True", 1]),
        ("path", ["a", "/etc", "../x"], [""]),
        ("string", ["", "x"], []),
        ("secret", ["@env:X", "@keyring:x", "@/x"], ["", "x", 1, "@x"]),
    ],
)
def test_a_type_says_what_the_text_looks_like(kind: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        resolve([argument(Type=kind)], [value])
    for value in bad:
        assert refused([argument(Type=kind)], [value])


def test_a_pattern_has_to_match_the_whole_text() -> None:
    dated = argument(Pattern="[0-9]{4}|x")
    assert resolve([dated], ["2026"]).argv == ("2026",)
    for text in ("2026 ", "a2026", "2026\n", "xx"):
        assert "must match the pattern" in only_message([dated], [text])


def test_a_pattern_made_to_take_for_ever_takes_no_time() -> None:
    assert refused([argument(Pattern="(a+)+$")], ["a" * 50_000 + "!"])


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "a)|(b", r"\w{1000}{1000}", "(?x)a #"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="regular expression"):
        argument(Pattern=pattern)


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("", 1),
        ("abc", 3),
        ("a{3}", 3 * 1),
        ("a{1,3}?b", 3 * 1 + 1 + 1),
        ("(ab){10}", 10 * (1 + 2)),
        ("((ab){10}c){3}", 3 * (1 + 10 * (1 + 2) + 1)),
        (r"\w+{20}", 20 * 100 + 1),
        (r"\pL{20}", 20 * 100),
        (r"\p{Greek}{20}", 20 * 100),
        (r"\x{41}{20}", 20),
        (r"\{20}", 1 + 2 + 1),
        (r"[^\w(){9}]{20}", 20 * (20 + 100 + 3)),
        (r"[a[\d]]{2}", 2 * (10 + 1 + 10 + 50 + 2)),
        (r"[)-[\w]{9}]{2}", 9 * 2 * (10 + 2 + 9 * (10 + 100) + 2)),  # whose first class ends at the first bracket
        (r"(?x)a {20} #{3}", 20 * 3 * (3 + 1 + 20 + 1 + 3)),
    ],
)
def test_a_pattern_is_as_large_as_what_it_repeats(pattern: str, size: int) -> None:
    assert pattern_size(pattern) == size


repeated = st.sampled_from(
    ["a", "é", ".", "[a-z]", "[^a]", r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\pL", r"\p{Greek}"]
)
patterns = st.recursive(
    repeated,
    lambda inner: st.one_of(
        st.builds("(?:{}){{{}}}".format, inner, st.integers(0, 300)),
        st.builds("{}|{}".format, inner, inner),
        st.builds("({})*{}".format, inner, inner),
        st.builds("[{}]{{0,{}}}".format, repeated.filter(lambda one: one != "."), st.integers(0, 300)),
    ),
    max_leaves=6,
)


@given(patterns)
@settings(max_examples=50)
def test_no_pattern_that_fits_a_definition_takes_ten_megabytes(pattern: str) -> None:
    if pattern_size(pattern) <= MAX_PATTERNS:
        argument(Pattern=pattern)  # Rust's engine has that limit, of its own


def test_a_text_is_not_compared_with_a_pattern_that_is_too_large_for_it() -> None:
    large = argument(Pattern=".*(?:a{0,1000}){9}b")
    assert "must match" in only_message([large], ["a" * 100])
    assert "must not be longer than 110 characters, as its pattern is large" in only_message([large], ["a" * 111])


def test_defaults_fill_in() -> None:
    arguments = [argument("A", Default="1"), argument("B", Default="")]
    assert resolve(arguments, []) == ResolvedArguments(("1", ""), {"A": "1", "B": ""})
    assert resolve(arguments, {"B": "2"}).argv == ("1", "2")


def test_none_stands_for_left_out() -> None:
    assert resolve([argument("A", Default="1"), argument("B")], [None, "2"]).argv == ("1", "2")


def test_what_is_left_out_is_passed_as_empty_text_only_if_something_follows() -> None:
    arguments = [argument("A", Required=False), argument("B", Required=False), argument("C", Required=False)]
    assert resolve(arguments, {"B": "2"}) == ResolvedArguments(("", "2"), {"A": "", "B": "2"})
    assert resolve(arguments, []).argv == ()


def test_a_secret_is_recorded_by_its_reference_and_no_word_of_the_command_line() -> None:
    arguments = [argument("A"), argument("API key-2", Type="secret"), argument("B")]
    resolved = resolve(arguments, ["1", "@env:HUSH", "2"])
    assert resolved == ResolvedArguments(("1", "2"), {"A": "1", "API key-2": "@env:HUSH", "B": "2"})
    assert arguments[1].variable == "MAO_SECRET_API_KEY_2"
    assert resolve([argument("A", Type="secret", Required=False), argument("B")], {"B": "2"}).recorded == {"B": "2"}


def test_a_secret_itself_is_refused_and_not_repeated() -> None:
    assert "hush" not in only_message([argument(Type="secret")], ["hush hush hush"])


def test_the_pattern_of_a_secret_is_for_what_its_reference_stands_for() -> None:
    numbers = argument(Type="secret", Pattern="[0-9]+")
    assert resolve([numbers], ["@keyring:pin"]).argv == ()
    assert (numbers.pattern_fault("12345678"), "hush" in str(numbers.pattern_fault("hush"))) == (None, False)


def test_secrets_that_would_share_a_variable_are_refused() -> None:
    secrets = [{"Name": "a b", "Type": "secret"}, {"Name": "A-B", "Type": "secret"}]
    with pytest.raises(ValidationError, match="MAO_SECRET_A_B"):
        Command.model_validate({"Name": "r", "Command": "sh", "Script": "s", "Arguments": secrets})


def test_names_of_arguments_are_unique() -> None:
    with pytest.raises(ValidationError, match="another argument"):
        Command.model_validate({"Name": "r", "Command": "sh", "Script": "s", "Arguments": [{"Name": "a"}] * 2})


def test_a_nul_byte_and_half_a_character_are_refused() -> None:
    assert "NUL" in only_message([argument()], ["a\0b"])
    assert "UTF-8" in only_message([argument()], ["\ud800"])


def test_an_argument_may_be_as_long_as_the_system_takes() -> None:
    assert resolve([argument()], ["ä" * 65_535 + "a"]).argv
    assert "131,072 bytes" in only_message([argument()], ["ä" * 65_536])


def test_all_arguments_together_have_a_limit() -> None:
    arguments = [argument(f"A{number}") for number in range(9)]
    assert resolve(arguments, ["x" * 111_111] * 9).argv
    assert "1,000,000 bytes in all" in only_message(arguments, ["x" * 111_112] * 9)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    assert "too long" in only_message([argument()], [10**5000])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"Type": "choice"}, "is required"),
        ({"Choices": ["a"]}, "needs `Type: choice`"),
        ({"Type": "choice", "Choices": ["a", "a"]}, "same choice twice"),
        ({"Type": "choice", "Choices": ["a"], "Default": "b"}, "must be one of"),
        ({"Type": "integer", "Default": "x"}, "whole number"),
        ({"Pattern": "a+", "Default": "b"}, "must match"),
        ({"Type": "secret", "Default": "b"}, "must be left out"),
        ({"Default": "b", "Required": True}, "nothing can be missing"),
    ],
)
def test_an_argument_that_contradicts_itself_is_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        argument(**changes)


def test_an_argument_is_required_unless_it_has_a_default() -> None:
    assert argument().required
    assert not argument(Default="").required
    assert not argument(Required="no").required
