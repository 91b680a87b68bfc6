from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from serving import Serving, serving
from support import bare, commit, tool_files

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = {
    "Look": r"""cd "$MAO_DATA_DIR"
mkdir -p a; printf 'time,value\n' > a/b.csv
printf '<script>alert(1)</script>' > page.html
printf '\x89PNG\r\n\x1a\n....' > picture.png
printf '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>' > drawing.svg
printf '\0\1\2' > octets.bin
printf x > "$(printf '<b>\n\xe2\x80\xae"\xff.txt')"
printf late > late.txt
ln -s a/b.csv inside
""",
    "Leak": 'cd "$MAO_DATA_DIR"; printf "$MAO_SECRET_TOKEN" > leak.txt; printf fine > fine.txt',
    "Keep": 'printf kept > "$MAO_DATA_DIR/kept.txt"',
    "Fail": 'printf kept > "$MAO_DATA_DIR/left.txt"; exit 1',
}
ARGUMENTS = "    Arguments: [{Name: Token, Type: secret}]\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("files")
    files = tool_files(bare(place / "data.git"), scripts=SCRIPTS)
    files["mao.yaml"] = files["mao.yaml"].replace("    Script: Leak.sh\n", f"    Script: Leak.sh\n{ARGUMENTS}")
    commit(place / "probe", files)
    with serving(place / "home") as node:
        node.install(place / "probe")
        node.api("PUT", "/secrets/token", {"value": "fa63b1c0dd"})
        yield node


@pytest.fixture(scope="module")
def run(node: Serving) -> Any:
    """A run whose files a tool has made that means harm."""
    run = node.ended(node.run("Look"))
    data = node.home / "runs" / run["id"] / "data"
    (data / "late.txt").unlink()
    (data / "late.txt").symlink_to("/etc/passwd")
    (data / "more.txt").write_text("not of the run")
    return run


def content(node: Serving, run: Any, path: str, what: str = "runs") -> Any:
    return node.request("GET", f"/api/v1/{what}/{run['id']}/content?path={quote(path, safe='')}")


def test_the_files_of_a_run_are_listed_in_pages(node: Serving, run: Any) -> None:
    first = node.api("GET", f"/runs/{run['id']}/files?page_size=3")
    rest = node.api("GET", f"/runs/{run['id']}/files?page_token={first['next_page_token']}")

    listed = first["items"] + rest["items"]
    assert [file["path"] for file in listed] == [file["path"] for file in run["publication"]["files"]]
    assert {"path": "a/b.csv", "size": 11, "here": True} in listed


@pytest.mark.parametrize(
    ("path", "media_type", "kind"),
    [
        ("a/b.csv", "text/plain; charset=utf-8", "inline"),
        ("page.html", "text/plain; charset=utf-8", "inline"),
        ("picture.png", "image/png", "inline"),
        ("drawing.svg", "image/svg+xml", "attachment"),
        ("octets.bin", "application/octet-stream", "attachment"),
    ],
)
def test_a_file_comes_as_what_cannot_do_harm(node: Serving, run: Any, path: str, media_type: str, kind: str) -> None:
    reply = content(node, run, path)

    assert (reply.status, reply.headers["content-type"]) == (200, media_type)
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-disposition"].startswith(f"{kind}; filename*=UTF-8''")
    assert len(reply.body) == int(reply.headers["content-length"])


def test_a_name_that_is_no_text_is_found_as_it_is_shown(node: Serving, run: Any) -> None:
    path = '<b>\n\u202e"\\xff.txt'

    reply = content(node, run, path)

    assert reply.body == b"x"
    assert reply.headers["content-disposition"] == "inline; filename*=UTF-8''%3Cb%3E%0A%E2%80%AE%22%FF.txt"


@pytest.mark.parametrize(
    "path",
    [
        "inside",
        "late.txt",
        "more.txt",
        "../log",
        "a",
        "a/../a/b.csv",
        "/etc/passwd",
        "./a/b.csv",
        "a/b.csv/",
        "\0",
        "x",
    ],
)
def test_no_other_file_comes_and_no_link_is_followed(node: Serving, run: Any, path: str) -> None:
    reply = content(node, run, path)

    assert (reply.status, reply.json["code"]) == (404, "path-not-found")


def test_a_file_of_a_run_that_holds_a_secret_is_not_shown(node: Serving) -> None:
    run = node.ended(node.run("Leak", "@keyring:token"))
    assert run["publication"]["cause"] == "secret-in-data"

    listed = node.api("GET", f"/runs/{run['id']}/files")["items"]
    assert [(file["path"], file["here"]) for file in listed] == [("fine.txt", False), ("leak.txt", False)]
    for path in ("leak.txt", "fine.txt"):
        reply = content(node, run, path)
        assert (reply.status, reply.json["code"]) == (409, "secret-in-data")
        assert b"fa63b1c0dd" not in reply.body


def test_what_was_kept_back_is_shown_and_what_failed_left_behind_is_not(node: Serving) -> None:
    kept = node.ended(node.run("Keep", publish=False))
    failed = node.ended(node.run("Fail"))

    assert content(node, kept, "kept.txt").body == b"kept"
    assert node.api("GET", f"/runs/{failed['id']}/files")["items"] == []
    assert content(node, failed, "left.txt").status == 404


def test_files_that_were_removed_are_told_of(node: Serving) -> None:
    run = node.ended(node.run("Keep", publish=False))
    data = node.home / "runs" / run["id"] / "data"
    (data / "kept.txt").write_text("other content")
    assert "was changed" in content(node, run, "kept.txt").json["detail"]

    (data / "kept.txt").unlink()
    data.rmdir()

    assert node.api("GET", f"/runs/{run['id']}/files")["items"] == [{"path": "kept.txt", "size": 4, "here": False}]
    assert "Clone the dataset" in content(node, run, "kept.txt").json["detail"]


@pytest.mark.usefixtures("run")
def test_of_a_clone_the_files_of_the_dataset_are_shown_and_no_others(node: Serving) -> None:
    node.api("POST", "/clones", {"dataset": "probe-data"})
    clone = node.api("GET", "/clones/probe-data", Prefer="wait=60")
    path = node.home / "clones" / "probe-data"
    (path / "own.txt").write_text("of this machine")
    os.mkfifo(path / "pipe")
    clone["id"] = "probe-data"

    listed = [file["path"] for file in node.api("GET", "/clones/probe-data/files")["items"]]

    assert {"a/b.csv", "page.html", '<b>\n\u202e"\\xff.txt'} <= set(listed)
    assert not {"own.txt", "pipe", "inside", ".git/config"} & set(listed)
    assert content(node, clone, "a/b.csv", "clones").body == b"time,value\n"
    assert content(node, clone, '<b>\n\u202e"\\xff.txt', "clones").body == b"x"
    for other in ("own.txt", ".git/config", "inside", "pipe", "../probe-data/a/b.csv"):
        assert content(node, clone, other, "clones").status == 404
    assert node.request("GET", "/api/v1/clones/other/files").json["code"] == "not-cloned"


def test_how_long_a_file_is_can_be_asked_without_it(node: Serving, run: Any) -> None:
    reply = node.request("HEAD", f"/api/v1/runs/{run['id']}/content?path=a/b.csv")

    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "11", b"")
