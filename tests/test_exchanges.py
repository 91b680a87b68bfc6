"""Exchanges with real remotes that fail, each for a cause of its own: over files, HTTP, TLS and SSH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from mao.errors import DiskFull, MaoError, RemoteRefused, RemoteUnreachable
from mao.git import Git, failure, fetchable
from mao.git_environment import MARKER
from mao.processes import marked
from remotes import http_remotes, silent, ssh_host
from support import PATIENCE, bare, commit, eventually, fill, free_port, git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remotes import GitHandler, SshHost

MAIN = "HEAD:refs/heads/main"


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Git]:
    """git as a node calls it; nothing of it may be left in the end."""
    home = tmp_path / "home"
    home.mkdir()
    made = Git(home, time_limit=PATIENCE, allow_http=True)
    yield made
    eventually(lambda: not marked(MARKER, str(home)), "what was started has ended")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository with a commit that the remote has, and one that is to be pushed."""
    repository = tmp_path / "work"
    commit(repository, {"first": "1"})
    commit(repository, {"second": "2"})
    return repository


@pytest.fixture
def remote(tmp_path: Path, work: Path) -> Path:
    made = bare(tmp_path / "remotes" / "data.git")
    git("push", "--quiet", made, "HEAD^:refs/heads/main", cwd=work)
    git("config", "http.receivepack", "true", cwd=made)
    return made


def hook(remote: Path, name: str, script: str) -> None:
    path = remote / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def push(caller: Git, work: Path, url: str | Path, *refs: str, atomic: bool = False) -> MaoError:
    """The error of a push that has to fail."""
    options = ("--porcelain", "--atomic") if atomic else ("--porcelain",)
    with pytest.raises(MaoError) as refused:
        caller.run("push", *options, "--", str(url), *(refs or (MAIN,)), cwd=work)
    assert "hunter2" not in refused.value.detail
    return refused.value


def of(error: MaoError) -> tuple[str, type[MaoError]]:
    return error.cause, type(error)


def pushed_pack(request: GitHandler) -> bool:
    return request.command == "POST" and request.path.endswith("git-receive-pack")


# Over HTTP


@pytest.mark.parametrize(
    ("status", "words", "cause", "error"),
    [
        (401, "", "not-allowed", RemoteRefused),
        (403, "", "not-allowed", RemoteRefused),
        (403, "You have exceeded a secondary rate limit.", "rate-limited", RemoteRefused),
        (404, "", "no-such-repository", RemoteRefused),
        (413, "", "push-too-large", RemoteRefused),
        (413, "Quota exceeded", "quota", RemoteRefused),
        (429, "", "rate-limited", RemoteRefused),
        (500, "", "unreachable", RemoteUnreachable),
        (503, "", "unreachable", RemoteUnreachable),
        (503, "Too many requests: slow down", "rate-limited", RemoteRefused),
    ],
)
def test_a_host_that_refuses_before_it_looks_is_told_by_its_status_and_words(  # noqa: PLR0913, PLR0917
    caller: Git, work: Path, remote: Path, status: int, words: str, cause: str, error: type[MaoError]
) -> None:
    with http_remotes(remote.parent, lambda request: request.refuse(status, words)) as url:
        failed = push(caller, work, f"{url}/data.git")
    assert of(failed) == (cause, error), failed.detail


@pytest.mark.parametrize(
    ("status", "cause", "error"),
    [
        (401, "not-allowed", RemoteRefused),
        (403, "not-allowed", RemoteRefused),
        (404, "no-such-repository", RemoteRefused),
        (413, "push-too-large", RemoteRefused),
        (422, "refused-by-remote", RemoteRefused),
        (429, "rate-limited", RemoteRefused),
        (500, "unreachable", RemoteUnreachable),
        (503, "unreachable", RemoteUnreachable),
    ],
)
def test_a_host_that_refuses_what_is_sent_is_told_by_its_status(
    caller: Git, work: Path, remote: Path, status: int, cause: str, error: type[MaoError]
) -> None:
    with http_remotes(remote.parent, lambda request: pushed_pack(request) and request.refuse(status)) as url:
        failed = push(caller, work, f"{url}/data.git")
    assert of(failed) == (cause, error), failed.detail


def test_a_host_that_serves_but_takes_no_pushes_is_not_allowed(caller: Git, work: Path, remote: Path) -> None:
    git("config", "http.receivepack", "false", cwd=remote)
    with http_remotes(remote.parent) as url:
        caller.run("ls-remote", "--", f"{url}/data.git", cwd=work)
        assert of(push(caller, work, f"{url}/data.git")) == ("not-allowed", RemoteRefused)
        assert of(push(caller, work, f"{url}/nowhere.git")) == ("no-such-repository", RemoteRefused)


