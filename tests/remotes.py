"""Remotes behind servers: git over HTTP and over SSH on this machine, as hosts have it."""

from __future__ import annotations

import getpass
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import eventually, free_port, git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[["GitHandler"], bool]
    """Answers a request itself, or says by False that git shall."""

_BACKEND = Path(git("--exec-path", cwd=Path("/"))) / "git-http-backend"
_SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class GitHandler(http.server.BaseHTTPRequestHandler):
    """Gives requests to `git http-backend`, after `answer` was asked."""

    protocol_version = "HTTP/1.1"
    root: Path
    answer: Answer

    def do_GET(self) -> None:  # the library's name
        if not type(self).answer(self):
            self.backend(b"")

    def do_POST(self) -> None:  # likewise
        if not type(self).answer(self):
            self.backend(self.body())

    def do_PUT(self) -> None:  # likewise
        if not type(self).answer(self):
            self.refuse(http.HTTPStatus.METHOD_NOT_ALLOWED)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().strip(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def refuse(self, status: int, words: str = "") -> bool:
        """Answer with an error; git repeats words of the type text/plain."""
        self.body()
        self.send_response(status)
        if status == http.HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(words)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(words.encode())
        self.close_connection = True
        return True

    def backend(self, body: bytes) -> bool:
        """Have git answer."""
        path, _, query = self.path.partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody",
        }
        with subprocess.Popen(
            [_BACKEND],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # what comes is passed on at once
        ) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            with suppress(BrokenPipeError):  # it refuses what it has not read
                backend.stdin.write(body)
                backend.stdin.close()
            head = {}
            while line := backend.stdout.readline().decode().strip():
                name, _, value = line.partition(": ")
                head[name] = value
            self.send_response(int(head.pop("Status", "200").split()[0]))
            for name, value in head.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while part := os.read(backend.stdout.fileno(), 65536):
                self.wfile.write(part)
        self.close_connection = True
        return True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_remotes(root: Path, answer: Answer = lambda _: False, certificate: Path | None = None) -> Iterator[str]:
    """The URL below which the repositories in `root` are served.

    Args:
        root: with bare repositories; they take pushes.
        answer: is asked first.
        certificate: a file with a certificate and its key, to speak TLS.
    """
    handler = type("Handler", (GitHandler,), {"root": root, "answer": staticmethod(answer)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that go away are what is tested
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://somebody:hunter2@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@dataclass
class SshHost:
    """An SSH server on this machine with keys of its own, and what its client needs to know."""

    directory: Path
    port: int = field(default_factory=free_port)

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def command(self) -> str:
        """The client, as the value of GIT_SSH_COMMAND."""
        return f"ssh -F {self.directory / 'client'}"

    def url(self, path: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{path}"

    def allow(self) -> None:
        """Let the client's key in."""
        shutil.copy(self.directory / "id.pub", self.directory / "authorized")

    def trust(self, key: str = "host") -> None:
        """Have the client know the host by a key."""
        kind, text, *_ = (self.directory / f"{key}.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    def prepare(self) -> None:
        self.directory.mkdir()
        for name in ("host", "other", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name], check=True)
        self.known_hosts.touch()
        (self.directory / "authorized").touch()
        (self.directory / "client").write_text(
            f"IdentityFile {self.directory / 'id'}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.known_hosts}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
        )
        (self.directory / "server").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.directory / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory / 'authorized'}\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )


@contextmanager
def ssh_host(directory: Path) -> Iterator[SshHost]:
    """An SSH server that serves this user's files; its client knows neither key yet."""
    if _SSHD is None or not shutil.which("ssh"):
        pytest.skip("there is no sshd or no ssh: what git says over SSH is NOT tested here")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it, to give up its rights in
    host = SshHost(directory)
    host.prepare()
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen([_SSHD, "-D", "-e", "-f", directory / "server"], stderr=log)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", host.port)) == 0

    try:
        eventually(lambda: answers() or server.poll() is not None, "sshd answers")
        assert server.poll() is None, (directory / "log").read_text()
        yield host
    finally:
        server.terminate()
        server.wait()
