from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from serving import Serving, follow, serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = 'echo begun\nuntil test -e "$1"; do sleep 0.02; done\necho done\n'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    work = tmp_path_factory.mktemp("logs")
    files = tool_files(
        bare(work / "data.git"),
        scripts={"Wait": WAIT, "Print": "printf 'one\\nTwo\\nthree\\n'"},
        arguments={"Wait": 1},
        installer="echo installing; echo Installed",
    )
    commit(work / "probe", files)
    with serving(work / "home") as node:
        node.install(work / "probe")
        yield node


@pytest.fixture(scope="module")
def printed(node: Serving) -> str:
    """Where the log is of a run that has ended."""
    return f"/api/v1/runs/{node.ended(node.run('Print'))['id']}/log"


@pytest.mark.parametrize(
    ("asked", "given", "place"),
    [
        ("bytes=0-2", b"one", "bytes 0-2/14"),
        ("bytes=4-", b"Two\nthree\n", "bytes 4-13/14"),
        ("bytes=-6", b"three\n", "bytes 8-13/14"),
        ("bytes=-99", b"one\nTwo\nthree\n", "bytes 0-13/14"),
        ("bytes=12-9999", b"e\n", "bytes 12-13/14"),
    ],
)
def test_a_part_of_a_log_can_be_asked_for(node: Serving, printed: str, asked: str, given: bytes, place: str) -> None:
    reply = node.request("GET", printed, headers={"Range": asked})

    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, given, place)
    assert reply.headers["content-length"] == str(len(given))
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("asked", ["bytes=14-", "bytes=99-100", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused_with_the_size(node: Serving, printed: str, asked: str) -> None:
    reply = node.request("GET", printed, headers={"Range": asked})

    assert (reply.status, reply.json["code"]) == (416, "bad-range")
    assert reply.headers["content-range"] == "bytes */14"


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=5-3", "lines=0-2", "bytes=a-b", ""])
def test_what_is_no_range_is_not_looked_at(node: Serving, printed: str, asked: str) -> None:
    reply = node.request("GET", printed, headers={"Range": asked})

    assert reply.status in {200, 400}, "servers of files call a range that is none a bad request"
    assert reply.status == 400 or reply.body == b"one\nTwo\nthree\n"


def test_a_log_is_given_in_parts_while_it_grows(node: Serving, tmp_path: Path) -> None:
    run = node.run("Wait", str(tmp_path / "gate"))
    path = f"/api/v1/runs/{run['id']}/log"
    next(follow(node, path.removeprefix("/api/v1")))

    part = node.request("GET", path, headers={"Range": "bytes=2-"})
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"gun\n", "bytes 2-5/6")
    assert node.request("GET", path, headers={"Range": "bytes=6-"}).headers["content-range"] == "bytes */6"

    (tmp_path / "gate").touch()
    node.ended(run)
    assert node.request("GET", path, headers={"Range": "bytes=6-"}).body == b"done\n"


def test_a_log_is_searched_in_whatever_case_and_further(node: Serving, printed: str) -> None:
    found = node.request("GET", f"{printed}/search?text=TWO").json
    assert found == {"offset": 4, "length": 3, "line": "Two", "scanned_to": 7, "size": 14}

    further = node.request("GET", f"{printed}/search?text=two&from=7").json
    assert further == {"offset": None, "length": 0, "line": None, "scanned_to": 14, "size": 14}


@pytest.mark.parametrize("query", ["", "?text=", f"?text={'x' * 201}", "?text=x&from=-1", "?text=x&from=y"])
def test_a_search_for_nothing_or_from_nowhere_is_refused(node: Serving, printed: str, query: str) -> None:
    reply = node.request("GET", f"{printed}/search{query}")
    assert (reply.status, reply.json["code"]) == (422, "bad-body")


def test_what_an_installer_printed_is_given_likewise(node: Serving) -> None:
    path = "/api/v1/installations/Probe/log"

    assert node.request("GET", path, headers={"Range": "bytes=-10"}).body == b"Installed\n"
    assert node.request("GET", f"{path}/search?text=installed").json["offset"] == 11


def test_there_is_no_log_of_what_is_not_there(node: Serving) -> None:
    for path, code in (
        ("/api/v1/runs/nothing/log/search?text=x", "run-not-found"),
        ("/api/v1/installations/nothing/log/search?text=x", "not-installed"),
    ):
        assert node.request("GET", path).json["code"] == code