@pytest.mark.parametrize("status", [400, 411])
def test_a_push_whose_chunks_a_host_refuses_is_made_again_in_one_piece(
    caller: Git, work: Path, remote: Path, status: int
) -> None:
    commit(work, {"large": os.urandom(3_000_000)})
    sent: list[str] = []

    def without_length(request: GitHandler) -> bool:
        if not pushed_pack(request):
            return False
        chunked = "Transfer-Encoding" in request.headers
        sent.append("in chunks" if chunked else "whole")
        return chunked and request.refuse(status)

    with http_remotes(remote.parent, without_length) as url:
        caller.run("push", "--porcelain", "--", f"{url}/data.git", MAIN, cwd=work)
        commit(work, {"small": "3"})
        caller.run("push", "--porcelain", "--", f"{url}/data.git", MAIN, cwd=work)
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "HEAD", cwd=work)
    assert sent == ["whole", "in chunks", "whole", "whole"], "git first asks by 4 bytes whether it is let in"


def test_a_large_push_goes_in_chunks_where_the_host_takes_them(caller: Git, work: Path, remote: Path) -> None:
    commit(work, {"large": os.urandom(3_000_000)})
    chunked: list[bool] = []

    def noted(request: GitHandler) -> bool:
        if pushed_pack(request):
            chunked.append("Transfer-Encoding" in request.headers)
        return False

    with http_remotes(remote.parent, noted) as url:
        caller.run("push", "--porcelain", "--", f"{url}/data.git", MAIN, cwd=work)
    assert chunked[-1]
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "HEAD", cwd=work)


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl: certificates that are not trusted are NOT tested")
def test_a_host_whose_certificate_is_not_trusted_is_not_the_one(
    caller: Git, work: Path, remote: Path, tmp_path: Path
) -> None:
    key, certificate, both = tmp_path / "key", tmp_path / "certificate", tmp_path / "both"
    asked = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2")
    subprocess.run([*asked, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with http_remotes(remote.parent, certificate=both) as url:
        assert of(push(caller, work, f"{url}/data.git")) == ("host-key", RemoteRefused)


# Nobody there


@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_a_host_that_is_not_there_is_unreachable(caller: Git, work: Path, scheme: str) -> None:
    for host in (f"127.0.0.1:{free_port()}", "no-such-host.invalid"):
        assert of(push(caller, work, f"{scheme}://{host}/data.git")) == ("unreachable", RemoteUnreachable)


@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_a_host_that_takes_connections_and_never_answers_is_given_up_with_all_that_git_started(
    caller: Git, work: Path, scheme: str
) -> None:
    caller.time_limit = 1
    with silent() as port:
        began = time.monotonic()
        for command, *refs in (("push", MAIN), ("fetch",)):
            with pytest.raises(RemoteUnreachable, match="timed out") as given_up:
                caller.run(command, "--", f"{scheme}://127.0.0.1:{port}/x.git", *refs, cwd=work)
            assert given_up.value.cause == "timed-out"
            assert marked(MARKER, str(caller.home)) == set()
        assert time.monotonic() - began < PATIENCE


def test_one_exchange_can_have_a_time_limit_of_its_own(caller: Git, work: Path, remote: Path) -> None:
    over = threading.Event()
    caller.time_limit = 0.2
    with http_remotes(remote.parent, lambda _: not over.wait(1)) as url:
        command = ("ls-remote", "--", f"{url}/data.git")
        with pytest.raises(RemoteUnreachable, match=r"after 0\.1 s"):
            caller.run(*command, cwd=work, time_limit=0.1)
        with pytest.raises(RemoteUnreachable, match=r"after 0\.2 s"):
            caller.run(*command, cwd=work)
        over.set()
        assert caller.run(*command, cwd=work, time_limit=PATIENCE)


def test_a_connection_that_brings_nothing_any_more_is_dead_before_the_time_is_over(caller: Git, work: Path) -> None:
    # The time that a node gives it is longer than a test may take.
    with silent() as port:
        url = f"http://127.0.0.1:{port}/x.git"
        with pytest.raises(RemoteUnreachable, match="too slow") as dead:
            caller.run("-c", "http.lowSpeedTime=1", "ls-remote", "--", url, cwd=work)
    assert dead.value.cause == "unreachable"


def test_a_host_that_hangs_up_in_the_middle_is_unreachable(caller: Git, work: Path, remote: Path) -> None:
    def gone(request: GitHandler) -> bool:
        if pushed_pack(request):
            request.connection.close()
            request.close_connection = True
            return True
        return False

    with http_remotes(remote.parent, gone) as url:
        assert of(push(caller, work, f"{url}/data.git")) == ("unreachable", RemoteUnreachable)


def test_who_gives_git_up_ends_what_it_has_started(caller: Git, work: Path) -> None:
    with silent() as port:
        process = caller.start("ls-remote", "--", f"http://127.0.0.1:{port}/x.git", cwd=work)
        eventually(lambda: len(marked(MARKER, str(caller.home))) > 1, "git has started its helper")
        caller.abandon(process)
    assert marked(MARKER, str(caller.home)) == set()
    assert caller._live == set()


# Over SSH


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    with ssh_host(tmp_path / "ssh") as made:
        yield made


def push_by_ssh(host: SshHost, work: Path, remote: Path) -> list[str]:
    """The cause and class of the error of a push by a process whose ssh has the keys of `host`; none if it arrived."""
    program = (
        "import sys; from pathlib import Path; from mao.errors import MaoError; from mao.git import Git\n"
        "home, url, work = sys.argv[1:]\n"
        "try:\n"
        f"    Git(Path(home), {PATIENCE}).run('push', '--porcelain', '--', url, '{MAIN}', cwd=Path(work))\n"
        "except MaoError as error:\n"
        "    print(error.cause, type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, host.directory, host.url(remote), work],
        env=os.environ | {"GIT_SSH_COMMAND": host.command},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_what_is_the_matter_with_a_host_over_ssh_is_told_step_by_step(host: SshHost, work: Path, remote: Path) -> None:
    assert push_by_ssh(host, work, remote) == ["host-key", "RemoteRefused"], "it is not known"
    host.trust("other")
    assert push_by_ssh(host, work, remote) == ["host-key", "RemoteRefused"], "its key has changed"
    host.trust()
    assert push_by_ssh(host, work, remote) == ["not-allowed", "RemoteRefused"], "the node's key is not let in"
    host.allow()
    assert push_by_ssh(host, work, remote.with_name("nowhere.git")) == ["no-such-repository", "RemoteRefused"]
    hook(remote, "pre-receive", "exit 1")
    assert push_by_ssh(host, work, remote) == ["hook-declined", "RemoteRefused"]
    (remote / "hooks" / "pre-receive").unlink()
    assert push_by_ssh(host, work, remote) == []
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "HEAD", cwd=work)


# What a repository refuses


@pytest.fixture(params=["file", "http"])
def url(request: pytest.FixtureRequest, remote: Path) -> Iterator[str]:
    """The address of `remote`."""
    if request.param == "file":
        yield f"file://{remote}"
        return
    with http_remotes(remote.parent) as served:
        yield f"{served}/data.git"


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("no data on Mondays", "hook-declined"),
        ("error: File a.csv is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB", "file-too-large"),
        ("error: GH001: Large files detected. You may want to try Git Large File Storage.", "file-too-large"),
        ("GitLab: You are attempting to check in one or more blobs which exceed the 100.0MiB limit:", "file-too-large"),
        ("error: GH006: Protected branch update failed for refs/heads/main.", "protected-branch"),
        ("This repository is over its data quota.", "quota"),
        ("You have exceeded a secondary rate limit.", "rate-limited"),
    ],
)
def test_a_hook_that_declines_is_told_by_the_words_of_its_host(
    caller: Git, work: Path, remote: Path, url: str, words: str, cause: str
) -> None:
    hook(remote, "pre-receive", f'echo "{words}" >&2\nexit 1')
    error = push(caller, work, url)
    assert of(error) == (cause, RemoteRefused), error.detail
    assert words in error.detail


