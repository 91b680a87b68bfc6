"""How large a dataset is, how fast it grows, and what will make it slow or too large. Sizes are bytes.

A size is what was published in all: git compresses it, and keeps the same content once, so that a repository is smaller
than its number here, never larger by more than its lists of names.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from mao.names import Name
from mao.values import Moment, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 30
"""Days over which growth is measured."""
SOON = 180
"""Days before a limit from which on it is told."""
SETTLED = 7
"""Days from which on growth tells what is to come: a first day may bring what was collected over years."""
MANY_FILES = 10_000
"""How many names in one folder are many: each commit to it writes the list of them anew."""
OFTEN = 10
"""How often a file is published until its history is looked at."""
FILE_LIMIT = 100 * 1000**2
"""The largest file that the usual hosts take."""

_NAME_SIZE = 30  # of a name in a folder's list, compressed: its blob's id cannot be (measured: 30 MB for a million)
_SHARE = 100  # a file whose history costs less than this part of the limit is not worth a word
_FILE_A_RUN = "Have each run write a file of its own, with what is new."
_YEAR = 365
_DAY = timedelta(days=1)


class Source(StrEnum):
    """What a dataset's size is known from."""

    HISTORY = "history"
    """The messages of all its commits, whatever node made them."""
    OWN_RUNS = "own-runs"
    """The runs of this node alone."""


class WarningKind(StrEnum):
    """What makes a dataset slow or too large."""

    PAST_LIMIT = "past-limit"
    NEAR_LIMIT = "near-limit"
    LARGE_FILE = "large-file"
    APPENDED_FILE = "appended-file"
    OVERWRITTEN_FILE = "overwritten-file"
    REPEATED_FILES = "repeated-files"
    MANY_FILES = "many-files"


class GrowthWarning(Value):
    """One thing that makes the dataset slow or too large, or will."""

    kind: WarningKind
    path: str | None = None
    """The file or folder in the dataset; None for the whole of it. The uppermost folder is `.`."""
    detail: str
    """What it is, with figures."""
    advice: str
    """What to do."""


class Added(Value):
    """What one tool on one node has added to a dataset on one day (UTC)."""

    day: date
    tool: str = ""
    """Empty, as `node`, where the commits do not say."""
    node: str = ""
    commits: int
    files: int = 0
    size: int = 0
    unsaid: int = 0
    """How many of the commits do not say how much they added."""


class Share(Value):
    """What one tool on one node has added over the days that growth is measured on."""

    tool: str
    node: str
    commits: int
    files: int
    size: int


