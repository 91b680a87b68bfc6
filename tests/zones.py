"""What clocks show in a zone, told by zdump(8) and by nothing else; and when a rule is due, by trying every minute."""

from __future__ import annotations

import json
import re
import subprocess
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import pairwise, product
from pathlib import Path
from typing import TypeAlias

Transitions: TypeAlias = tuple[tuple[datetime, int], ...]
"""Instants, and the seconds that clocks are ahead of UTC from then on."""

GOLDEN = Path(__file__).with_name("zones.json")
ZONES = {
    "Europe/Berlin": "2025,2029",
    "America/New_York": "2025,2029",
    "Australia/Lord_Howe": "2025,2029",  # by half an hour
    "Africa/Cairo": "2023,2026",  # from 00:00 to 01:00, and from 24:00 to 23:00
    "Asia/Beirut": "2021,2024",  # the same; the years that are past, as these two often change their minds
    "America/Sao_Paulo": "2015,2019",
    "Antarctica/Troll": "2023,2027",  # by two hours
    "Pacific/Apia": "2010,2014",  # 30 December 2011 was left out
}
"""Zones that change their clocks in different ways, and the years that are looked at."""
_LINE = re.compile(r"\S+\s+\w{3} (\w{3} +\d+ \d\d:\d\d:\d\d \d{4}) UT = .* gmtoff=(-?\d+)")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def dumped(zone: str) -> Transitions:
    """The transitions of a zone as zdump tells them."""
    text = subprocess.run(["zdump", "-v", "-c", ZONES[zone], zone], check=True, capture_output=True, text=True).stdout
    told = [
        (datetime.strptime(found[1], "%b %d %H:%M:%S %Y").replace(tzinfo=UTC), int(found[2]))
        for line in text.splitlines()
        if (found := _LINE.match(line))
    ]
    return tuple(later for before, later in pairwise(told) if before[1] != later[1])


@cache
def golden() -> dict[str, Transitions]:
    """The transitions of `ZONES` as they were dumped when these tests were written."""
    kept = json.loads(GOLDEN.read_text())
    return {zone: tuple((datetime.fromisoformat(at), offset) for at, offset in told) for zone, told in kept.items()}


def written(transitions: dict[str, Transitions]) -> str:
    """What `GOLDEN` is to hold."""
    told = {zone: [[at.isoformat(), offset] for at, offset in each] for zone, each in transitions.items()}
    return json.dumps(told, indent=1) + "\n"


def offset_at(transitions: Transitions, moment: datetime) -> timedelta:
    """How far the clocks are ahead of UTC; before the first transition as after the second."""
    past = bisect_right(transitions, moment, key=lambda transition: transition[0])
    return timedelta(seconds=transitions[past - 1 if past else 1][1])


def due(transitions: Transitions, cron: str, first: datetime, last: datetime) -> list[datetime]:
    """When the rule of five fields is due from `first` to `last`, which are whole minutes in UTC."""
    fields = cron.split()
    shown, instants = _clocks(transitions, first, last)
    if fields[0].startswith("*") or fields[1].startswith("*"):
        return [minute for minute, local in shown.items() if _matches(fields, local)]
    found = set()
    begin, end = min(instants), max(instants)
    midnight = begin.replace(hour=0, minute=0)
    days = [midnight + timedelta(days=n) for n in range((end - midnight).days + 1)]  # also one that is left out
    for day, hour, minute_of in product(days, _set(fields, 1), _set(fields, 0)):
        wanted = day.replace(hour=hour, minute=minute_of)
        while _matches_day(fields, day) and wanted not in instants and begin < wanted < end:
            wanted += timedelta(minutes=1)  # out of the gap
        if _matches_day(fields, day) and wanted in instants:
            found.add(instants[wanted])
    return sorted(found)


@lru_cache(maxsize=4)
def _clocks(
    transitions: Transitions, first: datetime, last: datetime
) -> tuple[dict[datetime, datetime], dict[datetime, datetime]]:
    """What clocks show at each minute in UTC, and the first minute at which they show it."""
    minutes = [first + timedelta(minutes=n) for n in range(int((last - first).total_seconds()) // 60 + 1)]
    shown = {minute: (minute + offset_at(transitions, minute)).replace(tzinfo=None) for minute in minutes}
    return shown, {local: minute for minute, local in reversed(shown.items())}


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