def test_a_push_above_the_limit_of_a_host_is_too_large(caller: Git, work: Path, remote: Path, url: str) -> None:
    git("config", "receive.maxInputSize", "100000", cwd=remote)
    commit(work, {"large": os.urandom(300_000)})
    error = push(caller, work, url)
    assert of(error) == ("push-too-large", RemoteRefused), error.detail


def test_refs_that_a_host_hides_are_refused(caller: Git, work: Path, remote: Path, url: str) -> None:
    git("config", "receive.hideRefs", "refs/mao", cwd=remote)
    assert of(push(caller, work, url, "HEAD:refs/mao/inbox/x")) == ("refs-refused", RemoteRefused)
    assert of(push(caller, work, url, ":refs/mao/inbox/x")) == ("refs-refused", RemoteRefused)
    assert of(push(caller, work, url, "HEAD:refs/funny")) == ("refs-refused", RemoteRefused)


def test_a_host_without_atomic_pushes_is_told(caller: Git, work: Path, remote: Path, url: str) -> None:
    git("config", "receive.advertiseAtomic", "false", cwd=remote)
    error = push(caller, work, url, MAIN, "HEAD:refs/mao/inbox/x", atomic=True)
    assert of(error) == ("atomic-unsupported", RemoteRefused), error.detail


