from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mao.policy import allows, is_pinned, matches, pattern_fault

OURS = "https://github.com/institute/*"

PART = st.text("aB9-_.~ é", min_size=1, max_size=8).filter(
    lambda part: part.strip(".") and part.strip() == part and part.removesuffix(".git") not in {"", ".", ".."}
)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/institute/tool",
        "https://github.com/institute/tool.git",
        "https://github.com/institute/tool/",
        "https://github.com/institute/tool.git/",
        "HTTPS://GitHub.COM/institute/tool",
        "https://github.com:443/institute/tool",
        "https://token@github.com/institute/tool",
        "https://user:word@github.com/institute/tool",
        "https://github.com/institute/t%6Fol",
        "https://github.com/%69nstitute/tool",
    ],
)
def test_one_remote_can_be_written_in_many_ways(url: str) -> None:
    assert matches(OURS, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/institute/tool",
        "ssh://github.com/institute/tool",
        "git@github.com:institute/tool",
        "https://github.com/institute",
        "https://github.com/institute/",
        "https://github.com/institute//tool",
        "https://github.com//institute/tool",
        "https://github.com/institute/tool/more",
        "https://github.com/Institute/tool",
        "https://github.com/institutes/tool",
        "https://github.com.evil.org/institute/tool",
        "https://evil-github.com/institute/tool",
        "https://evil.org/github.com/institute/tool",
        "https://github.com@evil.org/institute/tool",
        "https://github.com:443@evil.org/institute/tool",
        "https://github.com%40evil.org/institute/tool",
        "https://github.com%2Finstitute%2Ftool@evil.org/institute/tool",
        "https://evil.org@me@github.com/institute/tool",
        "https://github.com\\@evil.org/institute/tool",
        "https://github.com\\institute\\tool",
        "https://evil.org#@github.com/institute/tool",
        "https://evil.org?@github.com/institute/tool",
        "https://github.com/institute/tool?x=y",
        "https://github.com/institute/tool#x",
        "https://github.com/institute/../evil",
        "https://github.com/institute/tool/../../evil/tool",
        "https://github.com/institute/..",
        "https://github.com/institute/.",
        "https://github.com/institute/%2e%2e",
        "https://github.com/institute/.%2E",
        "https://github.com/institute/%2e%2e%2fevil",
        "https://github.com/institute/a%2fb",
        "https://github.com/institute/%252e%252e",
        "https://github.com/institute/%5c..%5cevil",
        "https://github.com/institute/%00",
        "https://github.com/institute/%zz",
        "https://github.com/institute/%ff",
        "https://github.com/institute/tool\n",
        "https://github.com/institute/to\u200bol",
        "https://github.com:8443/institute/tool",
        "https://github.com:/institute/tool",
        "https://github.com:0443x/institute/tool",
        "https://github.com:99999/institute/tool",
        "https://github.com./institute/tool",
        "https://g\u0456thub.com/institute/tool",  # a Cyrillic letter
        "https://\u212aithub.com/institute/tool",  # the sign of the kelvin
        "https:///github.com/institute/tool",
        "https:/github.com/institute/tool",
        "https://",
        "ext::sh -c https://github.com/institute/tool",
        "file://github.com/institute/tool",
        "/github.com/institute/tool",
        "",
    ],
)
def test_no_other_remote_passes_for_it(url: str) -> None:
    assert not matches(OURS, url)


