"""Both examples are run as a node runs them: a copy of the folder, arguments as one argv, `MAO_*` set."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mao import definition_file

EXAMPLES = Path(__file__).parents[1] / "examples"
RUN_ID = "0197c1f0-7b1e-7c3a-9d55-0123456789ab"
COLUMNS = [
    "measured_at_utc", "node", "interpreter", "name", "version", "license", "license_source",
    "dependencies_count", "dependencies", "files_count", "size_bytes", "error",
]  # fmt: skip
ODD_MESSAGES = [
    "plain",
    "two  spaces ",
    """a 'single' and a "double" quote""",
    "two\nlines\n",
    "$HOME `id` $(id) ; rm -rf x & | > < * ? \\n %s",
    "-n",
    "--help",
    "",
    "Grüße, 世界 🙂",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data with 'odd' name"
    folder.mkdir()
    return folder


@pytest.fixture
def census(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "python-census", tmp_path / "a tool's folder"))


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "hello-world", tmp_path / "a tool's folder"))


def mao_environment(data: Path, run_id: str = RUN_ID, node: str = "neuchatel") -> dict[str, str]:
    return {
        "MAO_DATA_DIR": str(data),
        "MAO_RUN_ID": run_id,
        "MAO_NODE": node,
        "MAO_TOOL": "example",
        "MAO_TOOL_COMMIT": "0" * 40,
    }


def run(folder: Path, *argv: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`argv` in `folder`; `python3` is the interpreter of the tests, also for scripts that look for it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        argv,
        cwd=folder,
        env={"PATH": path, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows_of(data: Path) -> list[dict[str, str]]:
    (file,) = data.rglob("*.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def census_of(census: Path, data: Path, *arguments: str) -> list[dict[str, str]]:
    done = run(census, "python3", "census.py", *arguments, environment=mao_environment(data))
    assert done.returncode == 0, done.stderr
    return rows_of(data)


def site_packages(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A folder with one installed distribution, whose metadata is `files`."""
    packages = folder / "lib" / "python3.9" / "site-packages"
    info = packages / name
    info.mkdir(parents=True)
    for file, content in files.items():
        (info / file).write_bytes(content)
    return packages


@pytest.mark.parametrize("example", ["python-census", "hello-world"])
def test_the_definition_of_each_example_loads(example: str) -> None:
    definition_file.load((EXAMPLES / example / "mao.yaml").read_text(encoding="utf-8"))


def test_the_remote_that_a_user_replaces_is_written_once() -> None:
    text = (EXAMPLES / "python-census" / "mao.yaml").read_text(encoding="utf-8")
    assert text.count("https://example.org/python-census-data.git") == 1


@pytest.mark.parametrize("example", ["python-census", "hello-world"])
def test_the_installer_of_each_example_works_and_leaves_the_folder_as_it_was(example: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES / example, tmp_path / "tool"))
    before = files(tmp_path)
    done = run(folder, "bash", "install.sh")
    assert done.returncode == 0, done.stderr
    assert "nothing to" in done.stdout
    assert files(tmp_path) == before


def test_the_census_finds_what_this_interpreter_has_installed(census: Path, data: Path) -> None:
    found = {(row["name"], row["version"]) for row in census_of(census, data)}
    expected = {(d.metadata["Name"], d.version) for d in metadata.distributions()}
    assert len(expected) > 10
    assert expected <= found


def test_a_row_of_the_census_agrees_with_the_installed_distribution(census: Path, data: Path) -> None:
    (row,) = census_of(census, data, "PyTest", "true")
    pytest_itself = metadata.distribution("pytest")
    assert row["node"] == "neuchatel"
    assert row["interpreter"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert row["license"] == "MIT"
    assert set(row["dependencies"].split(" | ")) == set(pytest_itself.requires or [])
    assert int(row["dependencies_count"]) == len(pytest_itself.requires or [])
    assert int(row["files_count"]) == len(pytest_itself.files or [])
    assert int(row["size_bytes"]) > 100_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["measured_at_utc"])


