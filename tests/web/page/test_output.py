from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from mao.log_file import WINDOW_BYTES, WINDOW_LINES
from serving import Serving, follow, serving
from support import bare, commit, tool_files
from web.page.looking import Seen, look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = 'printf "begun\\nhal"\nuntil test -e "$1"; do sleep 0.02; done\necho f\n'
HOSTILE = (
    b'<script>alert(1)</script>\n"><img src=x onerror=alert(1)>\n</div></main>\n'
    b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J \xe2\x80\xae rtl\nnul \0 bad \xff\n" + b"long" * 3000 + b"\n"
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    work = tmp_path_factory.mktemp("output")
    files = tool_files(
        bare(work / "data.git"),
        scripts={"Wait": WAIT, "Print": "echo printed", "Silent": ""},
        arguments={"Wait": 1},
        installer="echo installing",
    )
    commit(work / "probe", files)
    with serving(work / "home") as node:
        node.install(work / "probe")
        yield node


@pytest.fixture
def printing(node: Serving) -> Iterator[tuple[str, Path]]:
    """The page of a run that has ended, and the file of its log, in which a test puts what it likes."""
    run = node.ended(node.run("Print"))["id"]
    path = node.node.workspace.run(run) / "log"
    yield f"/view/runs/{run}", path
    path.unlink(missing_ok=True)


def part(page: Seen) -> dict[str, str]:
    (found,) = page.all("div", class_="part")
    return {name.removeprefix("data-"): value for name, value in found.attributes.items()}


def lines(page: Seen) -> list[str]:
    return [
        each.text.removesuffix("\n") for each in page.elements if each.attributes.get("class") in {"line", "line on"}
    ]


def test_the_page_of_a_run_holds_the_end_of_its_output(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(2000)))

    page = look(node, path)

    assert lines(page) == [f"line {i}" for i in range(1500, 2000)]
    assert part(page)["over"] == "true"
    assert {"Beginning", "Earlier", "End"} <= page.links.keys()
    assert "Later" not in page.links
    (shown,) = page.all("div", role="log")
    assert shown.attributes["tabindex"] == "0"
    assert shown.attributes["aria-labelledby"]


def test_its_links_lead_through_all_of_it_without_scripts(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(1700)))
    backward: list[str] = []
    page = look(node, path)
    while True:
        backward = lines(page) + backward
        if "Earlier" not in page.links:
            break
        page = look(node, path + page.links["Earlier"].partition("#")[0])
    page = look(node, path + page.links["Beginning"].partition("#")[0])
    forward = lines(page)
    while "Later" in page.links:
        page = look(node, path + page.links["Later"].partition("#")[0])
        forward += lines(page)

    assert forward == backward == [f"line {i}" for i in range(1700)]


def test_what_is_looked_for_is_found_and_marked_without_scripts(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    log.write_bytes(b"".join(b"line %d\n" % i for i in range(9000)) + b"the Needle here\n" + b"x\n" * 700 + b"NEEDLE\n")

    first = look(node, f"{path}?find=needle")
    second = look(node, path + first.links["Search on"].partition("#")[0])
    none = look(node, f"{path}?find=nowhere")

    assert [each.text for each in first.all("mark")] == ["Needle"]
    assert "line 8999" in lines(first)
    assert [each.text for each in second.all("mark")] == ["NEEDLE"]
    assert "not found" in none.words
    assert "Search on" not in none.links


def test_hostile_output_is_text(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    log.write_bytes(HOSTILE)

    page = look(node, f"{path}?find=%3Cscript%3E%22")

    assert lines(page)[:3] == ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</div></main>"]
    assert lines(page)[3:5] == ["red  U+202E rtl", "nul ␀ bad \\xff"]
    assert len(page.all("img")) == 0
    assert all("src" in each.attributes for each in page.all("script"))
    assert page.all("input", name="find")[0].attributes["value"] == '<script>"'
    assert not re.search(r"<[^>]+ (style|on\w+)=", page.source)


def test_a_line_of_10_mb_and_a_log_of_100_mb_are_quick(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    with log.open("wb") as file:
        file.write(b"x" * 10_000_000 + b"\n")
        for _ in range(50):
            file.write(b"a line of some length, of which there are many\n" * 40_000)
    begun = time.monotonic()

    for query in ("", "?from=0", "?from=5000000", "?at=9000000", "?before=7000000", "?find=nowhere"):
        page = look(node, f"{path}/output{query}")
        found = part(page)
        assert page.status == 200
        assert int(found["to"]) - int(found["from"]) <= WINDOW_BYTES
        assert len(lines(page)) <= WINDOW_LINES
        assert len(page.source) < 4 * WINDOW_BYTES

    assert time.monotonic() - begun < 10


def test_parts_go_on_where_the_one_before_ended_while_it_grows(node: Serving, tmp_path: Path) -> None:
    run = node.run("Wait", str(tmp_path / "gate"))
    next(follow(node, f"/runs/{run['id']}/log"))
    path = f"/view/runs/{run['id']}/output"
    first = look(node, path)
    found = part(first)
    assert (lines(first), found["over"], found["to"], found["next"]) == (["begun", "hal"], "false", "9", "6")

    (tmp_path / "gate").touch()
    node.ended(run)

    second = look(node, f"{path}?from={found['next']}")
    assert (lines(second), part(second)["over"], part(second)["next"]) == (["half"], "true", "11")
    nothing = look(node, f"{path}?from=11")
    assert (lines(nothing), part(nothing)["from"], part(nothing)["size"]) == ([], "11", "11")


def test_what_an_installer_printed_is_shown_likewise(node: Serving) -> None:
    page = look(node, "/view/installations/probe/output")

    assert lines(page) == ["installing"]
    assert part(page)["over"] == "true"


def test_what_was_not_printed_or_is_gone_is_said(node: Serving, printing: tuple[str, Path]) -> None:
    path, log = printing
    log.unlink()

    assert "It printed nothing, or its log was removed" in look(node, path).words


def test_parts_of_nothing_are_refused(node: Serving, printing: tuple[str, Path]) -> None:
    path, _ = printing

    assert look(node, "/view/runs/nothing/output").status == 404
    assert look(node, "/view/installations/nothing/output").status == 404
    for query in ("from=-1", "from=x", f"find={'x' * 201}", "before=99999999999999999999"):
        assert look(node, f"{path}/output?{query}").status == 422


def test_the_log_of_an_attempt_that_was_cleaned_up_is_empty(node: Serving) -> None:
    attempt = node.api("GET", "/installations/probe")["attempt"]["id"]
    shutil.rmtree(node.node.workspace.attempt("probe", attempt) / "job")

    assert lines(look(node, "/view/installations/probe/output")) == []
