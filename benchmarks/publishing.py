"""What it costs to publish, beside the floor and other ways, over datasets of any size; one publisher.

    python benchmarks/publishing.py [--files 1000 100000 1000000] [--layout dated|flat|commits] [--new 1 100 1000]
        [--big] [--transport file http] [--ways mao floor push worktree datalad prototype] [--repeat N] [--keep DIR]

Ways: `mao`, a node, from the end of the tool on; `floor`, hash, compress, write and flush the new bytes, and push a
commit without files to a ref of its own; `push`, the cheapest push that changes the branch, of a commit with the same
files made beforehand; `worktree`, `git add FILE; commit; push` in a clone; `datalad`, save and push; `prototype`, copy
the whole data directory, `git add .`, commit, push. Each has a copy of the same remote; they take turns, and so do the
datasets. A way that has used up its `--budget` of seconds sits out the rest, as those do that copy a million files.

Columns: the first publication, with all that has to be set up or cloned before (seconds; bytes both ways); then medians
over later ones: until the data is safe at the remote, until it is on the branch, CPU seconds (of the remote, too, over
file://), bytes sent and received (counted over HTTP only), disk that is kept, the most memory at any moment of one
publication that was not timed. Goals: until it is safe, flat within 1.3 from the smallest to the largest dataset in
dated folders; until it is on the branch, at most 1.3 times `push`; the first publication below 100 kB on the wire.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
from git_server import served
from ways import WAYS, Place
from workers import Load, Taken, Worker, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from git_server import GitServer

SMALL, BIG = 1024, 100_000_000
FLAT, OVER_PUSH, FIRST_BYTES = 1.3, 1.3, 100_000


def _safe(sample: Taken) -> float | None:
    return sample.safe


def _branch(sample: Taken) -> float | None:
    return sample.branch


def _cpu(sample: Taken) -> float | None:
    return sample.cpu


@dataclass
class Row:
    """What was measured of one way, with one load."""

    samples: list[Taken] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    memory: float = 0
    disk: int = 0
    failed: str | None = None

    def median(self, value: Callable[[Taken], float | None]) -> float | None:
        values = [found for sample in self.samples if (found := value(sample)) is not None]
        return statistics.median(values) if values else None

    def over(self, floor: Row, value: Callable[[Taken], float | None]) -> float | None:
        """The median of the ratios of what was measured in the same turn."""
        pairs = zip(map(value, reversed(self.samples)), map(value, reversed(floor.samples)), strict=False)
        ratios = [own / low for own, low in pairs if own and low]
        return statistics.median(ratios) if ratios else None


class Site:
    """One dataset, with a remote and a worker for each way. `first` has the first publication of each."""

    def __init__(
        self, root: Path, source: Path, files: int, server: GitServer | None, options: argparse.Namespace
    ) -> None:
        self.files, self.layout, self.server = files, options.layout, server
        self.budget: float = options.budget
        self.workers: dict[str, Worker] = {}
        self.first: dict[str, Row] = {}
        for name in options.ways:
            remote = datasets.copy(source, root / f"{files}-{name}.git")
            url = server.url(remote) if server else f"file://{remote}"
            self.workers[name] = Worker(name, Place(root / f"{files}-{name}", remote, url))

    def load(self, new: int, size: int) -> Load:
        return Load(self.layout, self.files, new, size)

    def start(self) -> None:
        """Set every way up, by its first publication."""
        for name in self.workers:
            self.first[name] = Row(failed=missing(name))
            self._turn(name, self.first[name], self.load(1, SMALL), "first")

    def warm(self, rows: dict[str, Row], load: Load, turn: str) -> None:
        """One publication of each way that is not timed, unless it is so slow that it has to do."""
        for name, row in rows.items():
            row.failed = self.first[name].failed
            self._turn(name, row, load, turn, watched=True)
            if row.samples and self._used(row) < self.budget:
                row.samples.clear()
                row.up.clear()
                row.down.clear()

    def turn(self, rows: dict[str, Row], load: Load, turn: str) -> None:
        for name, row in rows.items():
            if self._used(row) < self.budget:
                self._turn(name, row, load, turn)

    def _used(self, row: Row) -> float:
        return sum(sample.branch or sample.safe for sample in row.samples)

    def _turn(self, name: str, row: Row, load: Load, turn: str, *, watched: bool = False) -> None:
        if row.failed:
            return
        worker = self.workers[name]
        up, down = self._bytes(name)
        try:
            if watched:
                taken, row.memory = worker.publish_watched(load, turn)
            else:
                taken = worker.publish(load, turn)
        except RuntimeError as error:
            row.failed = str(error)
            return
        row.samples.append(taken)
        after = self._bytes(name)
        row.up.append(after[0] - up)
        row.down.append(after[1] - down)

    def _bytes(self, name: str) -> tuple[int, int]:
        if self.server is None:
            return 0, 0
        repository = f"{self.files}-{name}.git"
        return self.server.up[repository], self.server.down[repository]

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()


def measure(sites: list[Site], new: int, size: int, repeat: int) -> list[dict[str, Row]]:
    """The rows of each site, measured in turns."""
    tables = [{name: Row() for name in site.workers} for site in sites]
    for site, rows in zip(sites, tables, strict=True):
        site.warm(rows, site.load(new, size), f"warm-{new}-{size}")
    for turn in range(repeat):
        for site, rows in zip(sites, tables, strict=True):
            site.turn(rows, site.load(new, size), f"turn-{new}-{size}-{turn}")
    for site, rows in zip(sites, tables, strict=True):
        for name, row in rows.items():
            row.disk = 0 if row.failed else site.workers[name].disk()
    return tables


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _size(count: float) -> str:
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB") if count >= 1e6 else (1e3, "kB")
    return f"{count / unit:.1f} {name}"


HEAD = ("way", "first", "wire", "safe", "/floor", "branch", "/push", "CPU", "up", "down", "disk", "memory")
WIDTHS = (10, 9, 9, 9, 7, 9, 7, 8, 9, 9, 9, 9)


def show(site: Site, rows: dict[str, Row]) -> None:
    print("".join(text.rjust(width) for text, width in zip(HEAD, WIDTHS, strict=True)))
    floor, push = (rows[name] if name in rows else Row() for name in ("floor", "push"))
    for name, row in rows.items():
        if row.failed:
            print(f"{name:>10}  {row.failed}")
            continue
        first, counted = site.first[name], site.server is not None
        cells = (
            name,
            _time(first.median(_branch) or first.median(_safe)),
            _size(first.up[0] + first.down[0]) if counted else "-",
            _time(row.median(_safe)),
            _ratio(row.over(floor, _safe)),
            _time(row.median(_branch)),
            _ratio(row.over(push, _branch)),
            _time(row.median(_cpu)),
            _size(statistics.median(row.up)) if counted else "-",
            _size(statistics.median(row.down)) if counted else "-",
            _size(row.disk),
            _size(row.memory),
        )
        print("".join(text.rjust(width) for text, width in zip(cells, WIDTHS, strict=True)))


def goals(sites: list[Site], tables: list[dict[str, Row]], layout: str) -> None:
    """Say which goals were met by a small file."""
    found = [(site, rows["mao"], rows.get("push", Row())) for site, rows in zip(sites, tables, strict=True)]
    found = [(site, own, push) for site, own, push in found if own.samples]
    if layout == "dated" and len(found) > 1:
        (least, few, _), (most, many, _) = found[0], found[-1]
        ratio = many.over(few, _safe)
        _goal(f"safe, {most.files:,} files over {least.files:,}", ratio, FLAT, _ratio)
    for site, own, push in found:
        told = f"on the branch over the cheapest push, {site.files:,} files"
        _goal(told, own.over(push, _branch), OVER_PUSH, _ratio)
        if site.server:
            count = site.first["mao"].up[0] + site.first["mao"].down[0]
            _goal(f"first publication on the wire, {site.files:,} files", count, FIRST_BYTES, _size)


def _goal(what: str, value: float | None, most: float, form: Callable[[float], str]) -> None:
    if value is not None:
        print(f"  goal: {what}: {form(value)} (at most {form(most)}): {'met' if value <= most else 'missed'}")


def compare(work: Path, keep: Path, transport: str, options: argparse.Namespace) -> None:
    with ExitStack() as closing:
        server = closing.enter_context(served(work)) if transport == "http" else None
        sites = []
        for files in sorted(options.files):
            source = datasets.remote(keep, options.layout, files)
            sites.append(Site(work, source, files, server, options))
            closing.callback(sites[-1].close)
            sites[-1].start()
        loads = [(new, SMALL) for new in options.new] + ([(1, BIG)] if options.big else [])
        for new, size in loads:
            tables = measure(sites, new, size, options.repeat)
            for site, rows in zip(sites, tables, strict=True):
                files = f"{site.files:,} files {'in commits of one' if options.layout == 'commits' else options.layout}"
                print(f"\n{files}, {transport}; {new:,} new of {_size(size)}")
                show(site, rows)
            if (new, size) == (1, SMALL) and "mao" in options.ways:
                goals(sites, tables, options.layout)
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--layout", choices=datasets.LAYOUTS, default="dated")
    parser.add_argument("--new", type=int, nargs="+", default=[1])
    parser.add_argument("--big", action="store_true", help="also one file of 100 MB")
    parser.add_argument("--transport", choices=("file", "http"), nargs="+", default=["http"])
    parser.add_argument("--ways", choices=tuple(WAYS), nargs="+", default=list(WAYS))
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds that a way may use of each table")
    parser.add_argument("--keep", type=Path, help="keep the datasets here, for other benchmarks")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for transport in options.transport:
        with tempfile.TemporaryDirectory(dir=options.keep) as name:  # on the same disk, so that copies share files
            work = Path(name).absolute()
            compare(work, (options.keep or work).absolute(), transport, options)


if __name__ == "__main__":
    main()
