"""What the documentation shows is true: its commands run, its output is real, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from mao.cli import mao
from mao.failures import FAILURES
from mao.run import TRANSITIONS
from support import free_port

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIAL = ROOT / "docs" / "tutorial" / "first-tool.md"
UNPUBLISHED = ROOT / "docs" / "how-to" / "deal-with-unpublished-runs.md"
CAUSES = ROOT / "docs" / "reference" / "failures.md"
RUNS = ROOT / "docs" / "explanation" / "how-a-run-goes.md"

_BLOCK = re.compile(
    r"(?:^<!-- test: (?P<marker>[^\n]*?) -->\n)?^ *```(?P<language>[a-z]*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_NODE = "neuchatel"
_HOME = "/home/ada"
_TIME_LIMIT = 120

# What differs from machine to machine and from day to day, the longest first: ids, commits, numbers; spaces align them.
_VARYING = (
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    r"\b[0-9a-f]{40}\b",
    r"\b(?=[a-f]*[0-9])[0-9a-f]{12}\b",
    r"[A-Z][a-z]{2} [A-Z][a-z]{2}(?= [0-9])",
    r"[0-9]+(?:\.[0-9]+)*",
    r"[ \t]+",
)


@dataclass(frozen=True)
class Step:
    """A block of commands, what it is said to print, and how it is said to end."""

    commands: str
    output: str | None
    marker: str

    @property
    def statuses(self) -> set[int]:
        return {int(number) for number in re.findall(r"\d+", self.marker)} or {0}


def steps(page: Path) -> list[Step]:
    blocks = list(_BLOCK.finditer(page.read_text("utf-8")))
    found = []
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block["language"] == "sh" and block["marker"] != "skip":
            output = after["text"] if after and after["language"] == "text" else None
            found.append(Step(block["text"], output, block["marker"] or ""))
    return found


def script(told: list[Step]) -> str:
    """One bash that does all of `told`, as one reader would; the output and the failures of each go to files."""
    lines = ["set -E", "trap 'echo $? >> \"$STATUS\"' ERR", "SERVED=", "trap 'kill $SERVED; wait' EXIT"]
    for number, step in enumerate(told):
        lines.append(f'STATUS="$RESULTS/{number}.failed"')
        if step.marker == "background":
            lines += [f'{step.commands.strip()} > "$RESULTS/{number}.out" 2>&1 & SERVED=$!']
            lines += ["until mao run list > /dev/null 2>&1; do kill -0 $SERVED || exit 1; sleep 0.1; done"]
        else:
            lines.append(f'{{\n{step.commands}}} > "$RESULTS/{number}.out" 2>&1 < /dev/null')
    return "\n".join([*lines, 'touch "$RESULTS/done"', ""])


def expected(output: str) -> re.Pattern[str]:
    """Matches what a program prints if it differs from `output` only in what varies; `…` stands for whatever else."""
    token = re.compile("|".join([*(f"({kind})" for kind in _VARYING), "(\u2026\n)", "(\u2026)"]))
    pattern, end = "", 0
    kinds = [*_VARYING[:-1], r"[ \t]+", r"(?:.*\n)*?", ".*"]
    for found in token.finditer(output):
        assert found.lastindex is not None
        pattern += re.escape(output[end : found.start()]) + kinds[found.lastindex - 1]
        end = found.end()
    return re.compile(pattern + re.escape(output[end:]))


def without_trailing_spaces(text: str) -> str:
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def environment(home: Path, results: Path) -> dict[str, str]:
    (home / ".gitconfig").write_text("[user]\n\tname = Ada Example\n\temail = ada@example.org\n")
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": os.devnull,
        "RESULTS": str(results),
        "MAO_NODE__NAME": _NODE,
        "MAO_SERVER__LISTEN": f"127.0.0.1:{free_port()}",
        "MAO_PUBLISHING__FIRST_PAUSE": "600",  # nothing is published before the reader asks for it
    }


def test_the_tutorial_works_as_it_stands_and_shows_what_is_really_printed(tmp_path: Path) -> None:
    home, results = tmp_path / "home", tmp_path / "results"
    home.mkdir()
    results.mkdir()
    told = steps(TUTORIAL)
    with subprocess.Popen(
        ["bash", "-c", script(told)], cwd=ROOT, env=environment(home, results), start_new_session=True
    ) as reader:
        try:
            reader.wait(_TIME_LIMIT)
        finally:
            if reader.poll() is None:
                os.killpg(reader.pid, signal.SIGTERM)
    assert (results / "done").exists(), "the commands did not come to their end"
    for number, step in enumerate(told):
        failed = results / f"{number}.failed"
        statuses = [int(line) for line in failed.read_text().split()] if failed.exists() else []
        printed = (results / f"{number}.out").read_text().replace(str(home), _HOME)
        assert len(statuses) <= 1, printed
        assert (statuses or [0])[0] in step.statuses, f"{step.commands}{printed}"
        if step.output is not None:
            shown = without_trailing_spaces(step.output)
            assert expected(shown).fullmatch(without_trailing_spaces(printed)), f"{shown}\n--- is really\n{printed}"


def test_what_is_shown_may_differ_only_in_what_varies() -> None:
    shown = expected("Run 01a20af8-3284-734b-95f2-76fdec8361df took 0.3 s\n…\nat commit e7cbd9c4bd5f…\n")
    assert shown.fullmatch(
        "Run 01a20af8-3284-734b-95f2-000000000000   took 12.5 s\na\nb\nat commit 0123456789ab, it says\n"
    )
    assert not shown.fullmatch("Run 01a20af8-3284-734b-95f2-76fdec8361df took long\nat commit e7cbd9c4bd5f\n")
    assert not shown.fullmatch("Run 7 took 0.3 s\nat commit e7cbd9c4bd5f\n")


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page are reached, as hosts make them."""
    headings = re.findall(r"^#+ +(.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_something_that_is_there(page: Path) -> None:
    for link in _LINK.findall(re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)):
        if re.match("[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands(page: Path) -> set[tuple[str, ...]]:
    """The words that follow `mao` on the lines of the page's code, up to what is no command."""
    blocks = _BLOCK.finditer(page.read_text("utf-8"))
    code = "\n".join(block["text"] for block in blocks if block["language"] != "yaml")
    inline = re.findall(r"`(mao [^`\n]+)`", _BLOCK.sub("", page.read_text("utf-8")))
    lines = re.findall(r"(?<![\w/.=-])(mao [a-z][^\n;|)`]*)", code)
    return {tuple(line.split()[1:]) for line in [*lines, *inline]}


def unknown(words: tuple[str, ...]) -> str | None:
    """The first of `words` that is no command where one has to be."""
    context = click.Context(mao, info_name="mao")
    group: click.Command = mao
    for word in words:
        if not isinstance(group, click.Group) or not re.fullmatch(r"[a-z][a-z-]*", word.rstrip("'\",.:")):
            return None
        found = group.get_command(context, word.rstrip("'\",.:"))
        if found is None:
            return word
        group = found
        assert group.get_help(click.Context(group, info_name=word, parent=context))
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page: Path) -> None:
    wrong = {shlex.join(words) for words in commands(page) if unknown(words)}
    assert wrong == set()