@pytest.mark.parametrize(
    ("pattern", "url", "is_one"),
    [
        ("git@github.com:institute/*", "git@github.com:institute/tool.git", True),
        ("git@github.com:institute/*", "ssh://git@github.com/~/institute/tool", True),
        ("git@github.com:institute/*", "ssh://git@github.com:22/institute/tool", False),  # elsewhere on most hosts
        ("git@github.com:institute/*", "evil@github.com:institute/tool", False),  # in another home
        ("git@github.com:institute/*", "github.com:institute/tool", False),
        ("git@github.com:institute/*", "git@github.com:institute/../evil", False),
        ("git@github.com:institute/*", "git@github.com:~evil/institute/tool", False),
        ("ssh://git@host/srv/git/**", "git@host:/srv/git/deep/er.git", True),
        ("ssh://git@host/srv/git/**", "ssh://git@host:22/srv/git/tool", True),
        ("ssh://git@host/srv/git/**", "ssh://git@host/srv/git", False),
        ("ssh://git@host/srv/git/**", "ssh://git%40evil@host/srv/git/tool", False),
        ("ssh://git@[::1]:2222/**", "ssh://git@[::1]:2222/tool", True),
        ("ssh://git@[::1]/**", "ssh://git@[::1]:2222/tool", False),
        ("/srv/tools/*", "/srv/tools/probe", True),
        ("/srv/tools/*", "file:///srv/tools/probe.git", True),
        ("/srv/tools/*", "file:///srv/tools/%2e%2e/secret", False),
        ("/srv/tools/*", "/srv/tools/../secret", False),
        ("/srv/tools/*", "/srv/tools/%2e%2e", False),
        ("/srv/tools/*", "file://host/srv/tools/probe", False),
        ("/srv/tools/*", "/srv/tools/a/b", False),
        ("file:///srv/tools/**", "/srv/tools/a/b", True),
        ("https://host/a*c/x", "https://host/abbc/x", True),
        ("https://host/a*c/x", "https://host/ab/c/x", False),
        ("https://host/a.c/x", "https://host/abc/x", False),
        ("https://host/one", "https://host/one.git", True),
        ("https://host/one", "https://host/two", False),
        ("https://user:word@host/one", "https://host/one", True),
        ("http://host:80/**", "http://host/one/two", True),
    ],
)
def test_patterns_are_read_as_remotes_are(pattern: str, url: str, *, is_one: bool) -> None:
    assert pattern_fault(pattern) is None
    assert matches(pattern, url) is is_one


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "x/*",
        "host/x",
        "https://host",
        "https://*/x",
        "https://*.org/x",
        "https://host/**/x",
        "https://host/a**",
    ],
)
def test_a_pattern_that_says_not_clearly_what_it_means_is_none(pattern: str) -> None:
    assert pattern_fault(pattern)
    assert not matches(pattern, "https://host/x")


@given(st.lists(PART, min_size=1, max_size=4), st.sampled_from(["", "/", ".git", ".git/"]))
def test_a_remote_matches_itself_however_its_path_is_encoded(parts: list[str], end: str) -> None:
    plain = "https://host/" + "/".join(parts)
    encoded = "https://HOST:443/" + "/".join(quote(part, safe="") for part in parts)
    assert matches(plain, plain + end)
    assert matches(plain, encoded + end)


@given(st.text(max_size=20))
@example("@evil.org/institute/tool")
@example("/../evil/tool")
@example("%2f..%2fevil")
def test_whatever_is_appended_to_a_host_or_folder_stays_below_it(text: str) -> None:
    """What matches begins, as anybody reads it, with the host and folder of the pattern, and never goes up again."""
    for url in ("https://github.com" + text, "https://github.com/institute/" + text, "https://" + text):
        if matches(OURS, url):
            place, _, path = url.removeprefix("https://").partition("/")
            assert place.rpartition("@")[2].lower() in {"github.com", "github.com:443"}
            folder, _, name = path.partition("/")
            assert folder == "institute" or "%" in folder
            assert name.removesuffix("/") not in {"", ".", ".."}
            assert "/" not in name.removesuffix("/")


def test_without_a_pattern_all_remotes_are_allowed() -> None:
    assert allows((), "anything")
    assert allows((OURS, "/srv/*"), "/srv/probe")
    assert not allows((OURS, "/srv/*"), "/home/probe")


@pytest.mark.parametrize(
    ("ref", "pinned"),
    [
        ("refs/tags/v1", True),
        ("a" * 40, True),
        ("a" * 64, True),
        ("a" * 39, False),
        ("refs/heads/main", False),
        ("refs/heads/" + "a" * 40, False),
        ("HEAD", False),
    ],
)
def test_a_tag_and_a_full_commit_name_one_commit_for_good(ref: str, *, pinned: bool) -> None:
    assert is_pinned(ref) is pinned
