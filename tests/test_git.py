from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from mao.certificates import authority
from mao.errors import (
    DiskFull,
    GitFailed,
    MaoError,
    OutsideFailed,
    RemoteRefused,
    RemoteUnreachable,
    RepositoryTooLarge,
    Stopping,
)
from mao.exchange import MOST_WORDS
from mao.failures import FAILURES, classify
from mao.git import Git, Output, end_left_over, failure, fetchable
from mao.git_environment import MARKER
from mao.processes import marked
from support import GIT_ENVIRONMENT, bare, commit, eventually, free_port, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://somebody:hunter2@127.0.0.1:{port}/data.git"


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Git]:
    """git as a node calls it."""
    home = tmp_path / "home"
    home.mkdir()
    made = Git(home, time_limit=60, allow_http=True)
    yield made
    eventually(lambda: not marked(MARKER, str(home)), "what was started has ended")


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """A repository with a commit that the remote has."""
    repository = tmp_path / "seed"
    commit(repository, {"first": "1"})
    return repository


@pytest.fixture
def remote(tmp_path: Path, seed: Path) -> Path:
    made = bare(tmp_path / "remotes" / "data.git")
    git("push", "--quiet", str(made), "main", cwd=seed)
    return made


@pytest.fixture
def work(tmp_path: Path, seed: Path) -> Path:
    """A repository with a commit that is to be pushed."""
    repository = tmp_path / "work"
    shutil.copytree(seed, repository)
    commit(repository, {"second": "2"})
    return repository


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate that nobody knows."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(b"".join(authority("somebody")))
    return path


def hook(remote: Path, name: str, script: str) -> None:
    path = remote / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def push(caller: Git, work: Path, url: str | Path, branch: str = "main") -> MaoError:
    """The error of a push that has to fail."""
    with pytest.raises(MaoError) as refused:
        caller.run("push", "--porcelain", "--", str(url), f"HEAD:refs/heads/{branch}", cwd=work)
    return refused.value


def of(error: MaoError) -> tuple[str, type[MaoError]]:
    return error.cause, type(error)


