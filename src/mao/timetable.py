from __future__ import annotations
from dataclasses import dataclass
from datetime import datetime, timedelta
from mao.rule import Rule


@dataclass(frozen=True, slots=True)
class Firing:
    planned: datetime
    due: datetime
    period: timedelta


class Timetable:
    def __init__(self, schedule):
        self.rule = Rule.parse(schedule.cron, schedule.timezone)

    def first(self, after):
        m = self.rule.after(after)
        n = self.rule.after(m)
        return Firing(m, m, n - m)

    def firings(self, after, until):
        f = self.first(after)
        while f and f.due <= until:
            yield f
            f = self.first(f.planned)