class Growth(Value):
    """The size of a dataset, and what becomes of it."""

    dataset: Name
    source: Source
    counted_at: Moment | None = None
    """When the remote's history was last seen; None if never."""
    problem: str | None = None
    """Why the history cannot be seen as it is now."""
    commits: int
    unsaid: int
    """How many of `commits` do not say how much they added: made by an older MAO, or by something else."""
    files: int
    """How many files the commits brought, changed ones counted again."""
    size: int
    days: int
    """How many days, up to today, growth is measured on."""
    files_per_day: float
    size_per_day: float
    limit: int
    """The size past which the host warns."""
    days_to_limit: int | None
    """Until `size` is at `limit`; 0 if it is there, None if it does not grow."""
    shares: tuple[Share, ...]
    """Who has added to it on those days, the most first."""
    warnings: tuple[GrowthWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """A file that runs of this node have published again and again, at one path of a dataset."""

    path: str
    times: int
    total: int
    """Of all that was published at this path."""
    size: int
    """Of what was published last."""
    first_size: int
    grew: int
    """How often it was larger than before."""
    shrank: int
    first_at: datetime
    last_at: datetime

    @property
    def a_year(self) -> int:
        """What a year of it adds to the history, at its present size and pace; 0 until it is a day old."""
        span = self.last_at - self.first_at
        return round((self.times - 1) / (span / _DAY) * _YEAR * self.size) if span >= _DAY else 0

    @property
    def is_appended(self) -> bool:
        """Whether it grows nearly every time; else it is overwritten."""
        return self.grew > 9 * self.shrank and 2 * self.grew >= self.times - 1

    @property
    def days_to_file_limit(self) -> float | None:
        """Until it is too large for the usual hosts; None if it does not grow, or is younger than a day."""
        span = self.last_at - self.first_at
        if not self.is_appended or self.size <= self.first_size or span < _DAY:
            return None
        return (FILE_LIMIT - self.size) / ((self.size - self.first_size) / (span / _DAY))


def measured(dataset: str, added: Iterable[Added], today: date, limit: int, source: Source) -> Growth:
    """The growth of a dataset to which `added` was added, without the warnings that files give."""
    rows = list(added)
    first = max(min((row.day for row in rows), default=today), today - (WINDOW - 1) * _DAY)
    first = min(first, today)  # where a clock was ahead
    days = (today - first).days + 1
    recent = [row for row in rows if row.day >= first]
    size, per_day = sum(row.size for row in rows), sum(row.size for row in recent) / days
    to_limit = None if size < limit and not per_day else max(0, int((limit - size) / per_day)) if size < limit else 0
    grown = Growth(
        dataset=dataset,
        source=source,
        commits=sum(row.commits for row in rows),
        unsaid=sum(row.unsaid for row in rows),
        files=sum(row.files for row in rows),
        size=size,
        days=days,
        files_per_day=sum(row.files for row in recent) / days,
        size_per_day=per_day,
        limit=limit,
        days_to_limit=to_limit,
        shares=_shares(recent),
    )
    return grown.model_copy(update={"warnings": _limit_warnings(grown)})


def _shares(recent: list[Added]) -> tuple[Share, ...]:
    by_origin: dict[tuple[str, str], list[Added]] = defaultdict(list)
    for row in recent:
        by_origin[row.tool, row.node].append(row)
    shares = [
        Share(
            tool=tool,
            node=node,
            commits=sum(row.commits for row in rows),
            files=sum(row.files for row in rows),
            size=sum(row.size for row in rows),
        )
        for (tool, node), rows in by_origin.items()
    ]
    return tuple(sorted(shares, key=lambda share: (-share.size, -share.commits, share.tool, share.node)))


def _limit_warnings(grown: Growth) -> tuple[GrowthWarning, ...]:
    advice = "Begin a new dataset: name another repository in the tool's Data.Repo, and update the tool."
    size, limit = _megabytes(grown.size), _megabytes(grown.limit)
    if grown.size >= grown.limit:
        detail = f"{size} were published to it, past the {limit} from which its host warns."
        return (GrowthWarning(kind=WarningKind.PAST_LIMIT, detail=detail, advice=advice),)
    settled = grown.days >= SETTLED or 2 * grown.size >= grown.limit
    if settled and grown.days_to_limit is not None and grown.days_to_limit < SOON:
        detail = (
            f"{size} were published to it, and {_megabytes(grown.size_per_day)} come each day: in"
            f" {grown.days_to_limit} days it is past the {limit} from which its host warns."
        )
        return (GrowthWarning(kind=WarningKind.NEAR_LIMIT, detail=detail, advice=advice),)
    return ()


def is_costly(file: Repeated, limit: int) -> bool:
    """Whether what a file's history costs, or will in a year, is a noticeable part of `limit`."""
    return file.times >= OFTEN and max(file.total - file.size, file.a_year) * _SHARE >= limit


def history_warning(file: Repeated) -> GrowthWarning:
    """That the history of one file costs much."""
    kind, how = (
        (WarningKind.APPENDED_FILE, "grows with nearly every run")
        if file.is_appended
        else (WarningKind.OVERWRITTEN_FILE, "is overwritten again and again")
    )
    year = f", and a year of it adds up to {_megabytes(file.a_year)}" if file.a_year else ""
    return GrowthWarning(
        kind=kind,
        path=file.path,
        detail=f"It {how}: it was published {file.times:,} times and has {_megabytes(file.size)}. git keeps each"
        f" version whole: {_megabytes(file.total)} so far, before compression{year}.",
        advice=_FILE_A_RUN,
    )


def versions_warning(count: int, size: int, limit: int) -> GrowthWarning | None:
    """That the older versions of `count` files, of which none alone costs much, have this size together."""
    if size * _SHARE < limit:
        return None
    return GrowthWarning(
        kind=WarningKind.REPEATED_FILES,
        detail=f"{count:,} files were published {OFTEN} times or more. git keeps each version whole: their older ones"
        f" have {_megabytes(size)}, before compression.",
        advice=_FILE_A_RUN,
    )


def folder_warning(folder: str, entries: int) -> GrowthWarning:
    """That one folder has very many names in it."""
    return GrowthWarning(
        kind=WarningKind.MANY_FILES,
        path=folder or ".",
        detail=f"It has {entries:,} names from this node. Each commit to it writes the list of them anew, some"
        f" {_megabytes(entries * _NAME_SIZE)}.",
        advice="Have the tool write into dated folders, such as 2026/2026-11-24.",
    )


def file_warning(path: str, size: int, days: float | None = None) -> GrowthWarning:
    """That one file is near what hosts refuse, or will be in so many days."""
    limit = _megabytes(FILE_LIMIT)
    soon = f", and at its pace has {limit} in {days:.0f} days" if days is not None and size < FILE_LIMIT else ""
    return GrowthWarning(
        kind=WarningKind.LARGE_FILE,
        path=path,
        detail=f"It has {_megabytes(size)}{soon}. The usual hosts refuse a push with a file of more than {limit}, and"
        " the run that wrote it would stay unpublished.",
        advice="Have the tool split it, or compress it.",
    )


def _megabytes(size: float) -> str:
    return f"{size / 1000**2:,.1f} MB"