@contextlib.contextmanager
def answering(status: int, to: str = "", certificate: Path | None = None) -> Iterator[int]:
    """The port of a server that gives every request this answer, with another address if one is given."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            if to:
                self.send_header("Location", to)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_branch_that_has_moved_on_is_a_lost_race(caller: Git, work: Path, remote: Path, seed: Path) -> None:
    commit(seed, {"other": "3"})
    git("push", "--quiet", str(remote), "main", cwd=seed)
    assert of(push(caller, work, remote)) == ("lost-race", RemoteRefused)
    git("fetch", "--quiet", str(remote), "main", cwd=work)
    assert of(push(caller, work, remote)) == ("lost-race", RemoteRefused)


@pytest.mark.parametrize(("branch", "made"), [("main", "moved"), ("new", "made")])
def test_a_branch_that_moves_in_the_same_moment_is_a_lost_race(
    caller: Git, work: Path, remote: Path, branch: str, made: str
) -> None:
    git("commit-tree", "HEAD^{tree}", "-m", made, cwd=remote)
    other = git("commit-tree", "main^{tree}", "-m", made, cwd=remote)
    hook(remote, "pre-receive", f"exec env -u GIT_QUARANTINE_PATH git update-ref refs/heads/{branch} {other}")
    error = push(caller, work, remote, branch)
    assert of(error) == ("lost-race", RemoteRefused), error.detail


@pytest.mark.parametrize("name", ["pre-receive", "update"])
def test_a_hook_that_declines_is_told_with_its_words(caller: Git, work: Path, remote: Path, name: str) -> None:
    hook(remote, name, "echo 'only on Sundays, timed out, Permission denied' >&2\nexit 1")
    error = push(caller, work, remote)
    assert of(error) == ("hook-declined", RemoteRefused)
    assert "only on Sundays" in error.detail


def test_a_lock_that_somebody_left_at_the_remote_is_no_race(caller: Git, work: Path, remote: Path) -> None:
    (remote / "refs" / "heads" / "main.lock").touch()
    assert of(push(caller, work, remote)) == ("remote-locked", RemoteRefused)


def test_a_repository_that_somebody_works_in_refuses(caller: Git, work: Path, seed: Path) -> None:
    assert of(push(caller, work, seed)) == ("refused-by-remote", RemoteRefused)


def test_a_repository_that_is_not_there_has_a_name(caller: Git, work: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for url in (f"file://{tmp_path}/nowhere.git", tmp_path / "nowhere.git", tmp_path / "empty"):
        assert of(push(caller, work, url)) == ("no-such-repository", RemoteRefused)


@pytest.mark.skipif(os.geteuid() != 0, reason="ONLY ROOT CAN GIVE A REPOSITORY TO SOMEBODY ELSE")
def test_a_repository_of_somebody_else_is_not_allowed(caller: Git, work: Path, remote: Path) -> None:
    os.chown(remote, 65534, 65534)
    assert of(push(caller, work, f"file://{remote}")) == ("not-allowed", RemoteRefused)


def test_nobody_at_the_port_is_unreachable(caller: Git, work: Path) -> None:
    error = push(caller, work, URL.format(port=free_port()))
    assert of(error) == ("unreachable", RemoteUnreachable)
    assert "hunter2" not in error.detail


@pytest.mark.skipif(not shutil.which("ssh"), reason="THERE IS NO SSH HERE")
def test_nobody_at_the_port_of_ssh_is_unreachable(caller: Git, work: Path) -> None:
    assert of(push(caller, work, f"ssh://127.0.0.1:{free_port()}/x")) == ("unreachable", RemoteUnreachable)


@pytest.mark.parametrize(
    ("status", "cause", "error"),
    [
        (401, "not-allowed", RemoteRefused),
        (403, "not-allowed", RemoteRefused),
        (404, "no-such-repository", RemoteRefused),
        (413, "push-too-large", RemoteRefused),
        (429, "rate-limited", RemoteRefused),
        (500, "unreachable", RemoteUnreachable),
        (503, "unreachable", RemoteUnreachable),
    ],
)
def test_statuses_of_http_mean_what_they_mean(
    caller: Git, work: Path, status: int, cause: str, error: type[MaoError]
) -> None:
    with answering(status) as port:
        failed = push(caller, work, URL.format(port=port))
    assert of(failed) == (cause, error), failed.detail
    assert "hunter2" not in failed.detail


def test_a_full_disk_at_the_remote_is_told_from_one_here(caller: Git, work: Path, remote: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"NO SMALL DISK TO FILL: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(remote, disk / "data.git")
        commit(work, {"large": os.urandom(2_000_000)})
        error = push(caller, work, disk / "data.git")
        assert of(error) == ("remote-disk-full", RemoteRefused), error.detail
        here = caller.attempt("clone", "--quiet", fetchable(str(work)), str(disk / "clone"), cwd=tmp_path)
        assert of(failure(here, ("clone",))) == ("disk-full", DiskFull), here.err
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("!\tHEAD:refs/heads/main\t[rejected] (fetch first)", "lost-race"),
        ("!\tHEAD:refs/heads/main\t[rejected] (non-fast-forward)", "lost-race"),
        ("!\tHEAD:refs/heads/main\t[rejected] (stale info)", "lost-race"),
        ("(failed to update ref) error: cannot lock ref 'refs/heads/x': is at 0a1b but expected 2c3d", "lost-race"),
        ("(failed to update ref)\nUnable to create '/x/refs/heads/main.lock': File exists.", "remote-locked"),
        ("!\tx\t[remote rejected] (pre-receive hook declined)", "hook-declined"),
        ("!\tx\t[remote rejected] (hook declined)\nfatal: the remote end hung up unexpectedly", "hook-declined"),
        ("!\tx\t[remote rejected] (unpacker error)", "remote-not-writable"),
        (
            "!\tx\t[remote rejected] (unpacker error)\nremote: fatal: write error: No space left on device",
            "remote-disk-full",
        ),
        (
            "error: remote unpack failed: unable to create temporary object directory\n!\tx\t(unpacker error)",
            "remote-not-writable",
        ),
        ("fatal: Authentication failed for 'https://example.org/x/'", "not-allowed"),
        ("fatal: could not read Username for 'https://example.org': terminal prompts disabled", "not-allowed"),
        ("The requested URL returned error: 403", "not-allowed"),
        (
            "git@example.org: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            "not-allowed",
        ),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "host-key"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "host-key"),
        ("fatal: '/srv/x' does not appear to be a git repository", "no-such-repository"),
        ("fatal: repository 'https://example.org/x/' not found", "no-such-repository"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "no-such-repository"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "unreachable"),
        ("ssh: Could not resolve hostname x: Temporary failure in name resolution", "unreachable"),
        ("ssh: connect to host x port 22: Connection timed out", "unreachable"),
        ("fatal: unable to access 'https://x/': Failed to connect to x port 443: Couldn't connect", "unreachable"),
        ("error: RPC failed; curl 18 transfer closed with outstanding read data remaining", "unreachable"),
        ("fetch-pack: unexpected disconnect while reading sideband packet", "unreachable"),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 502", "unreachable"),
        ("fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output", "disk-full"),
    ],
)
def test_words_of_git_that_cannot_be_had_here_are_known(words: str, cause: str) -> None:
    found = classify(words)
    assert found is not None
    assert found.cause == cause


def test_each_cause_is_one_error_and_others_are_failures_of_git() -> None:
    assert len({(kind.cause, kind.error) for kind in FAILURES}) == len({kind.cause for kind in FAILURES})
    unknown = failure(Output(128, b"timed out", "fatal: something new"), ("push", "x"))
    assert (type(unknown), unknown.detail, unknown.cause) == (GitFailed, "git push: fatal: something new", "git-failed")
    assert failure(Output(3, b"", ""), ("-c", "a=b", "fetch")).detail == "git fetch: exit status 3"


@pytest.mark.parametrize(
    "url",
    [
        *("https://me:hunter2@example.org/x", "https://:hunter2@example.org/x", "ssh://me:hunter2@example.org:22/x"),
        *("https://hunter2:x-oauth-basic@example.org/x", "https://me:hun@hunter2@example.org/x"),
    ],
)
def test_a_password_in_a_url_is_not_repeated(url: str) -> None:
    error = failure(Output(128, b"", f"fatal: unable to access '{url}'"), ("-c", f"remote.origin.url={url}", "fetch"))
    assert "hunter2" not in error.detail
    assert "example.org" in error.detail


def test_an_address_without_a_password_is_repeated() -> None:
    words = "fatal: 'https://me@example.org:80/x' and git@example.org:x/y@z"
    assert words in failure(Output(128, b"", words), ("fetch",)).detail


def test_a_remote_that_never_answers_is_given_up(caller: Git, work: Path) -> None:
    caller.time_limit = 0.5
    with silent() as port:
        url = URL.format(port=port)
        with pytest.raises(RemoteUnreachable, match=r"git fetch was ended after 0\.5 s") as given_up:
            caller.run("-c", f"remote.origin.url={url}", "fetch", "origin", cwd=work)
    assert given_up.value.cause == "timed-out"
    assert "hunter2" not in given_up.value.detail


def test_what_git_has_started_ends_with_it_however_it_resists(caller: Git, work: Path, remote: Path) -> None:
    hook(remote, "pre-receive", "trap '' TERM INT HUP\n(trap '' TERM; sleep 1000) &\nwhile :; do sleep 1000; done")
    with pytest.raises(RemoteUnreachable):
        caller.run("push", "--", str(remote), "HEAD:main", cwd=work, time_limit=1)
    assert git("rev-parse", "main", cwd=remote) == git("rev-parse", "HEAD^", cwd=work)


def test_a_push_that_is_ended_leaves_no_lock_at_a_remote_on_this_machine(caller: Git, work: Path, remote: Path) -> None:
    hook(remote, "reference-transaction", f'test "$1" != prepared || {{ touch {work}/locked; sleep 1000; }}')
    pushing = threading.Thread(target=push, args=(caller, work, remote))
    pushing.start()
    eventually((work / "locked").exists, "the remote's branch is locked")
    caller.close()
    pushing.join()
    assert list(remote.rglob("*.lock")) == []


def test_who_waits_for_git_when_the_node_stops_is_told_so(caller: Git, work: Path) -> None:
    told: list[MaoError] = []

    def fetch(port: int) -> None:
        try:
            caller.run("ls-remote", "--", URL.format(port=port), cwd=work)
        except MaoError as error:
            told.append(error)

    with silent() as port:
        threads = [threading.Thread(target=fetch, args=(port,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(caller._live) == 3)
        caller.close()
        for thread in threads:
            thread.join()
    assert [type(error) for error in told] == [Stopping] * 3
    with pytest.raises(Stopping):
        caller.run("version", cwd=work)


def test_git_that_was_left_running_takes_its_locks_away_at_a_remote_on_this_machine(
    tmp_path: Path, work: Path, remote: Path
) -> None:
    hook(remote, "reference-transaction", 'test "$1" != prepared || sleep 1000')
    home = tmp_path / "home"
    program = (
        "import sys; from pathlib import Path; from mao.git import Git;"
        "Git(Path(sys.argv[1]), 60).run('push', '--', sys.argv[2], 'HEAD:main', cwd=Path(sys.argv[3]))"
    )
    node = subprocess.Popen([sys.executable, "-c", program, home, remote, work])
    lock = remote / "refs" / "heads" / "main.lock"
    eventually(lock.exists, "the remote's branch is locked")
    node.kill()
    node.wait()
    assert marked(MARKER, str(home))
    end_left_over(home)
    assert marked(MARKER, str(home)) == set()
    assert list(remote.rglob("*.lock")) == []


def test_what_a_repository_brings_along_does_not_run(caller: Git, work: Path, remote: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    script = f"touch {trap}"
    names = ("post-checkout", "reference-transaction", "pre-push", "post-index-change", "pre-auto-gc", "post-commit")
    hostile = tmp_path / "bin" / "hostile"
    hostile.parent.mkdir()
    hostile.write_text(f"#!/bin/sh\n{script}\n")
    hostile.chmod(0o755)
    for name in names:
        shutil.copy(hostile, work / ".git" / "hooks" / name)
    for setting in ("core.fsmonitor", "core.sshCommand", "gc.auto"):
        git("config", setting, "1" if setting == "gc.auto" else str(hostile), cwd=work)
    git("config", "core.hooksPath", str(work / ".git" / "hooks"), cwd=work)
    commands = (
        *(("status",), ("checkout", "--quiet", "HEAD^"), ("reset", "--hard", "--quiet", "main")),
        ("push", "--quiet", "--", str(remote), "HEAD:main"),
        ("fetch", "--quiet", "--", str(remote), "main"),
        ("ls-remote", "--", f"ssh://127.0.0.1:{free_port()}/x"),
    )
    for command in commands:
        caller.attempt(*command, cwd=work)
    assert not trap.exists()
    git("status", cwd=work)
    assert trap.exists(), "the trap works"


def test_a_remote_helper_is_refused_also_where_a_repository_allows_it(caller: Git, work: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    url = f"ext::touch {trap}"
    git("config", "protocol.ext.allow", "always", cwd=work)
    git("config", "url.ext::touch.insteadOf", "https://touch", cwd=work)
    for address in (url, f"https://touch {trap}"):
        with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
            caller.run("ls-remote", "--", address, cwd=work)
    assert not trap.exists()
    subprocess.run(["git", "ls-remote", "--", url], cwd=work, capture_output=True, check=False)
    assert trap.exists(), "the trap works"


def test_http_is_refused_unless_it_is_allowed(caller: Git, work: Path) -> None:
    caller.allow_http = False
    with pytest.raises(GitFailed, match="transport 'http' not allowed"):
        caller.run("ls-remote", "--", f"http://127.0.0.1:{free_port()}/x", cwd=work)


def test_an_address_that_looks_like_an_option_is_none(caller: Git, work: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    for command in (("ls-remote", "--"), ("fetch", "--"), ("clone", "--")):
        with pytest.raises(OutsideFailed):
            caller.run(*command, f"--upload-pack=touch {trap};", str(work), cwd=work)
    assert not trap.exists()


def test_variables_that_mislead_git_are_not_passed_on(work: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mao.git import Git; git = Git(Path('/nowhere'), 60);"
        "output = git.attempt('rev-parse', 'HEAD', cwd=Path(sys.argv[1])); print(output.out.decode(), output.err)"
    )
    misleading = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"}
    misleading |= {"GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG_PARAMETERS"}
    environment = os.environ | GIT_ENVIRONMENT | dict.fromkeys(misleading, str(tmp_path)) | {"GIT_TRACE": "1"}
    environment |= {"LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8"}
    done = subprocess.run([sys.executable, "-c", program, work], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().split() == [git("rev-parse", "HEAD", cwd=work)]


@pytest.mark.parametrize("name", ["plain.git", "with space.git", "gr\u00fcn%41?#.git", "a'\"b.git"])
def test_a_path_is_an_address_whatever_is_in_it(caller: Git, tmp_path: Path, name: str) -> None:
    made = bare(tmp_path / "odd" / name)
    caller.run("ls-remote", "--", fetchable(str(made)), cwd=tmp_path)
    assert fetchable(str(made)).startswith("file:///")
    assert fetchable("https://example.org/%41") == "https://example.org/%41"


def test_much_input_and_output_pass_at_the_same_time(caller: Git, work: Path) -> None:
    blob = git("rev-parse", "HEAD:second", cwd=work)
    out = caller.run("cat-file", "--batch", cwd=work, given=f"{blob}\n".encode() * 20_000)
    assert out == f"{blob} blob 1\n2\n".encode() * 20_000


def test_what_could_move_the_cursor_is_taken_out_of_the_words_of_a_remote() -> None:
    words = "remote: \x1b[2J\x1b]0;title\x07a\x1bcb\x00\x9b31mc \u202ed\u2066\x7f\rremote: 5%\r\nfatal: \tend\x1b"
    error = failure(Output(128, b"", words), ("fetch",))
    assert error.detail == "git fetch: remote: ab31mc d\nremote: 5%\nfatal: \tend"


def test_a_remote_does_not_lead_to_another_transport(
    caller: Git, work: Path, remote: Path, tmp_path: Path, tls: Path
) -> None:
    caller.allow_http = False
    for to in (f"file://{remote}", "ftp://127.0.0.1/x", f"http://127.0.0.1:{free_port()}/data.git", "gopher://x/"):
        with answering(302, to, tls) as port:
            url = f"https://127.0.0.1:{port}/data.git"
            output = caller.attempt("-c", "http.sslVerify=false", "ls-remote", "--", url, cwd=work)
        assert output.status != 0
        assert f'Protocol "{to.partition(":")[0]}" ' in output.err, output.err
    for url in (f"ext::touch {tmp_path}/ran", "http://127.0.0.1/x", "git://127.0.0.1/x", f"fd::{remote}"):
        output = caller.attempt("ls-remote", "--", url, cwd=work)
        assert "not allowed" in output.err, output.err
    assert not (tmp_path / "ran").exists()


def test_a_remote_that_says_and_says_is_ended_and_nothing_of_it_piles_up(caller: Git, work: Path, remote: Path) -> None:
    first = git("rev-parse", "main", cwd=remote)
    (remote / "packed-refs").write_text(
        "# pack-refs with: peeled fully-peeled sorted\n"
        + "".join(f"{first} refs/tags/{number:0150}\n" for number in range(90_000))
    )
    with pytest.raises(RepositoryTooLarge, match=r"git ls-remote was ended: it said more than 16,777,216 bytes"):
        caller.run("ls-remote", "--", f"file://{remote}", cwd=work)
    endless = ("-c", "alias.talk=!yes >&2", "talk")  # as what a remote says of its progress
    with pytest.raises(RemoteUnreachable, match="timed out"):
        caller.run(*endless, cwd=work, time_limit=0.3)
    much = caller.attempt("-c", "alias.talk=!yes | head -c 3000000 >&2; echo end >&2", "talk", cwd=work)
    assert much.err.endswith("end")
    assert len(much.err) <= MOST_WORDS


def test_limits_hold_for_what_git_starts(caller: Git, work: Path) -> None:
    caller.memory_limit = 500_000_000
    helper = "credential.helper=!cat /proc/self/limits >&2"
    with answering(401) as port:
        url = f"http://127.0.0.1:{port}/data.git"
        limits = caller.attempt("-c", helper, "fetch", "--", url, "main", cwd=work, largest=1_000_000).err
    assert re.search(r"Max data size +500000000 +500000000 ", limits), limits
    assert re.search(r"Max file size +1000000 +1000000 ", limits)
    assert re.search(r"Max core file size +0 +0 ", limits)
