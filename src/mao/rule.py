"""The rule of a schedule: a crontab line and the zone whose clocks it goes by, as the moments at which it is due.

The reading of the line is cronsim's, which follows Debian's cron (crontab(5)): day of month and day of week are joined
by "or" if neither begins with `*`, and by "and" else. A fixed time that the clocks leave out in spring is due at the
first instant after the gap; one that they show twice in autumn, once. A rule whose minute or hour begins with `*` goes
by the clock as it is, through the repeated hour twice. Six fields have seconds first, and the same holds for them.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from mao.errors import BadSchedule
from mao.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {"daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}
"""At midnight: each day, on Sunday, on the first of the month."""
_FIELDS, _WITH_SECONDS = 5, 6
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


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
        before = moment.replace(second=0, microsecond=0) - _SECOND
        for minute in self._fixed(before) if self.is_fixed else self._shown(before):
            for second in self.seconds:
                if (due := minute + timedelta(seconds=second)) > moment:
                    return due
        return None

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
        while (found := next(CronSim(self.minutes, shown), None)) is not None:
            minute = found - offset
            if self._offset(minute) == offset:
                yield minute
                shown = found
            else:
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

    def moments(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The moments later than `after` at which it is due, up to `until`."""
        moment = self.after(after)
        while moment is not None and moment <= until:
            yield moment
            moment = self.after(moment)


@lru_cache(maxsize=1024)
def _parsed(cron: str, timezone: str) -> Rule:
    fields = WORDS.get(cron, cron).split()
    if len(fields) not in {_FIELDS, _WITH_SECONDS}:
        words = ", ".join(f"'{word}'" for word in WORDS)
        raise BadSchedule(
            f"'{cron}' is no rule: give {words} or a crontab line of five fields (minute, hour, day of month, month,"
            " day of week), as '0 6 * * 1-5', or of six, with seconds first. Nothing was changed."
        )
    zone = _zone(timezone)
    try:
        seconds = CronSim(" ".join(fields), _SOME_DAY).seconds
        rule = Rule(" ".join(fields[-_FIELDS:]), tuple(sorted(seconds)), zone)
        never = rule.after(_SOME_DAY) is None
    except CronSimError as error:
        what = str(error).removeprefix("Bad ").replace("-", " ")
        raise BadSchedule(f"'{cron}' is no rule: its {what} cannot be that. See crontab(5).") from error
    if never:
        raise BadSchedule(f"'{cron}' is never due: no day is like that. Nothing was changed.")
    return rule


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # also a folder of zones, as Europe
        near = nearest(name[:100], available_timezones())
        meant = f"; did you mean '{near}'?" if near else ", as 'UTC' or 'Europe/Zurich' is."
        raise BadSchedule(f"'{name}' is no time zone of the IANA database{meant} Nothing was changed.") from error
