from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from serving import Serving, serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPTS = {
    "Measure": r"""cd "$MAO_DATA_DIR"
printf 'time,host,ms\n2026-11-01T00:00:00Z,<script>alert(1)</script>,3\n2026-11-01T01:00:00Z,b,5\n' > a.csv
printf x > "$(printf '"><img src=x onerror=alert(1)>\n\xe2\x80\xae\xff.txt')"
ln -s /etc/passwd link.csv
printf '\x89PNG\r\n\x1a\n' > z.png
printf 'colours \033[31m here \xe2\x80\xae' > t.txt
printf '\0\1' > o.bin
printf 'time,\xe2\x80\xae<img src=x>\n2026-11-01,1\n2026-11-02,2\n' > n.csv
""",
    "Leak": 'printf "$MAO_SECRET_TOKEN" > "$MAO_DATA_DIR/leak.csv"',
}
ARGUMENTS = "    Arguments: [{Name: Token, Type: secret}]\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("datasets")
    files = tool_files(bare(place / "data.git"), scripts=SCRIPTS)
    files["mao.yaml"] = files["mao.yaml"].replace("    Script: Leak.sh\n", f"    Script: Leak.sh\n{ARGUMENTS}")
    commit(place / "probe", files)
    with serving(place / "home") as node:
        assert "No dataset is registered" in page(node, "/view/datasets")
        node.install(place / "probe")
        node.api("PUT", "/secrets/token", {"value": "fa63b1c0dd"})
        assert "has no file of it" in page(node, "/view/datasets/probe-data")
        node.ended(node.run("Measure"))
        yield node


def page(node: Serving, path: str, **headers: str) -> str:
    reply = node.request("GET", path, headers={"Accept": "text/html", **headers})
    assert reply.status == 200, reply.body
    return reply.body.decode()


def test_datasets_are_listed_and_searched(node: Serving) -> None:
    assert 'href="/view/datasets/probe-data"' in page(node, "/view/datasets")
    assert 'href="/view/datasets/probe-data"' in page(node, "/view/datasets?search=PROBE")
    none = page(node, "/view/datasets?search=%3Cb%3E")
    assert "No dataset has “&lt;b&gt;”" in none


def test_the_newest_file_is_looked_into_and_nothing_in_it_is_html(node: Serving) -> None:
    text = page(node, "/view/datasets/PROBE-data")

    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "root:" not in text
    assert "onerror=alert(1)&gt;␊\\u202e\\xff.txt" in text


@pytest.mark.parametrize(
    ("file", "seen"),
    [
        ("a.csv", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a.csv", 'data-v="1793491200.0"'),
        ("z.png", '<img class="look" src="/api/v1/runs/'),
        ("t.txt", "colours ␛[31m here \\u202e"),
        ("o.bin", "0000  00 01"),
        ("n.csv", "<bdi>\\u202e&lt;img src=x&gt;</bdi> over <bdi>time</bdi>"),
        ("n.csv", ">2026-11-02 00:00:00</td>"),
    ],
)
def test_a_file_is_chosen_and_shown_as_what_it_is(node: Serving, file: str, seen: str) -> None:
    assert seen in page(node, f"/view/datasets/probe-data?file={file}")


@pytest.mark.parametrize("file", ["link.csv", "../log", "/etc/passwd", "nothing"])
def test_no_other_file_is_shown(node: Serving, file: str) -> None:
    text = page(node, f"/view/datasets/probe-data?file={file}")
    assert "root:" not in text


def test_the_growth_is_there_and_the_remote_is_asked_afterwards(node: Serving) -> None:
    text = page(node, "/view/datasets/probe-data")
    assert "the runs of this node alone" in text
    assert 'hx-get="/view/datasets/probe-data/growth"' in text

    asked = page(node, "/view/datasets/probe-data/growth", **{"HX-Request": "true"})

    assert "The remote was asked just now." in asked
    assert "its history as it was" in asked
    assert 'hx-swap-oob="outerMorph"' in asked
    assert "<html" not in asked


def test_who_has_no_scripts_asks_the_remote_by_a_link(node: Serving) -> None:
    link = re.search('<noscript><p><a href="([^"]+)"', page(node, "/view/datasets/probe-data"))
    assert link

    text = page(node, link[1])

    assert "The remote was asked just now." in text
    assert "<h1>probe-data</h1>" in text
    assert '<a href="/view/datasets/probe-data">' in text


def test_a_remote_that_cannot_be_reached_is_told_of_in_words(node: Serving, tmp_path: Path) -> None:
    remote = bare(tmp_path / "gone.git")
    node.api("POST", "/datasets", {"name": "gone", "url": str(remote), "description": "<b>\u202eturned"})
    shutil.rmtree(remote)

    text = page(node, "/view/datasets/gone")
    assert "<bdi>&lt;b&gt;" in text
    assert "Nothing is known to have been published to it." in text
    assert "The remote could not tell what is new: " in page(node, "/view/datasets/gone/growth")


def test_files_with_a_secret_are_not_shown(node: Serving) -> None:
    node.ended(node.run("Leak", "@keyring:token"))

    text = page(node, "/view/datasets/probe-data?file=leak.csv")

    assert "fa63b1c0dd" not in text
    assert "a.csv" in text, "the run before is looked into"


def test_only_who_may_is_shown_how_to_change_something(node: Serving) -> None:
    for path in ("/view/datasets", "/view/datasets/probe-data"):
        reader = node.over_tcp("GET", path, token=node.token("read"))
        assert reader.status == 200
        assert "data-send" not in reader.body.decode()
        assert "data-send" in page(node, path)


def test_a_dataset_that_is_not_there_is_a_page_that_says_so(node: Serving) -> None:
    reply = node.request("GET", "/view/datasets/nothing", headers={"Accept": "text/html"})

    assert reply.status == 404
    assert re.search("No dataset is registered as", reply.body.decode())
