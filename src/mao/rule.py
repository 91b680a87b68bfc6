"""The rule of a schedule: a crontab line and the zone whose clocks it goes by, as the moments at which it is due.

The reading of the line is cronsim's, which follows Debian's cron (crontab(5)): day of month and day of week are joined
by "or" if neither begins with `*`, and by "and" else. A fixed time that the clocks leave out in spring is due at the
first instant after the gap; one that they show twice in autumn, once. A rule whose minute or hour begins with `*` goes
by the clock as it is, through the repeated hour twice. Six fields have seconds first, and the same holds for them.
"""

from __future__ import annotations

from bisect import bisect
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from mao.errors import BadSchedule
from mao.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {"daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}
"""At midnight: each day, on Sunday, on the first of the month."""
FIELDS = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L (the last) or LW (the last from Monday to Friday)",
    "month": "1 to 12 or JAN to DEC",
    "day of week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, MON#2 (the second Monday) or 5L (the last Friday)",
}
"""The fields of a line, in order, and what each takes."""
_LINE, _LINE_WITH_SECONDS = 5, 6
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_MOST_KEPT = 20_000
"""A node with 10,000 schedules asks for each of their rules again and again."""
_MOST_SHOWN = 100
"""Characters of what was given, in an error."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a schedule is due; made by `parse`."""

    minutes: str
    """The five fields of a crontab line."""
    seconds: tuple[int, ...]
    """At which seconds of these minutes, in order."""
    zone: ZoneInfo

    @staticmethod
    def parse(cron: str, timezone: str) -> Rule:
        """The rule that `cron` and an IANA time zone name.

        Raises:
            BadSchedule: there is no such rule or zone, or it is never due.
        """
        return _parsed(cron, timezone)

    @property
    def is_fixed(self) -> bool:
        """Whether it names times of day, which are due once on each day, and not what a clock shows every so often."""
        minute, hour, *_ = self.minutes.split()
        return not (minute.startswith("*") or hour.startswith("*"))

    def after(self, moment: datetime) -> datetime | None:
        """The first moment later than `moment` at which it is due, in UTC; None if there is none for 50 years."""
        return next(self.following(moment), None)

    def moments(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The moments later than `after` at which it is due, up to `until`."""
        return takewhile(lambda due: due <= until, self.following(after))

    def following(self, moment: datetime) -> Iterator[datetime]:
        """The moments later than `moment` at which it is due, in UTC; no more if there is none for 50 years."""
        before = moment.astimezone(UTC).replace(second=0, microsecond=0) - _SECOND
        with suppress(OverflowError):  # there is no year 10000
            for minute in self._fixed(before) if self.is_fixed else self._shown(before):
                for second in self.seconds:
                    if (due := minute + timedelta(seconds=second)) > moment:
                        yield due

    def asked_after(self, shown: datetime) -> datetime | None:
        """The first time of day later than `shown` that it names, whether or not a clock of the zone ever shows it.

        Both are without a zone.
        """
        return next(CronSim(self.minutes, shown), None)

    def _fixed(self, after: datetime) -> Iterator[datetime]:
        """The minutes later than `after`, each on its day; cronsim knows what to do about gaps and repetitions."""
        for minute in CronSim(self.minutes, after.astimezone(self.zone)):
            yield minute.astimezone(UTC)

    def _shown(self, after: datetime) -> Iterator[datetime]:
        """The minutes later than `after` at which the zone's clocks show what the rule says.

        Between two changes of a clock that is arithmetic. By itself cronsim misses minutes where a clock is changed by
        half an hour (Australia/Lord_Howe).
        """
        offset = self._offset(after)
        shown = after + offset
        while True:
            for found in CronSim(self.minutes, shown):
                minute = found - offset
                if self._offset(minute) != offset:
                    break
                yield minute
                shown = found
            else:
                return
            change = self._change(shown - offset, offset)
            offset = self._offset(change)
            shown = change + offset - _SECOND

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta(0)

    def _change(self, moment: datetime, offset: timedelta) -> datetime:
        """The first instant after `moment` at which the clocks are no longer ahead by `offset`; there must be one."""
        while self._offset(moment + _DAY) == offset:
            moment += _DAY
        seconds = bisect(range(86_400), False, key=lambda second: self._offset(moment + second * _SECOND) != offset)  # noqa: FBT003
        return moment + seconds * _SECOND


@lru_cache(maxsize=_MOST_KEPT)
def _parsed(cron: str, timezone: str) -> Rule:
    fields = WORDS.get(cron, cron).split()
    if len(fields) not in {_LINE, _LINE_WITH_SECONDS}:
        words = ", ".join(f"'{word}'" for word in WORDS)
        raise BadSchedule(
            f"'{cron[:_MOST_SHOWN]}' is no rule: give {words} or a crontab line of five fields (minute, hour, day of"
            " month, month, day of week), as '0 6 * * 1-5', or of six, with seconds first. Nothing was changed."
        )
    zone = _zone(timezone)
    line = _read(fields)
    if line is None:
        raise BadSchedule(f"{_fault(cron, fields)} Nothing was changed.")
    rule = Rule(" ".join(fields[-_LINE:]), tuple(sorted(line.seconds)), zone)
    if rule.after(_SOME_DAY) is None:
        raise BadSchedule(f"{_fault(cron, fields)} Nothing was changed.")
    return rule


def _read(fields: list[str]) -> CronSim | None:
    try:
        return CronSim(" ".join(fields), _SOME_DAY)
    except (CronSimError, ValueError):  # the latter of a number of thousands of digits
        return None


def _fault(cron: str, fields: list[str]) -> str:
    """Why there are no moments at which the fields of `cron` are due."""
    for place, (name, allowed) in zip(range(-len(fields), 0), list(FIELDS.items())[-len(fields) :], strict=True):
        alone = ["*"] * len(fields)
        alone[place] = fields[place]
        if _read(alone) is None:
            return (
                f"'{cron[:_MOST_SHOWN]}' is no rule: its {name} is '{fields[place][:_MOST_SHOWN]}'. It takes {allowed};"
                " of these one, a list (1,2), a range (1-5), or steps (*/2, 10-20/5)."
            )
    return f"'{cron[:_MOST_SHOWN]}' is never due: no year has a day like that. Give a day that there is."


def _zone(name: str) -> ZoneInfo:
    if name in zones():
        return ZoneInfo(name)
    near = nearest(name[:_MOST_SHOWN], zones())
    meant = f"did you mean '{near}'?" if near else "give one as 'UTC' or 'Europe/Zurich'."
    raise BadSchedule(f"'{name[:_MOST_SHOWN]}' is no time zone of the IANA database: {meant} Nothing was changed.")


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The zones of the IANA database; without those that say of a machine what it was set to, or that nobody set it."""
    return frozenset(available_timezones() - {"localtime", "Factory"})
