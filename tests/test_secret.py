"""References, what a secret may be, and the forms in which it would get out."""

from __future__ import annotations

import base64
import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.secret import LONGEST, SHORTEST, Reference, Source, blotted, forms, hidden, reference, reference_fault, text_of

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=SHORTEST, max_size=40)


@pytest.mark.parametrize(
    ("text", "source", "name"),
    [
        ("@/run/secrets/token", Source.FILE, "/run/secrets/token"),
        ("@file:/run/secrets/a b", Source.FILE, "/run/secrets/a b"),
        ("@env:API_TOKEN", Source.ENV, "API_TOKEN"),
        ("@keyring:example.org", Source.KEYRING, "example.org"),
    ],
)
def test_a_reference_says_where_a_secret_is(text: str, source: Source, name: str) -> None:
    assert reference(text) == Reference(source, name)
    assert reference(str(reference(text))) == reference(text)


@pytest.mark.parametrize(
    "literal",
    [
        "hunter2hunter2",
        "@hunter2hunter2",
        "@env:hunter2-hunter2",
        "@env:",
        "@keyring:hunter2/hunter2",
        "@keyring:",
        "@file:hunter2",
        "@file:/a/../hunter2",
        "@/hunter2\nhunter2",
        f"@/{'hunter2' * 600}",
        "@vault:hunter2",
        "",
    ],
)
def test_what_is_no_reference_may_be_the_secret_and_is_not_repeated(literal: str) -> None:
    fault = reference_fault(literal)
    assert fault
    assert "hunter2" not in fault


def test_a_newline_at_the_end_is_no_part_of_a_secret() -> None:
    for end in (b"", b"\n", b"\r\n"):
        assert text_of(b"one line\nand more" + end) == "one line\nand more"
    assert text_of(b"two at the end\n\n") == "two at the end\n"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "0 bytes"),
        (b"hunter2\n", "7 bytes"),
        (b"hunter2" * LONGEST, "bytes"),
        (b"hunter2\0hunter2", "NUL"),
        (b"hunter2\xff", "UTF-8"),
        (b"        ", "different characters"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_and_not_repeated(content: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        text_of(content)
    assert "hunter2" not in str(caught.value)


@given(TEXT, st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_found_in_every_encoding_that_is_looked_for(value: str, before: bytes, after: bytes) -> None:
    content = value.encode()
    whole = before + content + after
    seen = [
        value,
        content.hex(),
        content.hex().upper(),
        base64.b64encode(whole).decode(),
        base64.urlsafe_b64encode(whole).decode(),
        quote(value),
        quote(value, safe=""),
        json.dumps({"token": value}),
        json.dumps([value], ensure_ascii=False),
        f"<a title='{escape(value)}'>",
    ]
    known = forms(value)
    assert [text for text in seen if not any(form in text for form in known)] == []
    assert min(map(len, known)) >= SHORTEST - 1 or min(map(len, known)) >= len(value)


def test_a_secret_of_several_lines_is_found_by_one_of_them() -> None:
    key = "-----BEGIN PRIVATE KEY-----\r\nMIGEAgEAMBAGByqGSM49AgEGBSuBBAAK\r\nshort\r\n-----END PRIVATE KEY-----"
    marks = hidden({"Key": key})
    assert blotted("> MIGEAgEAMBAGByqGSM49AgEGBSuBBAAK <", marks) == "> [secret Key] <"
    assert blotted("short, and -----BEGIN PRIVATE KEY-----", marks) == "short, and -----BEGIN PRIVATE KEY-----"
