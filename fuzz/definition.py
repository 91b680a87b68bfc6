#!/usr/bin/env python3
"""Give the loader of definitions whatever libFuzzer finds to give it: `make fuzz`.

    PYTHONPATH=tests fuzz/definition.py -dict=fuzz/definition.dict -max_total_time=3600 NEW fuzz/corpus

What is found stays in the folder NEW; a crash is written to a file, which the same command takes to show it again.
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["mao", "shlex", "posixpath"]):
    from oracles import check_definition


def _mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """`data` with lines moved, removed, repeated or indented: what bytes changed at random seldom come to."""
    chance = random.Random(seed)  # noqa: S311  # libFuzzer's own seed: a run can be made again
    rows = data.split(b"\n")
    if chance.random() < 0.5 or len(rows) < 2:  # noqa: PLR2004
        return bytes(atheris.Mutate(data, max_size))
    start = chance.randrange(len(rows))
    end = min(len(rows), start + chance.randint(1, 4))
    taken = rows[start:end]
    match chance.randrange(4):
        case 0:
            rows[start:end] = []
        case 1:
            at = chance.randrange(len(rows))
            rows[at:at] = taken
        case 2:
            rows[start:end] = [b"  " + row for row in taken]
        case _:
            rows[start:end] = [row.removeprefix(b"  ") for row in taken]
    return b"\n".join(rows)[:max_size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, check_definition, custom_mutator=_mutated)
    atheris.Fuzz()
