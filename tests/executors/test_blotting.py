"""A stream in pieces: no secret gets through, everything else does, and at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.executors.blotting import Blotter
from mao.secret import hidden

# Few letters: so beginnings, overlaps and secrets inside of secrets are frequent.
SHORT = st.text("ab", min_size=8, max_size=12)


def blotted(secrets: dict[str, str], pieces: list[bytes]) -> bytes:
    blotter = Blotter(secrets)
    return b"".join(blotter.blot(piece) for piece in pieces) + blotter.rest()


@given(st.sets(SHORT, min_size=1, max_size=3), st.lists(st.text("ab", max_size=9)))
def test_however_it_is_cut_the_same_comes_out_and_no_secret(secrets: set[str], pieces: list[str]) -> None:
    marks = {secret: f"[{number}]" for number, secret in enumerate(secrets)}
    text = "".join(pieces)
    out = blotted(marks, [piece.encode() for piece in pieces])
    assert out == blotted(marks, [text.encode()])
    assert not any(secret.encode() in out for secret in secrets)
    if not any(secret in text for secret in secrets):
        assert out == text.encode() or (out.endswith(b"]") and text.encode().startswith(out[: out.rindex(b"[")]))


def test_only_what_may_be_the_beginning_of_a_secret_is_held_back() -> None:
    blotter = Blotter({"s3cr3t-v4lue": "[secret A]"})
    assert blotter.blot(b"password: ") == b"password: "
    assert blotter.blot(b"is s3cr3") == b"is "
    assert blotter.blot(b"t, no") == b"s3cr3t, no"
    assert blotter.blot(b" s3cr3t-v4lue") == b" [secret A]"
    assert blotter.blot(b"s3cr3t-") == b""
    assert blotter.rest() == b"s3cr3t-"


def test_most_of_a_secret_at_the_very_end_is_not_shown() -> None:
    assert blotted({"s3cr3t-v4lue": "[secret A]"}, [b"s3cr3t-v4lu"]) == b"[secret A]"


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_a_key_of_many_lines_is_blotted_as_a_whole_and_line_by_line(size: int) -> None:
    key = "\n".join([chr(65 + number) * 30 + f"{number:034}" for number in range(20)])
    text = f"before\n{key}\nafter\n  {key.splitlines()[3]}  \n".encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert blotted(hidden({"Key": key}), pieces) == b"before\n[secret Key]\nafter\n  [secret Key]  \n"
