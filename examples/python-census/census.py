"""A census of the Python distributions installed on this machine, as one CSV file per run."""

from __future__ import annotations

import argparse
import csv
import fnmatch
import io
import os
import re
import sys
import time
from importlib.metadata import Distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ["measured_at_utc", "node", "interpreter", "name", "version", "license", "license_source"]
COLUMNS += ["dependencies_count", "dependencies", "files_count", "size_bytes", "error"]
METADATA = re.compile(r"(?i)\.(dist|egg)-info$|^EGG-INFO$")
BETWEEN = " | "  # not ';', which begins the marker of a requirement: "tomli>=2; python_version < '3.11'"


def folders(text: str) -> list[Path]:
    """The folders that exist of a list like the PATH, in which each may be a shell pattern."""
    found = []
    for pattern in filter(None, text.split(os.pathsep)):
        if not pattern.strip("/") or not pattern.startswith("/"):
            raise argparse.ArgumentTypeError(f"{pattern!r} is not an absolute folder")
        matches = sorted(path for path in Path("/").glob(pattern.lstrip("/")) if path.is_dir())
        print(f"{pattern}: {len(matches)} folders")
        found += matches
    return found


def distributions(more: list[Path]) -> Iterator[tuple[Path, str]]:
    """The metadata of each distribution with its interpreter's version, each folder once."""
    running = "{}.{}".format(*sys.version_info)
    searched = set()
    for folder, version in [(Path(entry), running) for entry in sys.path] + [(path, "") for path in more]:
        real = folder.resolve()
        if real in searched or not os.access(real, os.R_OK | os.X_OK) or not real.is_dir():
            continue
        searched.add(real)
        named = re.search(r"/python(\d+\.\d+)/", f"{real}/")
        found = sorted(path for path in real.iterdir() if METADATA.search(path.name))
        print(f"{folder}: {len(found)} distributions")
        for path in found:
            yield path, version or (named[1] if named else "")


def clean(text: str) -> str:
    """`text` on one line, with single spaces and nothing that a terminal or a CSV reader trips over."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def field(distribution: Distribution, key: str) -> list[str]:
    """What the metadata says under `key`, without the 'UNKNOWN' that old tools wrote for nothing."""
    values = [str(value).strip() for value in distribution.metadata.get_all(key) or []]
    return [value for value in values if value and value != "UNKNOWN"]


def required(distribution: Distribution, key: str) -> str:
    for value in field(distribution, key):
        return value
    raise ValueError(f"the metadata has no {key}")


def licence(distribution: Distribution) -> tuple[str, str]:
    """The licence and the field that states it, the most exact one first."""
    for key in ("License-Expression", "License"):
        for value in field(distribution, key):
            return clean(value.splitlines()[0]), key  # the whole text may be there
    classifiers = [c for c in field(distribution, "Classifier") if c.startswith("License ::")]
    names = sorted({clean(c.rpartition("::")[2]) for c in classifiers})
    return BETWEEN.join(names), "Classifier" if names else ""


def describe(path: Path, row: dict[str, object], *, sizes: bool) -> None:
    """Fill `row` in from the metadata at `path`, as far as it can be read."""
    name, _, version = path.stem.partition("-")
    row.update(name=clean(name), version=clean(version))
    try:
        distribution = Distribution.at(path)
        for key in ("Name", "Version"):
            row[key.lower()] = clean(required(distribution, key))
        row["license"], row["license_source"] = licence(distribution)
        dependencies = sorted({clean(requirement) for requirement in distribution.requires or []})
        row.update(dependencies_count=len(dependencies), dependencies=BETWEEN.join(dependencies))
        files = distribution.files
        row["files_count"] = "" if files is None else len(files)
        if files is not None and sizes:
            paths = (str(distribution.locate_file(file)) for file in files)
            row["size_bytes"] = sum(os.lstat(path).st_size for path in paths if os.path.lexists(path))
    except Exception as error:  # noqa: BLE001 - metadata breaks in every way; one must not cost the others
        row["error"] = clean(f"{type(error).__name__}: {error}")
        print(f"{path}: {row['error']}")


def environment(name: str) -> str:
    if value := os.environ.get(name):
        return value
    sys.exit(f"census: {name} is not set; MAO sets it. Start it with: mao tool run python-census Census")


def write(rows: list[dict[str, object]], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: [str(row.get(c, "")).lower() for c in COLUMNS[2:]]))


def census(include: str, more: list[Path], *, sizes: bool) -> None:
    data, run, node = (environment(name) for name in ("MAO_DATA_DIR", "MAO_RUN_ID", "MAO_NODE"))
    began = time.gmtime()
    rows: list[dict[str, object]] = []
    for path, interpreter in distributions(more):
        row: dict[str, object] = {"measured_at_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", began), "node": node}
        describe(path, row, sizes=sizes)
        if fnmatch.fnmatchcase(str(row["name"]).lower(), include.lower()):
            rows.append({**row, "interpreter": interpreter})
            print(f"  {row['name']} {row['version']}")
    # The end of a UUIDv7 is random, its beginning only the time: so no two runs write the same file.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{time.strftime('%H%M%SZ', began)}-{node}-{run[-12:]}.csv")
    file = Path("census", time.strftime("%Y", began), time.strftime("%Y-%m-%d", began), name)
    write(rows, Path(data, file))
    print(f"{file}: {len(rows)} distributions, {sum('error' in row for row in rows)} of them with an error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verify", action="store_true", help="count the distributions; change nothing")
    parser.add_argument("include", nargs="?", default="*", help="a shell pattern for names")
    parser.add_argument("sizes", nargs="?", default="true", choices=["true", "false"], help="add up bytes")
    parser.add_argument("folders", nargs="?", default="", type=folders, help="more folders, like a PATH")
    if isinstance(sys.stdout, io.TextIOWrapper):  # live progress, whatever a path or a name is made of
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    given = parser.parse_args()
    if given.verify:
        print(f"{sum(1 for _ in distributions(given.folders))} distributions are visible")
    else:
        census(given.include, given.folders, sizes=given.sizes == "true")


if __name__ == "__main__":
    main()