def test_a_branch_that_somebody_works_on_is_refused(caller: Git, work: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(work, other)
    git("reset", "--quiet", "--hard", "HEAD^", cwd=other)
    assert of(push(caller, work, f"file://{other}")) == ("refused-by-remote", RemoteRefused)


def test_an_atomic_push_that_comes_too_late_is_a_lost_race(
    caller: Git, work: Path, remote: Path, tmp_path: Path
) -> None:
    both = (MAIN, "HEAD:refs/mao/inbox/x")
    rival = "env -u GIT_QUARANTINE_PATH git update-ref refs/heads/main $(git commit-tree main^{tree} -p main -m rival)"
    hook(remote, "pre-receive", f"test -e {tmp_path}/raced || {{ touch {tmp_path}/raced; {rival}; }}")
    for moment in ("in the same moment", "before"):
        error = push(caller, work, f"file://{remote}", *both, atomic=True)
        assert of(error) == ("lost-race", RemoteRefused), (moment, error.detail)
    assert git("for-each-ref", "refs/mao", cwd=remote) == ""


@pytest.mark.parametrize("atomic", [False, True])
def test_a_ref_that_another_takes_away_in_the_same_moment_is_a_lost_race(
    caller: Git, work: Path, remote: Path, *, atomic: bool
) -> None:
    git("update-ref", "refs/mao/inbox/x", "main", cwd=remote)
    hook(remote, "pre-receive", "env -u GIT_QUARANTINE_PATH git update-ref -d refs/mao/inbox/x")
    error = push(caller, work, f"file://{remote}", MAIN, ":refs/mao/inbox/x", atomic=atomic)
    assert of(error) == ("lost-race", RemoteRefused), error.detail


@pytest.mark.parametrize("atomic", [False, True])
def test_a_lock_that_was_left_at_the_remote_is_no_race(
    caller: Git, work: Path, remote: Path, url: str, *, atomic: bool
) -> None:
    (remote / "refs" / "heads" / "main.lock").touch()
    error = push(caller, work, url, MAIN, "HEAD:refs/mao/inbox/x", atomic=atomic)
    assert of(error) == ("remote-locked", RemoteRefused), error.detail


def test_a_full_disk_there_is_told_from_one_here(
    caller: Git, work: Path, remote: Path, tmp_path: Path, small_disk: Callable[[Path, int], None]
) -> None:
    small_disk(tmp_path / "disk", 2)
    full = tmp_path / "disk" / "data.git"
    shutil.copytree(remote, full)
    commit(work, {"large": os.urandom(3_000_000)})
    with http_remotes(full.parent) as url:
        for address in (f"file://{full}", f"{url}/data.git"):
            error = push(caller, work, address)
            assert of(error) == ("remote-disk-full", RemoteRefused), error.detail
        fill(tmp_path / "disk")
        error = push(caller, work, f"{url}/data.git")
        assert error.cause in {"remote-disk-full", "remote-not-writable"}, error.detail
    here = caller.attempt("clone", "--quiet", fetchable(str(work)), str(tmp_path / "disk" / "clone"), cwd=tmp_path)
    assert of(failure(here, ("clone",))) == ("disk-full", DiskFull), here.err


@pytest.fixture
def read_only(remote: Path, tmp_path: Path) -> Iterator[Path]:
    """`remote` on a disk that cannot be written to."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk read-only: what that does is NOT tested here")
    place = tmp_path / "read-only"
    place.mkdir()
    subprocess.run(["mount", "--bind", remote.parent, place], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    yield place / remote.name
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_remote_that_is_read_only_is_not_writable(caller: Git, work: Path, read_only: Path) -> None:
    with http_remotes(read_only.parent) as url:
        for address in (f"file://{read_only}", f"{url}/data.git"):
            error = push(caller, work, address)
            assert of(error) == ("remote-not-writable", RemoteRefused), error.detail


def test_pushes_that_meet_are_lost_races_and_one_arrives(caller: Git, work: Path, remote: Path, tmp_path: Path) -> None:
    """Many at once, until each has lost or won."""
    found: list[str] = []
    rivals = [tmp_path / f"rival-{i}" for i in range(6)]
    for i, rival in enumerate(rivals):
        shutil.copytree(work, rival)
        commit(rival, {f"{i}": f"{i}"})

    def race(rival: Path) -> None:
        try:
            caller.run("push", "--porcelain", "--", fetchable(str(remote)), MAIN, cwd=rival)
            found.append("arrived")
        except MaoError as error:
            found.append(error.cause)

    threads = [threading.Thread(target=race, args=(rival,)) for rival in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("arrived") == 1
    assert set(found) <= {"arrived", "lost-race", "remote-locked"}, found
