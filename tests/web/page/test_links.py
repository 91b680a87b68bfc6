from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.web.page.links import commit_url

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/someone/tool", "https://github.com/someone/tool/commit/"),
        ("https://github.com/someone/tool.git", "https://github.com/someone/tool/commit/"),
        ("HTTPS://GitHub.com/someone/tool.git/", "https://github.com/someone/tool/commit/"),
        ("https://gitlab.com/group/below/tool.git", "https://gitlab.com/group/below/tool/-/commit/"),
        ("https://gitlab.example.org:8443/g/tool", "https://gitlab.example.org:8443/g/tool/-/commit/"),
        ("https://codeberg.org/someone/tool.git", "https://codeberg.org/someone/tool/commit/"),
        ("http://gitea.lan:3000/someone/tool", "http://gitea.lan:3000/someone/tool/commit/"),
        ("https://forgejo.example.org/a/b", "https://forgejo.example.org/a/b/commit/"),
        ("https://bitbucket.org/a/b.git", "https://bitbucket.org/a/b/commits/"),
        ("git@github.com:someone/tool.git", "https://github.com/someone/tool/commit/"),
        ("ssh://git@gitlab.com:22/someone/tool.git", "https://gitlab.com/someone/tool/-/commit/"),
        ("https://user:secret@github.com/a/b", "https://github.com/a/b/commit/"),
        ("https://github.com/a/b c<script>", "https://github.com/a/b%20c%3Cscript%3E/commit/"),
    ],
)
def test_hosts_that_are_known_have_a_page_for_each_commit(remote: str, page: str) -> None:
    assert commit_url(remote, COMMIT) == page + COMMIT


@pytest.mark.parametrize(
    "remote",
    [
        "/srv/tools/probe",
        "file:///github.com/a/b",
        "https://example.org/github.com/a",
        "https://notgithub.com/a/b",
        "https://github.com/a",
        "https://github.com/../../b",
        "https://github.com/a/%2e%2e/b",
        "https://github.com/a/b?x=/c/d",
        "https://github.com\\@evil.org/a/b",
        "https://evil.org#github.com/a/b",
        "javascript://github.com/%0aalert(1)",
        "javascript:alert(1)//github.com/a/b",
        "https://github.com/a/b\u202e",
        "",
    ],
)
def test_others_have_none(remote: str) -> None:
    assert commit_url(remote, COMMIT) is None


@pytest.mark.parametrize("commit", ["", "main", COMMIT + "/x", COMMIT.upper(), '"><script>'])
def test_what_is_no_commit_has_none(commit: str) -> None:
    assert commit_url("https://github.com/a/b", commit) is None


@given(remote=st.one_of(st.text(), st.from_regex(r"(https?|javascript|data|ssh)://.*github\.com/.*/.*")))
def test_nothing_but_pages_of_the_web_comes_out(remote: str) -> None:
    url = commit_url(remote, COMMIT)
    assert url is None or (url.startswith(("http://", "https://")) and url.isascii() and url.isprintable())
    if url is not None:
        assert not set(url) & set("\"'<>\\ ")
        assert "@" not in urlsplit(url).netloc