def test_the_file_has_its_header_first_and_sorted_rows_of_the_same_length(census: Path, data: Path) -> None:
    rows = census_of(census, data)
    (file,) = data.rglob("*.csv")
    text = file.read_bytes().decode("utf-8")
    assert text.splitlines()[0].split(",") == COLUMNS
    assert "\r" not in text
    assert len(text.splitlines()) == len(rows) + 1
    assert all(list(row) == COLUMNS and None not in row.values() for row in rows)
    keys = [(row["interpreter"], row["name"].lower()) for row in rows]
    assert keys == sorted(keys)


def test_two_censuses_differ_in_nothing_but_their_time(census: Path, tmp_path: Path) -> None:
    first, second = (
        [row | {"measured_at_utc": ""} for row in census_of(census, tmp_path / name)] for name in ("1", "2")
    )
    assert first == second


def test_the_census_writes_nothing_outside_its_data_directory(census: Path, data: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    census_of(census, data)
    (written,) = files(tmp_path) - before
    assert re.fullmatch(
        re.escape(f"{data.name}/") + r"census/(\d{4})/\1-\d\d-\d\d/\d{6}Z-neuchatel-0123456789ab\.csv",
        written,
    )


def test_runs_of_several_nodes_in_one_dataset_never_write_the_same_file(census: Path, data: Path) -> None:
    members = [("a", "1"), ("a", "2"), ("b", "1")]
    for node, last in members:
        environment = mao_environment(data, RUN_ID[:-1] + last, node)
        assert run(census, "python3", "census.py", "pytest", environment=environment).returncode == 0
    assert len(files(data)) == len(members)


def test_a_node_name_with_odd_characters_stays_in_the_data_directory(census: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    environment = mao_environment(data, node="../../../a b\n'c'")
    assert run(census, "python3", "census.py", "pytest", environment=environment).returncode == 0
    assert len(files(data)) == 1


def test_the_sizes_are_left_empty_when_they_are_not_asked_for(census: Path, data: Path) -> None:
    rows = census_of(census, data, "*", "false")
    assert {row["size_bytes"] for row in rows} == {""}
    assert any(row["files_count"] for row in rows)


@pytest.mark.parametrize("pattern", ["nothing 'like' \"this\"", "$(id)", "two\nlines", "[", "", "世界"])
def test_an_odd_pattern_gives_a_file_with_no_rows(census: Path, data: Path, pattern: str) -> None:
    assert census_of(census, data, pattern) == []


def test_a_sizes_that_is_no_boolean_is_refused_and_named(census: Path, data: Path) -> None:
    done = run(census, "python3", "census.py", "*", "perhaps", environment=mao_environment(data))
    assert done.returncode == 2
    assert "'perhaps'" in done.stderr
    assert not files(data)


def test_a_folder_that_is_not_absolute_is_refused_and_named(census: Path, data: Path) -> None:
    done = run(census, "python3", "census.py", "*", "true", "lib/x", environment=mao_environment(data))
    assert done.returncode == 2
    assert "'lib/x' is not an absolute folder" in done.stderr


def test_more_folders_may_be_given_as_patterns_and_missing_ones_are_told(
    census: Path, data: Path, tmp_path: Path
) -> None:
    text = b"Metadata-Version: 2.1\nName: Old-Tool\nVersion: 1.2\nLicense: UNKNOWN\n"
    text += b"Classifier: License :: OSI Approved :: MIT License\n"
    text += b"Requires-Dist: b>1; extra == 'x'\nRequires-Dist: a\n"
    record = b"old.py,,\ngone.py,,\n"
    packages = site_packages(tmp_path, "old_tool-1.2.dist-info", {"METADATA": text, "RECORD": record})
    (packages / "old.py").write_bytes(b"x" * 1234)
    folders = f"{tmp_path}/*/python3*/site-packages:/nowhere/at/all"
    done = run(census, "python3", "census.py", "old*", "true", folders, environment=mao_environment(data))
    (row,) = rows_of(data)
    assert "/nowhere/at/all: 0 folders" in done.stdout
    assert row["interpreter"] == "3.9"
    assert (row["license"], row["license_source"]) == ("MIT License", "Classifier")
    assert (row["dependencies_count"], row["dependencies"]) == ("2", "a | b>1; extra == 'x'")
    assert (row["size_bytes"], row["error"]) == ("1234", "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, ""),
        ({"METADATA": b""}, "no Name"),
        ({"METADATA": b"\xff\xfe\x00 not UTF-8"}, "UnicodeDecodeError"),
        ({"METADATA": b"Metadata-Version: 2.1\nName: broken\n"}, "no Version"),
        ({"METADATA": b"Name: broken\nVersion: 7\n", "RECORD": b"\xff,,\n"}, "UnicodeDecodeError"),
    ],
)
def test_broken_metadata_gives_a_row_with_an_error_and_the_others_stay(
    census: Path, data: Path, tmp_path: Path, content: dict[str, bytes], told: str
) -> None:
    packages = site_packages(tmp_path, "broken-7.dist-info", content)
    rows = census_of(census, data, "*", "true", str(packages))
    (broken,) = (row for row in rows if row["name"] == "broken")
    assert broken["version"] == "7"
    assert broken["error"]
    assert told in broken["error"]
    assert [row["error"] for row in rows if row["name"] == "pytest"] == [""]


def test_names_and_folders_that_the_terminal_cannot_show_do_not_stop_the_census(
    census: Path, data: Path, tmp_path: Path
) -> None:
    text = "Metadata-Version: 2.1\nName: übung-世界\nVersion: 1\n".encode()
    packages = site_packages(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")), "x-1.dist-info", {"METADATA": text})
    environment = {**mao_environment(data), "PYTHONIOENCODING": "ascii"}
    done = run(census, "python3", "census.py", "*世界", "true", str(packages), environment=environment)
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in rows_of(data)] == ["übung-世界"]


@pytest.mark.parametrize("missing", ["MAO_DATA_DIR", "MAO_RUN_ID", "MAO_NODE"])
def test_without_its_environment_the_census_says_what_is_missing(
    census: Path, data: Path, tmp_path: Path, missing: str
) -> None:
    before = files(tmp_path)
    environment = mao_environment(data)
    del environment[missing]
    done = run(census, "python3", "census.py", environment=environment)
    assert done.returncode == 1
    assert f"{missing} is not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(tmp_path) == before


def test_verify_counts_the_distributions_and_changes_nothing(census: Path, data: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    done = run(census, "bash", "verify.sh", environment=mao_environment(data))
    assert done.returncode == 0, done.stderr
    counted = re.search(r"^(\d+) distributions are visible$", done.stdout, re.MULTILINE)
    assert counted
    assert int(counted[1]) >= len({d.metadata["Name"] for d in metadata.distributions()})
    assert files(tmp_path) == before


@pytest.mark.parametrize("message", ODD_MESSAGES)
def test_hello_prints_the_message_and_keeps_it_as_it_is(hello: Path, data: Path, tmp_path: Path, message: str) -> None:
    before = files(tmp_path)
    done = run(hello, "bash", "run.sh", message, environment=mao_environment(data))
    assert (done.returncode, done.stdout) == (0, f"{message}\n"), done.stderr
    (written,) = files(tmp_path) - before
    assert re.fullmatch(re.escape(f"{data.name}/") + rf"\d{{4}}-\d\d-\d\dT\d{{6}}Z-{RUN_ID}\.txt", written)
    assert (tmp_path / written).read_text(encoding="utf-8") == f"{message}\n"


def test_hello_without_mao_writes_where_its_definition_says(hello: Path) -> None:
    before = files(hello)
    assert run(hello.parent, "bash", f"{hello}/run.sh", "by hand").returncode == 0
    (written,) = files(hello) - before
    assert Path(written).parent == Path("hello_world")


def test_hello_never_overwrites_a_file(hello: Path, data: Path) -> None:
    for message in ("first", "second", "third"):
        run(hello, "bash", "run.sh", message, environment=mao_environment(data))
    kept = [(data / file).read_text(encoding="utf-8") for file in files(data)]
    assert "first\n" in kept


@pytest.mark.parametrize("arguments", [[], ["one", "two"]])
def test_hello_refuses_any_other_number_of_arguments(hello: Path, data: Path, arguments: list[str]) -> None:
    done = run(hello, "bash", "run.sh", *arguments, environment=mao_environment(data))
    assert done.returncode == 2
    assert "usage: run.sh MESSAGE" in done.stderr
    assert not files(data)
