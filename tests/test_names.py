from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.names import NAME_PATTERN, folder_fault, is_absolute_remote, name_fault, nearest, remote_fault


@pytest.mark.parametrize("name", ["a", "7", "Probe-2.x_y", "0" * 100, "console", "gitx", "a.locked", "com", "lpt10x"])
def test_these_are_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", "x" * 101, ".a", "-a", "_a", "a b", "a/b", "a\n", "\na", "ä", "a\x00", "a:b", "a~1", "a\\b"),
        *("con", "CON", "Nul.txt", "com1", "LPT9.data"),
        *("a..b", "a.", "a.lock", "a.LOCK", "a.git", "a.Git"),
    ],
)
def test_these_are_no_names(name: str) -> None:
    assert name_fault(name)


@given(st.text(st.characters(codec="utf-8"), max_size=120))
def test_every_name_is_safe_as_a_file_and_as_a_part_of_a_ref(text: str) -> None:
    if name_fault(text) is None:
        assert re.fullmatch(NAME_PATTERN, text)
        assert not text.startswith((".", "-"))
        assert not {"/", "\\", ":", "\x00", "\n", " "} & set(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/data.git",
        "HTTPS://example.org/data.git",
        "http://127.0.0.1:8080/x",
        "ssh://git@example.org:22/data.git",
        "ssh://git@[::1]/data.git",
        "file:///srv/data.git",
        "git@example.org:data.git",
        "/srv/data.git",
        "relative/data.git",
        "host:path/with::colons",
    ],
)
def test_these_are_remotes(url: str) -> None:
    assert remote_fault(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must not be empty"),
        ("-uexec", "begin with '-'"),
        ("--upload-pack=touch /tmp/x", "begin with '-'"),
        ("https://a/\nb", "control characters"),
        ("https://a/\x7fb", "control characters"),
        ("ext::sh -c touch%20x", "remote helper"),
        ("fd::17", "remote helper"),
        ("transport::https://example.org", "remote helper"),
        ("git://example.org/x", "scheme 'git'"),
        ("ftp://example.org/x", "scheme 'ftp'"),
        ("ssh://-oProxyCommand=x/y", "begins with '-'"),
        ("https://", "no host"),
        ("host:-oProxyCommand=x", "begins with '-'"),
    ],
)
def test_these_are_no_remotes_and_the_reason_is_given(url: str, why: str) -> None:
    assert why in str(remote_fault(url))


def test_a_relative_path_means_another_remote_elsewhere() -> None:
    assert [is_absolute_remote(url) for url in ("/a", "https://a/b", "git@a:b", "a/b", "../a", "./a:b")] == [
        *(True, True, True),
        *(False, False, False),
    ]


def test_the_nearest_word_is_found_regardless_of_case() -> None:
    known = ["Measure", "Upload", "measure-all"]
    assert nearest("mesure", known) == "Measure"
    assert nearest("UPLAOD", known) == "Upload"
    assert nearest("zzz", known) is None
    assert nearest("x", []) is None


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/", ".", ".hidden", "a b", "-a", "...", "ü", "a.git", "*"])
def test_these_can_be_folders_of_a_dataset(path: str) -> None:
    assert folder_fault(path) is None


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "..", "a/../b", "./a", "a/.", "a//b", ".git", "a/.GIT/b", "a\nb", "\x00"]
)
def test_these_can_not(path: str) -> None:
    assert folder_fault(path)