def test_commands_that_do_not_exist_are_found_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`mao tool fly` or\n\n```sh\nRUN=$(mao run shwo x)\nmao tool run a B --wait\n```\n")
    assert {unknown(words) for words in commands(page)} == {"fly", "shwo", None}


def test_every_cause_of_an_unpublished_run_is_explained() -> None:
    text = CAUSES.read_text("utf-8")
    causes = {kind.cause for kind in FAILURES} | {"path-clash", "remote-rewritten", "timed-out", "git-failed"}
    assert {cause for cause in causes if f"`{cause}`" not in text} == set()
    how_to = UNPUBLISHED.read_text("utf-8")
    assert f"({os.path.relpath(CAUSES, UNPUBLISHED.parent)})" in how_to
    assert {kind.cause for kind in FAILURES if kind.retry is None and f"`{kind.cause}`" not in how_to} == set()


def test_the_picture_of_the_states_is_that_of_the_table() -> None:
    picture = RUNS.read_text("utf-8")
    drawn = set(re.findall(r"^ *([a-z_]+) --> ([a-z_]+)", picture, re.MULTILINE))
    table = {(a.value.replace("-", "_"), b.value.replace("-", "_")) for a, after in TRANSITIONS.items() for b in after}
    assert drawn == table


def test_no_page_names_a_place_of_one_machine() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        assert str(ROOT) not in text, page
        assert not re.search(r"/root/|mao-demo-[a-z0-9_]{8}", text), page
