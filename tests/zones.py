"""What clocks show in a zone, told by zdump(8) and by nothing else; and when a rule is due, by trying every minute."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import TypeAlias

Transition: TypeAlias = tuple[datetime, int]
"""An instant, and the seconds that clocks are ahead of UTC from then on."""

GOLDEN = Path(__file__).with_name("zones.json")
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
_YEARS = "2025,2029"
_LINE = re.compile(r"\S+\s+\w{3} (\w{3} +\d+ \d\d:\d\d:\d\d \d{4}) UT = .* gmtoff=(-?\d+)")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def dumped(zone: str) -> list[Transition]:
    """The transitions of a zone as zdump tells them."""
    text = subprocess.run(["zdump", "-v", "-c", _YEARS, zone], check=True, capture_output=True, text=True).stdout
    told = [
        (datetime.strptime(found[1], "%b %d %H:%M:%S %Y").replace(tzinfo=UTC), int(found[2]))
        for line in text.splitlines()
        if (found := _LINE.match(line))
    ]
    return [later for before, later in pairwise(told) if before[1] != later[1]]


def golden() -> dict[str, list[Transition]]:
    """The transitions of `ZONES` as they were dumped when these tests were written."""
    kept = json.loads(GOLDEN.read_text())
    return {zone: [(datetime.fromisoformat(at), offset) for at, offset in told] for zone, told in kept.items()}


def written(transitions: dict[str, list[Transition]]) -> str:
    """What `GOLDEN` is to hold."""
    told = {zone: [[at.isoformat(), offset] for at, offset in each] for zone, each in transitions.items()}
    return json.dumps(told, indent=1) + "\n"


def offset_at(transitions: list[Transition], moment: datetime) -> timedelta:
    """How far the clocks are ahead of UTC; before the first transition as after the second."""
    past = [offset for at, offset in transitions if at <= moment]
    return timedelta(seconds=past[-1] if past else transitions[1][1])


def due(transitions: list[Transition], cron: str, first: datetime, last: datetime) -> list[datetime]:
    """When the rule of five fields is due from `first` to `last`, which are whole minutes in UTC."""
    fields = cron.split()
    minutes = [first + timedelta(minutes=n) for n in range(int((last - first).total_seconds()) // 60 + 1)]
    shown = {minute: (minute + offset_at(transitions, minute)).replace(tzinfo=None) for minute in minutes}
    if fields[0].startswith("*") or fields[1].startswith("*"):
        return [minute for minute, local in shown.items() if _matches(fields, local)]
    instants: dict[datetime, datetime] = {}
    for minute, local in shown.items():
        instants.setdefault(local, minute)  # the first time that clocks show it
    found = set()
    days = sorted({local.replace(hour=0, minute=0) for local in shown.values()})
    for day, hour, minute_of in product(days, _set(fields, 1), _set(fields, 0)):
        wanted = day.replace(hour=hour, minute=minute_of)
        while _matches_day(fields, day) and wanted not in instants and min(instants) < wanted < max(instants):
            wanted += timedelta(minutes=1)  # out of the gap
        if _matches_day(fields, day) and wanted in instants:
            found.add(instants[wanted])
    return sorted(found)


def _matches(fields: list[str], local: datetime) -> bool:
    return local.minute in _set(fields, 0) and local.hour in _set(fields, 1) and _matches_day(fields, local)


def _matches_day(fields: list[str], local: datetime) -> bool:
    """As crontab(5) has it: if both the day of month and the day of week are restricted, either of them will do."""
    of_month = local.day in _set(fields, 2)
    of_week = bool({local.isoweekday(), local.isoweekday() % 7} & _set(fields, 4))
    both = fields[2].startswith("*") or fields[4].startswith("*")
    return local.month in _set(fields, 3) and ((of_month and of_week) if both else (of_month or of_week))


def _set(fields: list[str], number: int) -> set[int]:
    return _read(fields[number], number)


@cache
def _read(field: str, number: int) -> set[int]:
    lowest, highest = _BOUNDS[number]
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{lowest}-{highest}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or (highest if step else first)) + 1, int(step or 1)))
    return found


if __name__ == "__main__":
    GOLDEN.write_text(written({zone: dumped(zone) for zone in ZONES}))
