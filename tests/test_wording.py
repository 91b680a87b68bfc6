from __future__ import annotations

import pytest

from mao.wording import count, seconds, size


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, ""),
        *((0, "0.0 s"), (0.04, "0.0 s"), (5.04, "5.0 s"), (59.94, "59.9 s")),
        *(
            (61, "1 min 01 s"),
            (65, "1 min 05 s"),
            (3_600, "1 h 00 min"),
            (7_384, "2 h 03 min"),
            (90_061, "25 h 01 min"),
        ),
    ],
)
def test_a_duration_has_two_units_at_most(number: float | None, said: str) -> None:
    assert seconds(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (None, ""),
        *((0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (1_500_000, "1.5 MB"), (2_500_000, "2.5 MB")),
        *((2e12, "2000.0 GB"), (5e12, "5000.0 GB")),
    ],
)
def test_a_size_is_in_units_of_thousands(number: float | None, said: str) -> None:
    assert size(number) == said


def test_one_thing_is_no_two_things() -> None:
    assert [count(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
