"""Each cause for which a remote fails has its words, its page, and a rule for trying again that keeps its bounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mao.errors import Conflict, DiskFull, OutsideFailed, RegistryUnavailable
from mao.failures import FAILURES, classify, known, pause, spread
from mao.retry import RATE_LIMITED, Failure

PAGE = (Path(__file__).parent.parent / "docs/reference/failures.md").read_text("utf-8")
FIRST, LONGEST = 5.0, 3600.0  # as they are if nobody sets them
MINUTE, HOUR = 60.0, 3600.0

causes = st.sampled_from([failure.cause for failure in FAILURES])
attempts = st.integers(1, 2000)
chances = st.floats(0, 1)
seconds = st.floats(0.01, 1e6)


def pauses(cause: str, *, first: float = FIRST, longest: float = LONGEST, count: int = 40) -> list[float]:
    found = [pause(cause, attempt, first, longest) for attempt in range(1, count + 1)]
    return [waited for waited in found if waited is not None]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.cause)
def test_every_cause_has_its_words_and_is_on_the_page(failure: Failure) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", failure.cause)
    for words in (failure.means, failure.remedy):
        assert re.fullmatch(r"[A-Z\[g].*\.", words), words
    assert f"`{failure.cause}`" in PAGE
    assert failure.means in PAGE
    assert failure.remedy in PAGE


def test_no_cause_is_there_twice() -> None:
    assert len({failure.cause for failure in FAILURES}) == len(FAILURES)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.cause)
def test_every_cause_is_an_error_that_publishing_knows(failure: Failure) -> None:
    assert issubclass(failure.error, OutsideFailed | DiskFull | Conflict | RegistryUnavailable)
    assert not issubclass(failure.error, Conflict) or failure.retry is None


@given(causes, attempts, seconds, seconds)
def test_pauses_grow_and_stay_within_their_bounds(cause: str, attempt: int, first: float, longest: float) -> None:
    retry = known(cause).retry
    now, then = pause(cause, attempt, first, longest), pause(cause, attempt + 1, first, longest)
    if retry is None or now is None or then is None:
        assert (retry, now, then) == (None, None, None)
        return
    assert retry.least <= now <= then <= max(longest, retry.least)
    assert then <= max(now * 2, retry.least)


@given(causes, attempts, seconds, seconds, chances)
def test_chance_takes_its_share_of_a_pause_and_no_more(
    cause: str, attempt: int, first: float, longest: float, chance: float
) -> None:
    retry, waited = known(cause).retry, pause(cause, attempt, first, longest)
    if retry is None or waited is None:
        return
    assert max(retry.least, waited * (1 - retry.chance)) <= spread(cause, waited, chance) <= waited


def test_a_lost_race_is_run_again_at_once_at_a_random_moment() -> None:
    waited = pauses("lost-race")
    assert waited[0] == 1
    assert waited[-1] == MINUTE
    assert spread("lost-race", 1, chance=1) == 0


def test_the_network_gets_the_pauses_that_are_set() -> None:
    assert pauses("unreachable")[:4] == [5, 10, 20, 40]
    assert pauses("unreachable")[-1] == HOUR
    assert pauses("timed-out", first=2, longest=7) == [2, 4] + [7] * 38


@pytest.mark.parametrize(
    "cause",
    ["remote-locked", "not-allowed", "host-key", "no-such-repository", "hook-declined", "protected-branch", "quota"],
)
def test_what_somebody_has_to_mend_is_tried_from_time_to_time(cause: str) -> None:
    assert pauses(cause)[0] == MINUTE
    assert pauses(cause)[-1] == HOUR


def test_a_host_that_limits_pushes_is_left_alone_for_a_minute_whatever_is_set() -> None:
    waited = pauses("rate-limited")
    assert waited[0] >= MINUTE
    assert waited[-1] == 15 * MINUTE
    for first, longest in ((0.2, 1), (0.01, 3600), (5, 30)):
        hasty = pauses("rate-limited", first=first, longest=longest)
        assert min(spread("rate-limited", waited, chance=1) for waited in hasty) == RATE_LIMITED.least == MINUTE


@pytest.mark.parametrize("cause", ["file-too-large", "push-too-large", "remote-rewritten", "path-clash"])
def test_what_needs_a_decision_is_not_tried_again(cause: str) -> None:
    assert pauses(cause) == []


def test_the_settings_of_tests_make_every_other_pause_short() -> None:
    for failure in FAILURES:
        assert failure.retry is RATE_LIMITED or max(pauses(failure.cause, first=0.2, longest=1), default=0) <= 1


def test_a_cause_that_is_not_in_the_table_is_one_of_git() -> None:
    assert known("remote-refused").cause == "git-failed"
    assert pause("something-new", 1, FIRST, LONGEST) == FIRST
    assert classify("fatal: something new") is None


WORDS = [
    # newer git, other moments of a race
    ("!\tx:refs/heads/main\t[remote rejected] (incorrect old value provided)", "lost-race"),
    ("!\tx:refs/heads/main\t[remote rejected] (reference already exists)", "lost-race"),
    ("!\tx:refs/heads/main\t[rejected] (atomic push failed)\n!\tx:y\t[rejected] (fetch first)", "lost-race"),
    ("remote: error: cannot lock ref 'refs/mao/x': reference is missing but expected 12ab        ", "lost-race"),
    (
        (
            "!\t:refs/mao/x\t[remote rejected] (failed to update ref)\n"
            "remote: error: cannot lock ref 'refs/mao/x': unable to resolve reference 'refs/mao/x'        \n"
        ),
        "lost-race",
    ),
    # GitHub
    (
        (
            "!\tx:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n"
            "remote: error: File a.csv is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB\n"
            "remote: error: GH001: Large files detected."
        ),
        "file-too-large",
    ),
    (
        (
            "!\tx:refs/heads/main\t[remote rejected] (pre-receive hook declined)\nremote: no\n"
            "remote: warning: File a is 51.00 MB; this is larger than GitHub's recommended maximum file size of 50 MB\n"
            "remote: warning: GH001: Large files detected."
        ),
        "hook-declined",
    ),
    (
        (
            "!\tx:refs/heads/main\t[remote rejected] (protected branch hook declined)\n"
            "remote: error: GH006: Protected branch update failed for refs/heads/main."
        ),
        "protected-branch",
    ),
    (
        "!\tx:refs/heads/main\t[remote rejected] (push declined due to repository rule violations)\nremote: GH013",
        "hook-declined",
    ),
    ("remote: fatal: pack exceeds maximum allowed size (2.00 GiB)\nerror: RPC failed; curl 92", "push-too-large"),
    (
        "!\tx:refs/heads/m\t[remote rejected] (failed)\nremote: fatal: pack exceeds maximum allowed size",
        "push-too-large",
    ),
    ("remote: You have exceeded a secondary rate limit.\nThe requested URL returned error: 403", "rate-limited"),
    ("remote: Permission to a/b.git denied to c.\nThe requested URL returned error: 403", "not-allowed"),
    ("ERROR: The key you are authenticating with has been marked as read only.", "not-allowed"),
    ("!\tx:refs/pull/1/head\t[remote rejected] (deny updating a hidden ref)", "refs-refused"),
    # GitLab
    (
        (
            "!\tx:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n"
            "remote: GitLab: You are attempting to check in one or more blobs which exceed the 100.0MiB limit:"
        ),
        "file-too-large",
    ),
    (
        (
            "!\tx:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n"
            "remote: GitLab: You are not allowed to push code to protected branches on this project."
        ),
        "protected-branch",
    ),
    (
        (
            "remote: Your push to this repository cannot be completed as it would exceed the allocated storage for your"
            " project."
        ),
        "quota",
    ),
    ("remote: Your push has been rejected, because this repository has exceeded its size limit of 10 GB", "quota"),
    ("remote: This endpoint has been requested too many times. Try again later.", "rate-limited"),
    ("remote: GitLab: You are not allowed to push code to this project.", "not-allowed"),
    # other hosts, and what stands before them
    ("remote: Quota exceeded\nfatal: unable to access 'x': The requested URL returned error: 413", "quota"),
    ("remote: This repository is over its data quota.", "quota"),
    ("!\tx:refs/heads/m\t[remote rejected] (unpacker error)\nremote: fatal: Disk quota exceeded", "remote-disk-full"),
    ("error: file write error: Disk quota exceeded", "disk-full"),
    ("error: remote unpack failed: error Object too large (2,577 bytes), rejecting the pack.", "file-too-large"),
    ("remote: Push contains files exceeding the size limit:\n(pre-receive hook declined)", "file-too-large"),
    ("!\tx:refs/mao/y\t[remote rejected] (prohibited by Gerrit: not permitted: create)", "refs-refused"),
    ("!\tx:refs/heads/y\t[remote rejected] (prohibited by Gerrit: not permitted: update)", "protected-branch"),
    ("!\tx:refs/mao/y\t[remote rejected] (for a reason of its own)", "refs-refused"),
    ("!\tx:refs/heads/y\t[remote rejected] (for a reason of its own)", "refused-by-remote"),
    ("error: RPC failed; result=22, HTTP code = 413", "push-too-large"),
    ("error: RPC failed; HTTP 429 curl 22 The requested URL returned error: 429", "rate-limited"),
    ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", "unreachable"),
    ("fatal: unable to access 'x': The requested URL returned error: 410", "no-such-repository"),
    ("fatal: unable to access 'https://x/rate-limit/quota.git/': Could not resolve host: x", "unreachable"),
    ("fatal: unable to access 'x': SSL certificate problem: self-signed certificate", "host-key"),
    ("kex_exchange_identification: Connection closed by remote host", "unreachable"),
    ("fatal: the receiving end does not support --atomic push", "atomic-unsupported"),
]


@pytest.mark.parametrize(("words", "cause"), WORDS)
def test_words_of_hosts_that_cannot_be_had_here_are_known(words: str, cause: str) -> None:
    found = classify(words)
    assert found is not None
    assert found.cause == cause
