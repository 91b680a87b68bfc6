"""How `mao dataset show` tells a dataset's size and growth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mao.cli.output import moment
from mao.wording import count, size

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_SHARES = 5


def growth_lines(growth: Any) -> Iterator[tuple[str, str]]:
    """The lines of a dataset's growth; what cannot be known is said."""
    yield "size", _size(growth)
    yield "counted", _counted(growth)
    if growth["commits"]:
        files = f"{growth['files_per_day']:,.1f} files"
        yield "growth", f"{size(growth['size_per_day'])} and {files} a day over the last {count(growth['days'], 'day')}"
    shares = growth["shares"]
    for share in shares[:_MOST_SHARES] if len(shares) > 1 else ():
        origin = f"{share['tool']} on {share['node']}" if share["tool"] else "commits that do not say"
        yield "  of which", f"{origin}: {_amount(share)}"
    yield "limit", _limit(growth)
    for warning in growth["warnings"]:
        place = f"{warning['path']}: " if warning["path"] else ""
        yield "warning:", f"{place}{warning['detail']}\n{warning['advice']}"


def _amount(part: Any) -> str:
    return f"{size(part['size'])} in {_many(part['files'], 'file')} by {_many(part['commits'], 'commit')}"


def _many(number: int, noun: str) -> str:
    return count(number, noun).replace(str(number), f"{number:,}", 1)


def _size(growth: Any) -> str:
    unsaid = f"; {growth['unsaid']:,} of {growth['commits']:,} commits do not say how much they added"
    return _amount(growth) + (unsaid if growth["unsaid"] else "")


def _counted(growth: Any) -> str:
    problem = f": {growth['problem']}" if growth["problem"] else ""
    if growth["source"] == "own-runs":
        return f"from this node's own runs alone{problem}"
    return f"from the history as it was at {moment(growth['counted_at'])}{problem}"


def _limit(growth: Any) -> str:
    limit = size(growth["limit"])
    match growth["days_to_limit"]:
        case None:
            return f"{limit}: it does not grow"
        case 0 if growth["size"] >= growth["limit"]:
            return f"{limit}: passed"
        case days:
            return f"{limit}: in {_many(days, 'day')}"
