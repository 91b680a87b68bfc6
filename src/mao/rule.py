from __future__ import annotations
from dataclasses import dataclass
from datetime import datetime, UTC, timedelta
from zoneinfo import ZoneInfo
from cronsim import CronSim

ALIAS = {"daily": "0 0 * * *", "weekly": "0 0 * * 0", "monthly": "0 0 1 * *"}


@dataclass(frozen=True)
class Rule:
    cron: str
    timezone: str

    @classmethod
    def parse(cls, cron: str, timezone: str) -> Rule:
        return cls(ALIAS.get(cron, cron), timezone)

    def after(self, moment: datetime) -> datetime | None:
        return next(CronSim(self.cron, moment.astimezone(ZoneInfo(self.timezone)))).astimezone(UTC)

    def moments(self, after, until):
        m = self.after(after)
        while m is not None and m <= until:
            yield m
            m = self.after(m)
